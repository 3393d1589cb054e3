//! Requests with open-state tracking: each is open until its response was sent and its body is no longer read.

use std::{
    io::IoSlice,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, service::Service};
use tokio::time::{Sleep, sleep};

use super::{
    Activity, ClientShare, Limit, Open, Unauthenticated,
    conversation::Conversation,
    discard::{ClientBody, ConnectionDiscards},
    streams::StreamWait,
};

/// The body of a request. It keeps the request open.
pub struct OpenBody<B> {
    body: B,
    _open: Option<Open>,
}

/// The body of a response. It keeps the request open, and its last part keeps the stream open until it is written.
pub(super) struct AnswerBody<B> {
    /// `None` for a response of the listener itself.
    body: Option<B>,
    open: Option<Open>,
}

/// A part of a response that is not written yet.
pub(super) struct Part<D> {
    data: D,
    /// Set in the last part.
    open: Option<Open>,
}

/// The service for the requests of one connection.
pub(super) struct Requests<S> {
    service: S,
    connection: Connection,
    client: Arc<ClientShare>,
    activity: Arc<Activity>,
}

/// The protocol state of a connection.
pub(super) enum Connection {
    /// One request at a time.
    Http1(Arc<Conversation>),
    /// Concurrent requests.
    Http2 {
        discards: Arc<ConnectionDiscards>,
        /// The maximum number of open streams of the connection.
        most: u32,
    },
}

/// The future of a response.
pub(super) struct ResponseFuture<F, B> {
    stage: Stage<F, B>,
    open: Option<Open>,
    client: Arc<ClientShare>,
    activity: Arc<Activity>,
}

enum Stage<F, B> {
    /// The service handles the request.
    Handling(F),
    /// The response is ready and waits for its time. The memory of the request is free.
    Delayed(Pin<Box<Sleep>>, Box<Response<B>>),
    /// The client has too many streams.
    Refused,
    Done,
}

impl<S> Requests<S> {
    pub(super) fn new(
        service: S,
        connection: Connection,
        client: Arc<ClientShare>,
        activity: Arc<Activity>,
    ) -> Self {
        Self {
            service,
            connection,
            client,
            activity,
        }
    }
}

impl<S, B> Service<Request<Incoming>> for Requests<S>
where
    S: Service<Request<OpenBody<ClientBody>>, Response = Response<B>>,
    S::Future: Unpin,
    B: Body + Unpin,
{
    type Response = Response<AnswerBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, B>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let has_body = !request.body().is_end_stream();
        let (discards, stream) = match &self.connection {
            Connection::Http1(conversation) => {
                conversation.begin(&mut request);
                (None, None)
            }
            Connection::Http2 { discards, .. } => {
                let stream = match self.client.begin() {
                    Ok(stream) => stream,
                    Err(limit) => return self.refuse(limit),
                };
                (has_body.then(|| Arc::clone(discards)), Some(stream))
            }
        };
        let reading = has_body.then(|| self.activity.open());
        let request = request.map(|body| OpenBody {
            body: ClientBody::new(body, discards),
            _open: reading,
        });
        let (open, count) = self.activity.open_answer(stream);
        if let Connection::Http2 { most, .. } = self.connection
            && count >= most
        {
            Limit::Http2Streams.reached();
        }
        let stage = Stage::Handling(self.service.call(request));
        self.response(stage, Some(open))
    }
}

impl<S> Requests<S> {
    fn refuse<F, B>(&self, limit: Limit) -> ResponseFuture<F, B> {
        limit.reached();
        self.response(Stage::Refused, None)
    }

    fn response<F, B>(&self, stage: Stage<F, B>, open: Option<Open>) -> ResponseFuture<F, B> {
        ResponseFuture {
            stage,
            open,
            client: Arc::clone(&self.client),
            activity: Arc::clone(&self.activity),
        }
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>> + Unpin,
    B: Unpin,
{
    type Output = Result<Response<AnswerBody<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Stage::Handling(future) = &mut self.stage {
            let polled = Pin::new(future).poll(cx);
            StreamWait::note(&polled);
            let response = ready!(polled)?;
            let delay = self.delay(&response);
            if delay.is_zero() {
                return Poll::Ready(Ok(self.open_response(response)));
            }
            Limit::RefusalRate.reached();
            self.stage = Stage::Delayed(Box::pin(sleep(delay)), Box::new(response));
        }
        if let Stage::Delayed(timer, _) = &mut self.stage {
            let polled = timer.as_mut().poll(cx);
            StreamWait::note(&polled);
            ready!(polled);
        }
        Poll::Ready(Ok(match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Delayed(_, response) => self.open_response(*response),
            Stage::Handling(_) | Stage::Refused | Stage::Done => too_many_streams(),
        }))
    }
}

impl<F, B> ResponseFuture<F, B> {
    fn delay(&self, response: &Response<B>) -> Duration {
        if response.extensions().get::<Unauthenticated>().is_some() {
            self.client.refusal_delay()
        } else {
            Duration::ZERO
        }
    }

    fn open_response(&mut self, response: Response<B>) -> Response<AnswerBody<B>> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.activity.upgrade();
        }
        let open = self.open.take();
        response.map(|body| AnswerBody {
            body: Some(body),
            open,
        })
    }
}

fn too_many_streams<B>() -> Response<AnswerBody<B>> {
    let mut response = Response::new(AnswerBody {
        body: None,
        open: None,
    });
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

impl<B: Body<Data = Bytes> + Unpin> Body for OpenBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body + Unpin> Body for AnswerBody<B> {
    type Data = Part<B::Data>;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, B::Error>>> {
        let Self { body, open } = &mut *self;
        let Some(body) = body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        StreamWait::note(&polled);
        polled.map_ok(|frame| {
            let is_last = body.is_end_stream();
            frame.map_data(|data| {
                let mut open = if is_last { open.take() } else { None };
                if let Some(open) = &mut open {
                    open.unsent();
                }
                Part { data, open }
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let size = self.body.as_ref().map(Body::size_hint);
        size.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}

impl<D: Buf> Buf for Part<D> {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.data.chunks_vectored(slices)
    }

    fn advance(&mut self, count: usize) {
        self.data.advance(count);
        if let Some(open) = &mut self.open {
            open.progress();
        }
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.data.copy_to_bytes(length)
    }
}
