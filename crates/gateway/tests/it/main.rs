//! Tests of the gateway from the view of clients and upstreams: real sockets on both sides, and fakes of its two ports.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod authentication;
mod browser;
mod canonical;
mod credentials;
mod differential;
mod expressions;
mod grpc;
mod headers;
mod hostile;
mod http1_corpus;
mod http2;
mod http2_corpus;
mod identity;
mod log;
mod modes;
mod patience;
mod plugins;
mod proxying;
mod revocation;
mod shares;
mod step_up;
mod support;
mod upstreams;
mod websocket;
