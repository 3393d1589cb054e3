//! An HTTP/1.1 connection. While it is idle it holds no buffers: the parser is dropped, and created again when data
//! arrives.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use http::{Request, Response};
use http_body::Body;
use hyper::{server::conn::http1, service::Service};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Activity, ClientBody, ClientShare, Limit, OpenBody, WaitReadable,
    conversation::Conversation,
    service::{Connection, Requests},
    watched::Watched,
};

/// The idle time after which a connection drops its parser. A longer pause costs memory; a shorter one costs work.
const PAUSE: Duration = Duration::from_millis(100);
/// The time that an evicted connection may take to close cleanly.
const EVICTION_GRACE: Duration = Duration::from_millis(100);

type Wire<IO> = TokioIo<Watched<Box<IO>>>;
type Parsing<IO, S> = http1::UpgradeableConnection<Wire<IO>, Requests<S>>;

/// Serves until the connection ends or, after `drain` is cancelled, until its open request is answered. `patience` is
/// the time that a connection may stay idle.
pub(super) async fn serve<IO, S, B>(
    builder: &http1::Builder,
    stream: Box<IO>,
    service: S,
    patience: Duration,
    activity: &Arc<Activity>,
    client: &Arc<ClientShare>,
    drain: &CancellationToken,
) -> hyper::Result<()>
where
    IO: AsyncRead + AsyncWrite + WaitReadable + Unpin + Send + 'static,
    S: Service<Request<OpenBody<ClientBody>>, Response = Response<B>> + Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Unpin,
    B: Body + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let conversation = Arc::new(Conversation::new(Arc::clone(activity)));
    let mut wire = TokioIo::new(Watched::new(stream, Arc::clone(&conversation)));
    let mut requests = Requests::new(
        service,
        Connection::Http1(Arc::clone(&conversation)),
        Arc::clone(client),
        Arc::clone(activity),
    );
    let mut rested: Option<(Instant, u64)> = None;
    loop {
        let parsing = builder.serve_connection(wire, requests).with_upgrades();
        let parsing = match until_rest(Box::new(parsing), &conversation, activity, drain).await {
            Ok(parsing) => parsing,
            Err(ended) => return ended,
        };
        let Some(parts) = parsing.into_parts() else {
            return Ok(());
        };
        (wire, requests) = (parts.io, parts.service);
        // If something other than a request woke the connection, its idle time continues.
        let count = conversation.requests();
        let since = match rested {
            Some((since, before)) if before == count => since,
            _ => Instant::now(),
        };
        rested = Some((since, count));
        // The buffer must be empty, because leftover bytes would be parsed as the start of a request.
        let goes_on = parts.read_buf.is_empty()
            && tokio::select! {
                biased;
                () = drain.cancelled() => false,
                () = activity.closing() => false,
                () = sleep_until(since + patience) => {
                    Limit::Http1IdleTime.reached();
                    false
                }
                readable = readable(wire.inner()) => readable.is_ok(),
            };
        if !goes_on {
            // The result is irrelevant if the client is gone.
            drop(timeout(EVICTION_GRACE, wire.inner_mut().shutdown()).await);
            return Ok(());
        }
    }
}

async fn readable(io: &impl WaitReadable) -> io::Result<()> {
    poll_fn(|cx| io.poll_readable(cx)).await
}

/// Drives the parser until the connection is idle. Returns the parser, or the result if the connection ended.
async fn until_rest<IO, S, B>(
    mut parsing: Box<Parsing<IO, S>>,
    conversation: &Conversation,
    activity: &Activity,
    drain: &CancellationToken,
) -> Result<Box<Parsing<IO, S>>, hyper::Result<()>>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<OpenBody<ClientBody>>, Response = Response<B>> + Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Unpin,
    B: Body + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut pause = pin!(sleep(PAUSE));
    // The number of requests at the start of the pause.
    let mut quiet_at: Option<u64> = None;
    let rested_or_ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut parsing).poll(cx) {
            return Poll::Ready(Some(ended));
        }
        loop {
            match quiet_at {
                // Any event that makes the connection idle also wakes this task.
                None if conversation.is_at_rest() => {
                    quiet_at = Some(conversation.requests());
                    pause.as_mut().reset(Instant::now() + PAUSE);
                }
                None => return Poll::Pending,
                Some(before) => {
                    ready!(pause.as_mut().poll(cx));
                    if before == conversation.requests() && conversation.is_at_rest() {
                        return Poll::Ready(None);
                    }
                    quiet_at = None;
                }
            }
        }
    });
    let ended = tokio::select! {
        biased;
        ended = rested_or_ended => ended,
        () = drain.cancelled() => {
            Pin::new(&mut *parsing).graceful_shutdown();
            Some((&mut parsing).await)
        }
        () = activity.closing() => {
            Pin::new(&mut *parsing).graceful_shutdown();
            Some(evict(&mut parsing, conversation).await)
        }
    };
    match ended {
        None => Ok(parsing),
        Some(ended) => Err(ended),
    }
}

/// Closes an evicted connection. Answers a request first if one has started.
async fn evict<IO, S, B>(
    parsing: &mut Parsing<IO, S>,
    conversation: &Conversation,
) -> hyper::Result<()>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<OpenBody<ClientBody>>, Response = Response<B>> + Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Unpin,
    B: Body + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    loop {
        match timeout(EVICTION_GRACE, &mut *parsing).await {
            Ok(ended) => return ended,
            Err(_) if conversation.is_answered() => return Ok(()),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
