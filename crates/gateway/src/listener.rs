//! How connections are served: limits that hostile clients run into.

use std::time::Duration;

use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto::Builder,
};

mod heads;
mod read_ahead;
mod stall;

pub use heads::{Heads, WatchedHeads, has_both_framings};
pub use read_ahead::ReadAhead;
pub use stall::StallTimeout;

/// What the parser keeps on its stack; for any other number it allocates at each request.
const DEFAULT_HEAD_FIELDS: usize = 100;

/// What one connection may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a request head may take, from the first byte of the connection or the end of the response before.
    pub head_timeout: Duration,
    /// Bytes of a request head.
    pub head_size: usize,
    /// Fields of a request head of HTTP/1.
    pub head_fields: usize,
    /// Open streams of one HTTP/2 connection.
    pub streams: u32,
    /// Streams of HTTP/2 that a client may reset before we look at them (rapid reset), and errors of its own that it
    /// may make.
    pub resets: usize,
    /// How long a client may leave unread what it is sent; to be given to a [`StallTimeout`].
    pub stall: Duration,
    /// How often an HTTP/2 connection is asked whether it lives, and how long it may take to answer.
    pub keep_alive: (Duration, Duration),
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
            keep_alive: (Duration::from_mins(1), Duration::from_secs(20)),
        }
    }
}

/// The settings with which a listener serves connections of HTTP/1.1 and HTTP/2, by
/// `serve_connection_with_upgrades`.
pub fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_size.max(64 * 1024))
        .half_close(false)
        .keep_alive(true);
    if limits.head_fields != DEFAULT_HEAD_FIELDS {
        builder.http1().max_headers(limits.head_fields);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(limits.resets)
        .max_local_error_reset_streams(limits.resets)
        .max_header_list_size(u32::try_from(limits.head_size).unwrap_or(u32::MAX))
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        // What a client that gives no window can make us hold for each stream.
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(limits.keep_alive.0)
        .keep_alive_timeout(limits.keep_alive.1);
    builder
}
