//! The gateway as clients and upstreams see it: real sockets on both sides, fakes of its two ports behind it.

mod authentication;
mod canonical;

mod support;
