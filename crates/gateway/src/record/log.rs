//! Requests, for whoever keeps them beyond the access log.

use std::{fmt, net::IpAddr, time::Duration};

use crate::CallerFacts;

/// Keeps requests. Called at the end of each; must not block.
pub trait AccessLog: Send + Sync + 'static {
    /// Takes note of a request that has ended.
    fn add(&self, facts: &AccessFacts<'_>);
}

/// How a request was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// By the Policies.
    Allowed,
    /// By the Policies.
    Denied,
    /// Before they were asked.
    Refused,
    /// Anyone may; or nothing was to be decided.
    Open,
    /// The client went away before it was.
    Undecided,
}

impl Decision {
    /// The word in logs.
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

/// What is known of a request at its end.
#[derive(Clone, Copy)]
pub struct AccessFacts<'a> {
    /// Names it in the log and to the client.
    pub request_id: &'a str,
    /// Address of the client.
    pub client: IpAddr,
    /// HTTP method.
    pub method: &'a str,
    /// Without the port.
    pub host: Option<&'a str>,
    /// Without the query.
    pub path: Option<&'a str>,
    /// `service.namespace`, and the uid.
    pub service: Option<(&'a str, &'a str)>,
    /// Who asked.
    pub caller: Option<&'a CallerFacts>,
    /// How it was decided.
    pub decision: Decision,
    /// Why.
    pub reason: &'a dyn fmt::Display,
    /// What would have been enough to be let in.
    pub step_up: Option<&'a dyn fmt::Display>,
    /// HTTP status; `None` where there was no response.
    pub status: Option<u16>,
    /// Of a call of gRPC.
    pub grpc_status: Option<u8>,
    /// Host and port of the endpoint.
    pub upstream: Option<&'a str>,
    /// Bytes of the request's body.
    pub received: u64,
    /// Bytes of the response's body.
    pub sent: u64,
    /// From the head of the request to the end of the response.
    pub duration: Duration,
    /// What went wrong after the decision.
    pub error: Option<&'static str>,
}
