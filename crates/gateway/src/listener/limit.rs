//! Metrics and warnings for limits of the data plane: a counter for each, and at most one warning a minute.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The interval between two warnings about a limit.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// A limit of a listener or of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Open connections.
    Connections,
    /// Open connections of one address prefix.
    ConnectionsPerAddress,
    /// New connections of one address prefix in a second.
    ConnectionRate,
    /// File descriptors of the process.
    FileDescriptors,
    /// The time of a TLS handshake, including the PROXY protocol header before it.
    HandshakeTime,
    /// A connection of a trusted proxy without a valid PROXY protocol header.
    ProxyHeader,
    /// The time of a request head.
    HeadTime,
    /// Bytes of an HTTP/1 request head.
    HeadSize,
    /// Fields of a request head.
    HeadFields,
    /// The time without a request in HTTP/1.
    Http1IdleTime,
    /// The time without a stream in HTTP/2.
    Http2IdleTime,
    /// The time in which the client reads nothing.
    StallTime,
    /// Concurrent streams of an HTTP/2 connection.
    Http2Streams,
    /// Open HTTP/2 streams of one address prefix.
    StreamsPerAddress,
    /// Open HTTP/2 streams of a listener.
    Streams,
    /// Refused requests without authentication of one address prefix.
    RefusalRate,
    /// Streams that an HTTP/2 client resets, and its protocol errors.
    Http2Resets,
    /// HTTP/2 frames that carry no request, such as PING, SETTINGS and PRIORITY.
    Http2ControlFrames,
    /// Buffered request bodies of one caller.
    BodyShare,
    /// Buffered request bodies of all callers.
    BodyTotal,
    /// A buffered request body that made room for other callers.
    BodyEvicted,
    /// The time of a buffered request body.
    BodyTime,
    /// Open requests of one caller at upstreams.
    UpstreamRequestsPerCaller,
    /// Open requests of all callers at upstreams.
    UpstreamRequests,
}

static LOGGED: LastLogged = LastLogged::new();

impl Limit {
    const COUNT: usize = 24;

    /// Counts that the limit was reached, and logs it at most once a minute.
    pub fn reached(self) {
        self.record(&"");
    }

    /// Does the same as [`Self::reached`] and logs the client.
    pub fn reached_by(self, client: impl fmt::Display) {
        self.record(&client);
    }

    fn record(self, client: &dyn fmt::Display) {
        let limit = self.as_str();
        metrics::counter!("octelium_limit_reached_total", "limit" => limit).increment(1);
        if self.is_routine() {
            tracing::debug!(limit, %client, "limit reached");
        } else if LOGGED.is_due(self, Instant::now()) {
            tracing::warn!(
                limit,
                %client,
                "limit reached; for a minute this is only counted, in octelium_limit_reached_total"
            );
        }
    }

    /// Returns true if well-behaved clients reach the limit regularly.
    fn is_routine(self) -> bool {
        matches!(self, Self::Http1IdleTime | Self::Http2IdleTime)
    }

    /// Returns the label of the metric.
    fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::ConnectionRate => "connection_rate",
            Self::FileDescriptors => "file_descriptors",
            Self::HandshakeTime => "handshake_time",
            Self::ProxyHeader => "proxy_header",
            Self::HeadTime => "head_time",
            Self::HeadSize => "head_size",
            Self::HeadFields => "head_fields",
            Self::Http1IdleTime => "http1_idle_time",
            Self::Http2IdleTime => "http2_idle_time",
            Self::StallTime => "stall_time",
            Self::Http2Streams => "http2_streams",
            Self::StreamsPerAddress => "streams_per_address",
            Self::Streams => "streams",
            Self::RefusalRate => "refusal_rate",
            Self::Http2Resets => "http2_resets",
            Self::Http2ControlFrames => "http2_control_frames",
            Self::BodyShare => "gateway_body_share",
            Self::BodyTotal => "gateway_body_total",
            Self::BodyEvicted => "gateway_body_evicted",
            Self::BodyTime => "gateway_body_time",
            Self::UpstreamRequestsPerCaller => "upstream_requests_per_caller",
            Self::UpstreamRequests => "upstream_requests",
        }
    }
}

/// The time at which each limit was last logged.
struct LastLogged([Mutex<Option<Instant>>; Limit::COUNT]);

impl LastLogged {
    const fn new() -> Self {
        Self([const { Mutex::new(None) }; Limit::COUNT])
    }

    fn is_due(&self, limit: Limit, now: Instant) -> bool {
        let Some(last) = self.0.get(limit as usize) else {
            return true;
        };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.duration_since(last) >= LOG_INTERVAL);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_logged_once_a_minute_s02() {
        let logged = LastLogged::new();
        let now = Instant::now();
        assert!(logged.is_due(Limit::Connections, now));
        assert!(!logged.is_due(Limit::Connections, now + LOG_INTERVAL / 2));
        assert!(logged.is_due(Limit::Http2ControlFrames, now + LOG_INTERVAL / 2));
        assert!(logged.is_due(Limit::Connections, now + LOG_INTERVAL));
        assert_eq!(Limit::UpstreamRequests as usize, Limit::COUNT - 1);
    }
}
