//! Serving of connections, with limits against hostile clients.

use std::{error::Error, io, sync::Arc, time::Duration};

use http::{Request, Response};
use http_body::Body;
use hyper::{
    server::conn::{http1 as hyper_http1, http2 as hyper_http2},
    service::Service,
};
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

mod activity;
mod client_share;
mod conversation;
mod discard;
mod frames;
mod http1;
mod http2;
mod limit;
mod proxies;
pub mod proxy_protocol;
mod read_ahead;
mod refusals;
mod service;
mod stall;
mod streams;
mod wait;
mod watched;

pub use activity::{Activity, Idle, Open};
pub use client_share::{ClientShare, StreamBudget, StreamSlot};
pub use conversation::{has_both_framings, has_malformed_chunk};
pub use discard::{ClientBody, Discard};
pub use limit::Limit;
pub use proxies::{ForwardingMethod, InvalidForwardedFor, TrustedProxies};
pub use read_ahead::ReadAhead;
pub use refusals::Unauthenticated;
pub use service::OpenBody;
pub use stall::StallTimeout;
pub use wait::WaitReadable;
#[cfg(feature = "fuzzing")]
pub(crate) use {
    frames::scan_frames,
    watched::{chunk_size, scan},
};

use discard::Discards;
use service::{Connection, Requests};
use streams::Streams;

/// The number of fields that the parser keeps on its stack. With any other number it allocates for each request.
const DEFAULT_HEAD_FIELDS: usize = 100;

/// The limits of one connection.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The time for a request head, from the start of the connection or the end of the previous response.
    pub head_timeout: Duration,
    /// The maximum size of a request head in bytes.
    pub head_size: usize,
    /// The maximum number of fields in an HTTP/1 request head.
    pub head_fields: usize,
    /// The maximum number of open streams on an HTTP/2 connection.
    pub streams: u32,
    /// The maximum number of HTTP/2 streams that a client may reset before they are handled (rapid reset), and of its
    /// protocol errors.
    pub resets: usize,
    /// The time that a client may leave response data unread. It applies to each HTTP/2 stream and, with a
    /// [`StallTimeout`], to the connection.
    pub stall: Duration,
    /// The time that an HTTP/2 connection may have no stream.
    pub http2_idle: Duration,
    /// The interval of HTTP/2 keep-alive pings, and the timeout for an answer.
    pub keep_alive: (Duration, Duration),
    /// The limits for reading HTTP/2 bodies of requests that were already answered.
    pub discard: Discard,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(30),
            head_size: 64 * 1024,
            head_fields: DEFAULT_HEAD_FIELDS,
            streams: 128,
            resets: 32,
            stall: Duration::from_mins(1),
            http2_idle: Duration::from_mins(1),
            keep_alive: (Duration::from_mins(1), Duration::from_secs(20)),
            discard: Discard::default(),
        }
    }
}

/// Serves connections of both protocols. The caller knows the protocol of a connection (RFC 9113 §3.3): detecting it
/// would cost each connection a larger buffer.
pub struct Protocols {
    http1: hyper_http1::Builder,
    http2: hyper_http2::Builder<Streams>,
    limits: Limits,
    discards: Discards,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 and HTTP/1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocols {
    /// Creates a server with these limits.
    pub fn new(limits: &Limits) -> Self {
        Self {
            http1: http1_builder(limits),
            http2: http2_builder(limits),
            limits: limits.clone(),
            discards: Discards::new(limits.discard),
        }
    }

    /// Serves one connection until it ends. After `drain` is cancelled, it finishes open requests and rejects new ones.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection broke or the client violated the protocol.
    pub async fn serve<IO, S, B>(
        &self,
        stream: Box<IO>,
        protocol: Protocol,
        service: S,
        activity: &Arc<Activity>,
        client: &Arc<ClientShare>,
        drain: &CancellationToken,
    ) -> hyper::Result<()>
    where
        IO: AsyncRead + AsyncWrite + WaitReadable + Unpin + Send + 'static,
        S: Service<Request<OpenBody<ClientBody>>, Response = Response<B>> + Unpin,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        S::Future: Unpin + Send + 'static,
        B: Body + Unpin + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let served = match protocol {
            Protocol::Http1 => {
                http1::serve(
                    &self.http1,
                    stream,
                    service,
                    self.limits.head_timeout,
                    activity,
                    client,
                    drain,
                )
                .await
            }
            Protocol::Http2 => {
                let limits = &self.limits;
                let connection = Connection::Http2 {
                    discards: self.discards.of_connection(),
                    most: limits.streams,
                };
                let client = Arc::clone(client);
                let requests = Requests::new(service, connection, client, Arc::clone(activity));
                http2::serve(&self.http2, stream, requests, limits, activity, drain).await
            }
        };
        served.inspect_err(|error| count_limit(error, protocol))
    }
}

/// Counts a connection that ended because it exceeded a limit of the parser.
fn count_limit(error: &hyper::Error, protocol: Protocol) {
    let source = error.source();
    let reset = source.and_then(|source| source.downcast_ref::<h2::Error>());
    let broken = source.and_then(|source| source.downcast_ref::<io::Error>());
    let broken = broken.or_else(|| reset.and_then(h2::Error::get_io));
    if error.is_parse_too_large() {
        Limit::HeadSize.reached();
    } else if reset.is_some_and(|error| {
        error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM)
    }) {
        Limit::Http2Resets.reached();
    } else if broken.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
        Limit::StallTime.reached();
    } else if error.is_timeout() && protocol == Protocol::Http1 {
        Limit::HeadTime.reached();
    }
}

fn http1_builder(limits: &Limits) -> hyper_http1::Builder {
    let mut builder = hyper_http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_size.max(64 * 1024))
        .half_close(false)
        .keep_alive(true);
    if limits.head_fields != DEFAULT_HEAD_FIELDS {
        builder.max_headers(limits.head_fields);
    }
    builder
}

fn http2_builder(limits: &Limits) -> hyper_http2::Builder<Streams> {
    let mut builder = hyper_http2::Builder::new(Streams {
        stall: limits.stall,
    });
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(limits.resets)
        .max_local_error_reset_streams(limits.resets)
        .max_header_list_size(u32::try_from(limits.head_size).unwrap_or(u32::MAX))
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        // The memory that a client can occupy with each stream if it grants no window.
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(limits.keep_alive.0)
        .keep_alive_timeout(limits.keep_alive.1);
    builder
}
