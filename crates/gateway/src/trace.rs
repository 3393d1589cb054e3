//! Spans of requests, for whoever collects them. Costs nothing where nobody does.

use http::{HeaderName, HeaderValue};

/// W3C Trace Context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Where spans go.
pub trait Traces: Send + Sync + 'static {
    /// Begins the span of a request. `parent`: the `traceparent` that came with it, if it did.
    fn begin(&self, parent: Option<&str>) -> Box<dyn Trace>;
}

/// The span of one request. Dropped, it ends with nothing said of it.
pub trait Trace: Send + Sync {
    /// The `traceparent` by which the upstream goes on.
    fn traceparent(&self) -> Option<HeaderValue>;

    /// Ends it.
    fn end(self: Box<Self>, facts: &TraceFacts<'_>);
}

/// What is known of a request at its end: as in the access log.
#[derive(Debug, Clone, Copy)]
pub struct TraceFacts<'a> {
    /// Names it in the log and to the client.
    pub request_id: &'a str,
    /// HTTP method.
    pub method: &'a str,
    /// Without the port.
    pub host: Option<&'a str>,
    /// Without the query.
    pub path: Option<&'a str>,
    /// HTTP status; `None` where there was no response.
    pub status: Option<u16>,
    /// `service.namespace`
    pub service: Option<&'a str>,
    /// Name of the User.
    pub user: Option<&'a str>,
    /// Name of the Session.
    pub session: Option<&'a str>,
    /// How it was decided.
    pub decision: &'a str,
    /// Host and port of the endpoint.
    pub upstream: Option<&'a str>,
    /// What went wrong after the decision.
    pub error: Option<&'a str>,
}
