//! The control plane as the gateway sees it.

pub(crate) mod access_log;
pub(crate) mod identity;
pub(crate) mod routes;
