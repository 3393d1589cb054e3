//! The adapters that implement the gateway's ports with the control plane.

pub(crate) mod access_log;
pub(crate) mod identity;
pub(crate) mod routes;
