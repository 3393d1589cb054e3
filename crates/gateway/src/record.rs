//! The record of a request: one access log line, and metrics.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, uri::PathAndQuery};
use tokio::time::Instant;

use crate::{
    Caller, Principal, Route, Trace, TraceFacts,
    access_log::{AccessFacts, AccessLog, Decision},
    body::Transfer,
    canonical::Canonical,
    request_id::RequestId,
    route_metrics,
    upstream::Endpoint,
};

mod class;

pub use class::{grpc_status, status_class};

/// The facts about one request. They are written on drop, when the response has ended or was aborted. Queries are left
/// out because they often contain secrets.
pub(crate) struct Record {
    pub(crate) id: RequestId,
    pub(crate) started: Instant,
    pub(crate) client: IpAddr,
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) target: Option<PathAndQuery>,
    pub(crate) host: Option<Box<str>>,
    pub(crate) route: Option<Arc<Route>>,
    pub(crate) caller: Option<Arc<Caller>>,
    pub(crate) outcome: Outcome,
    /// The decision of the shadow Policies, if it differs from the actual one.
    pub(crate) shadow: Option<policy::Decision>,
    /// The authentication that would have satisfied the Policies.
    pub(crate) step_up: Option<Box<policy::StepUp>>,
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    /// Number of retries after a response that the Service wants retried.
    pub(crate) retries: u32,
    pub(crate) trace: Option<Box<dyn Trace>>,
    pub(crate) log: Option<Arc<dyn AccessLog>>,
    /// The cookie that replaces an old one.
    pub(crate) renewal: Option<Box<HeaderValue>>,
    /// The state of the request body.
    pub(crate) transfer: Option<Arc<Transfer>>,
    status: Option<StatusCode>,
    grpc_status: Option<u8>,
    sent: u64,
    error: Option<&'static str>,
    complete: bool,
}

/// The decision about the request.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The client disconnected before a decision.
    Undecided,
    /// Rejected before the Policies, with a stable reason.
    Refused(&'static str),
    /// Denied by the Policies.
    Denied(policy::Reason),
    /// Allowed by the Policies.
    Allowed(policy::Reason),
    /// Open to anyone, or no decision was needed.
    Open(&'static str),
}

impl Record {
    pub(crate) fn new(id: RequestId, client: IpAddr, method: Method, version: Version) -> Self {
        Self {
            id,
            started: Instant::now(),
            client,
            method,
            version,
            target: None,
            host: None,
            route: None,
            caller: None,
            outcome: Outcome::Undecided,
            shadow: None,
            step_up: None,
            endpoint: None,
            retries: 0,
            trace: None,
            log: None,
            renewal: None,
            transfer: None,
            status: None,
            grpc_status: None,
            sent: 0,
            error: None,
            complete: false,
        }
    }

    pub(crate) fn set_request(&mut self, request: &Canonical) {
        self.target = Some(request.target.clone());
        self.host = Some(Box::from(request.host.name()));
    }

    pub(crate) fn set_principal(&mut self, principal: &Principal) {
        self.caller = Some(Arc::clone(&principal.caller));
    }

    pub(crate) fn set_status(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// Reads the gRPC status of a head or of trailers, if present.
    pub(crate) fn set_grpc_status(&mut self, fields: &HeaderMap) {
        self.grpc_status = grpc_status(fields).or(self.grpc_status);
    }

    pub(crate) fn add_sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    pub(crate) fn set_complete(&mut self) {
        self.complete = true;
    }

    pub(crate) fn set_error(&mut self, error: &'static str) {
        self.error = Some(error);
    }

    fn error(&self) -> Option<&'static str> {
        match (self.error, self.complete) {
            (None, false) => Some("client_went_away"),
            (error, _) => error,
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        let received = self
            .transfer
            .as_ref()
            .map_or(0, |transfer| transfer.bytes());
        match &self.route {
            Some(route) => {
                let class = self
                    .status
                    .map(|status| status_class(status, self.grpc_status));
                route.metrics.record(class, elapsed, received, self.sent);
                if let Some(shadow) = &self.shadow {
                    route.metrics.count_shadow(shadow.allowed);
                }
            }
            None => route_metrics::count_unrouted(),
        }
        let caller = self.caller.as_ref().map(|caller| caller.facts());
        let reason: &dyn std::fmt::Display = match &self.outcome {
            Outcome::Undecided => &"",
            Outcome::Refused(word) | Outcome::Open(word) => word,
            Outcome::Denied(reason) | Outcome::Allowed(reason) => reason,
        };
        let decision = match &self.outcome {
            Outcome::Undecided => Decision::Undecided,
            Outcome::Refused(_) => Decision::Refused,
            Outcome::Denied(_) => Decision::Denied,
            Outcome::Allowed(_) => Decision::Allowed,
            Outcome::Open(_) => Decision::Open,
        };
        if let Some(log) = &self.log {
            log.add(&AccessFacts {
                request_id: self.id.as_str(),
                client: self.client,
                method: self.method.as_str(),
                host: self.host.as_deref(),
                path: self.target.as_ref().map(PathAndQuery::path),
                service: self.route.as_ref().map(|route| (route.name(), route.uid())),
                caller,
                decision,
                reason,
                step_up: self.step_up.as_deref().map(|step_up| step_up as _),
                status: self.status.map(|status| status.as_u16()),
                grpc_status: self.grpc_status,
                upstream: self
                    .endpoint
                    .as_ref()
                    .map(|endpoint| endpoint.authority.as_str()),
                received,
                sent: self.sent,
                duration: elapsed,
                error: self.error(),
            });
        }
        let decision = decision.as_str();
        if let Some(trace) = self.trace.take() {
            let caller = self.caller.as_ref().map(|caller| caller.facts());
            trace.end(&TraceFacts {
                request_id: self.id.as_str(),
                method: self.method.as_str(),
                host: self.host.as_deref(),
                path: self.target.as_ref().map(PathAndQuery::path),
                status: self.status.map(|status| status.as_u16()),
                service: self.route.as_ref().map(|route| route.name()),
                user: caller.map(|caller| caller.user.as_str()),
                session: caller.map(|caller| caller.session.as_str()),
                decision,
                upstream: self
                    .endpoint
                    .as_ref()
                    .map(|endpoint| endpoint.authority.as_str()),
                error: self.error(),
            });
        }
        tracing::info!(
            target: "gateway::access",
            request_id = self.id.as_str(),
            client = %self.client,
            host = self.host.as_deref(),
            method = self.method.as_str(),
            path = self.target.as_ref().map(PathAndQuery::path),
            version = ?self.version,
            status = self.status.map(|status| status.as_u16()),
            grpc_status = self.grpc_status,
            service = self.route.as_ref().map(|route| route.name()),
            user = caller.map(|caller| caller.user.as_str()),
            session = caller.map(|caller| caller.session.as_str()),
            credential = caller.and_then(|caller| caller.credential.as_deref()),
            decision,
            %reason,
            step_up = self.step_up.as_ref().map(tracing::field::display),
            shadow = self.shadow.as_ref().map(|shadow| tracing::field::display(&shadow.reason)),
            upstream = self.endpoint.as_ref().map(|endpoint| endpoint.authority.as_str()),
            retries = (self.retries > 0).then_some(self.retries),
            received,
            sent = self.sent,
            duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            error = self.error(),
            "request"
        );
    }
}
