//! Requests as they are handed on: each is open until its answer has been sent and its body is no longer read.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, service::Service};

use super::{
    conversation::{Conversation, Open},
    discard::{ClientBody, ConnectionDiscards},
};

/// A body that is part of an open request.
pub struct OpenBody<B> {
    body: B,
    _open: Option<Open>,
}

/// Answers the requests of one connection.
pub(super) struct Requests<S> {
    service: S,
    connection: Connection,
}

/// What a connection knows of its requests.
pub(super) enum Connection {
    /// One request after the other.
    Http1(Arc<Conversation>),
    /// Many at a time.
    Http2(Arc<ConnectionDiscards>),
}

/// An answer that is being made.
pub(super) struct Answering<F> {
    future: F,
    open: Option<Open>,
}

impl<B> OpenBody<B> {
    fn new(body: B, open: Option<Open>) -> Self {
        Self { body, _open: open }
    }
}

impl<S> Requests<S> {
    pub(super) fn new(service: S, connection: Connection) -> Self {
        Self {
            service,
            connection,
        }
    }
}

impl<S, B> Service<Request<Incoming>> for Requests<S>
where
    S: Service<Request<OpenBody<ClientBody>>, Response = Response<B>>,
    S::Future: Unpin,
{
    type Response = Response<OpenBody<B>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let has_body = !request.body().is_end_stream();
        let (conversation, discards) = match &self.connection {
            Connection::Http1(conversation) => (Some(conversation), None),
            Connection::Http2(discards) => (None, Some(discards).filter(|_| has_body)),
        };
        if let Some(conversation) = conversation {
            conversation.begin(&mut request);
        }
        let reading = conversation.filter(|_| has_body).map(Conversation::open);
        let request = request.map(|body| {
            let body = ClientBody::new(body, discards.cloned());
            OpenBody::new(body, reading)
        });
        Answering {
            open: conversation.map(Conversation::open),
            future: self.service.call(request),
        }
    }
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>> + Unpin,
{
    type Output = Result<Response<OpenBody<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.future).poll(cx).map_ok(|response| {
            let open = self.open.take();
            response.map(|body| OpenBody::new(body, open))
        })
    }
}

impl<B: Body + Unpin> Body for OpenBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
