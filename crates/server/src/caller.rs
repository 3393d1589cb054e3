//! The sender of a request.

use std::{net::IpAddr, sync::Arc};

use crate::Principal;

/// The sender of a request, authenticated or not.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// Id of the request in logs, audit events and the response.
    pub request_id: String,
    /// IP address of the client, if the listener trusts it.
    pub ip: Option<IpAddr>,
    /// User agent as sent, shortened to 220 bytes.
    pub user_agent: String,
}

/// The sender of an authenticated request. It is in the `http::Extensions` of each such request.
#[derive(Clone)]
pub struct Actor {
    /// The authenticated Session.
    pub principal: Arc<Principal>,
    /// Id of the request in logs, audit events and the response.
    pub request_id: String,
    /// IP address of the client, if the listener trusts it.
    pub ip: Option<IpAddr>,
    /// User agent as sent, shortened to 220 bytes.
    pub user_agent: String,
}
