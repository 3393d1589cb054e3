//! The gateway as clients and upstreams see it: real sockets on both sides, fakes of its two ports behind it.

mod authentication;
mod canonical;
mod grpc;
mod headers;
mod hostile;
mod proxying;
mod revocation;
mod support;
mod upstreams;
mod websocket;
