//! An HTTP/2 connection. It is closed if it has no streams for too long, even if the client sends other frames.

use std::{error::Error, pin::Pin, sync::Arc, time::Duration};

use http::{Request, Response};
use http_body::Body;
use hyper::{server::conn::http2, service::Service};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Activity, Idle, Limits, OpenBody, discard::ClientBody, frames::Frames, service::Requests,
    streams::Streams,
};

/// The time that a client may take to answer GOAWAY, or to read the rest of a response, before an idle connection is
/// dropped.
const GOAWAY_GRACE: Duration = Duration::from_secs(5);
/// The grace time of an evicted connection: enough to send the GOAWAY frame.
const EVICTION_GRACE: Duration = Duration::from_millis(100);
/// The time after a write in which more of the same response may follow.
const ANSWER_GRACE: Duration = Duration::from_secs(1);

type Serving<IO, S> = http2::Connection<TokioIo<Frames<Box<IO>>>, Requests<S>, Streams>;

/// Serves until the connection ends.
pub(super) async fn serve<IO, S, B>(
    builder: &http2::Builder<Streams>,
    stream: Box<IO>,
    requests: Requests<S>,
    limits: &Limits,
    activity: &Arc<Activity>,
    drain: &CancellationToken,
) -> hyper::Result<()>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<OpenBody<ClientBody>>, Response = Response<B>> + Unpin,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: Unpin + Send + 'static,
    B: Body + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let wire = TokioIo::new(Frames::new(stream, Arc::clone(activity)));
    let mut serving = Box::pin(builder.serve_connection(wire, requests));
    let grace = tokio::select! {
        ended = &mut serving => return ended,
        () = drain.cancelled() => GOAWAY_GRACE,
        limit = activity.idle_or_stalled(limits.http2_idle, limits.stall) => {
            limit.reached();
            GOAWAY_GRACE
        }
        () = activity.closing() => EVICTION_GRACE,
    };
    serving.as_mut().graceful_shutdown();
    tokio::select! {
        ended = end(serving, grace, activity) => ended,
        // The memory of these streams is freed only with their connection.
        () = activity.stalled(limits.stall) => Ok(()),
    }
}

/// Waits for open streams to end. Without any, it does not wait for a client that does not answer GOAWAY.
async fn end<IO, S, B>(
    mut serving: Pin<Box<Serving<IO, S>>>,
    grace: Duration,
    activity: &Activity,
) -> hyper::Result<()>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<OpenBody<ClientBody>>, Response = Response<B>> + Unpin,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: Unpin + Send + 'static,
    B: Body + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    loop {
        match timeout(grace, &mut serving).await {
            Ok(ended) => return ended,
            Err(_) if is_over(activity) => return Ok(()),
            Err(_) => {}
        }
    }
}

fn is_over(activity: &Activity) -> bool {
    let is_over = |idle: Idle| !idle.has_request || idle.since.elapsed() >= ANSWER_GRACE;
    activity.idle().is_some_and(is_over)
}

#[cfg(test)]
mod tests;
