//! Requests with open-state tracking: each is open until its response was sent and its body is no longer read.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, service::Service};

use super::{
    Activity, Limit, Open,
    conversation::Conversation,
    discard::{ClientBody, ConnectionDiscards},
    streams::Answer,
};

/// A body that keeps its request open.
pub struct OpenBody<B> {
    body: B,
    is_answer: bool,
    _open: Option<Open>,
}

/// The service for the requests of one connection.
pub(super) struct Requests<S> {
    service: S,
    connection: Connection,
    activity: Arc<Activity>,
    /// The maximum number of open responses.
    most: u32,
}

/// The protocol state of a connection.
pub(super) enum Connection {
    /// One request at a time.
    Http1(Arc<Conversation>),
    /// Concurrent requests.
    Http2(Arc<ConnectionDiscards>),
}

/// The future of a response.
pub(super) struct Answering<F> {
    future: F,
    open: Option<Open>,
    activity: Arc<Activity>,
}

impl<B> OpenBody<B> {
    fn of_request(body: B, open: Option<Open>) -> Self {
        Self {
            body,
            is_answer: false,
            _open: open,
        }
    }

    fn of_answer(body: B, open: Option<Open>) -> Self {
        Self {
            body,
            is_answer: true,
            _open: open,
        }
    }
}

impl<S> Requests<S> {
    pub(super) fn new(
        service: S,
        connection: Connection,
        activity: Arc<Activity>,
        most: u32,
    ) -> Self {
        Self {
            service,
            connection,
            activity,
            most,
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
        let discards = match &self.connection {
            Connection::Http1(conversation) => {
                conversation.begin(&mut request);
                None
            }
            Connection::Http2(discards) => has_body.then(|| Arc::clone(discards)),
        };
        let reading = has_body.then(|| self.activity.open());
        let request =
            request.map(|body| OpenBody::of_request(ClientBody::new(body, discards), reading));
        let (open, count) = self.activity.open_answer();
        if count >= self.most {
            Limit::Http2Streams.reached();
        }
        Answering {
            open: Some(open),
            future: self.service.call(request),
            activity: Arc::clone(&self.activity),
        }
    }
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>> + Unpin,
{
    type Output = Result<Response<OpenBody<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.future).poll(cx);
        Answer::note(&polled);
        polled.map_ok(|response| {
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                self.activity.upgrade();
            }
            let open = self.open.take();
            response.map(|body| OpenBody::of_answer(body, open))
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
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if self.is_answer {
            Answer::note(&polled);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
