//! The ports for request spans. Without a collector they cost nothing.

use http::{HeaderName, HeaderValue};

/// The header of W3C Trace Context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A collector of spans.
pub trait Traces: Send + Sync + 'static {
    /// Starts the span of a request. `parent` is the `traceparent` of the request, if it has one.
    fn begin(&self, parent: Option<&str>) -> Box<dyn Trace>;
}

/// The span of one request. If dropped, it ends without facts.
pub trait Trace: Send + Sync {
    /// Returns the `traceparent` to send to the upstream.
    fn traceparent(&self) -> Option<HeaderValue>;

    /// Ends the span.
    fn end(self: Box<Self>, facts: &TraceFacts<'_>);
}

/// The facts about a request at its end, as in the access log.
#[derive(Debug, Clone, Copy)]
pub struct TraceFacts<'a> {
    /// The id of the request, known to the log and the client.
    pub request_id: &'a str,
    /// The HTTP method.
    pub method: &'a str,
    /// The host, without the port.
    pub host: Option<&'a str>,
    /// The path, without the query.
    pub path: Option<&'a str>,
    /// The HTTP status; `None` if there was no response.
    pub status: Option<u16>,
    /// The Service as `service.namespace`.
    pub service: Option<&'a str>,
    /// The name of the User.
    pub user: Option<&'a str>,
    /// The name of the Session.
    pub session: Option<&'a str>,
    /// The kind of decision.
    pub decision: &'a str,
    /// The host and port of the endpoint.
    pub upstream: Option<&'a str>,
    /// The error after the decision, if there was one.
    pub error: Option<&'a str>,
}
