//! The port for recipients of requests in addition to the access log.

use std::{fmt, net::IpAddr, time::Duration};

use crate::CallerFacts;

/// A recipient of requests. It is called at the end of each request and must not block.
pub trait AccessLog: Send + Sync + 'static {
    /// Accepts a request that has ended.
    fn add(&self, facts: &AccessFacts<'_>);
}

/// The kind of decision about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Allowed by the Policies.
    Allowed,
    /// Denied by the Policies.
    Denied,
    /// Rejected before the Policies were evaluated.
    Refused,
    /// Open to anyone, or no decision was needed.
    Open,
    /// The client disconnected before a decision.
    Undecided,
}

impl Decision {
    /// Returns the name used in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Open => "open",
            Self::Undecided => "undecided",
        }
    }
}

/// The facts about a request at its end.
#[derive(Clone, Copy)]
pub struct AccessFacts<'a> {
    /// The id of the request, known to the log and the client.
    pub request_id: &'a str,
    /// The address of the client.
    pub client: IpAddr,
    /// The HTTP method.
    pub method: &'a str,
    /// The host, without the port.
    pub host: Option<&'a str>,
    /// The path, without the query.
    pub path: Option<&'a str>,
    /// The Service as `service.namespace`, and its uid.
    pub service: Option<(&'a str, &'a str)>,
    /// The authenticated caller.
    pub caller: Option<&'a CallerFacts>,
    /// The kind of decision.
    pub decision: Decision,
    /// The reason for the decision.
    pub reason: &'a dyn fmt::Display,
    /// The authentication that would have satisfied the Policies.
    pub step_up: Option<&'a dyn fmt::Display>,
    /// The HTTP status; `None` if there was no response.
    pub status: Option<u16>,
    /// The gRPC status of a gRPC call.
    pub grpc_status: Option<u8>,
    /// The host and port of the endpoint.
    pub upstream: Option<&'a str>,
    /// Bytes of the request body.
    pub received: u64,
    /// Bytes of the response body.
    pub sent: u64,
    /// The time from the head of the request to the end of the response.
    pub duration: Duration,
    /// The error after the decision, if there was one.
    pub error: Option<&'static str>,
}
