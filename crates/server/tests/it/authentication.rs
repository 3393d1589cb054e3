//! Authentication, tokens and their revocation, on both stores and several replicas.

pub(crate) mod api;
mod crash;
mod device;
mod earlier_builds;
mod history;
mod keys;
mod lookup;
mod one_time;
mod recovery;
mod revocation;
mod stream_authorization;
mod workload_assertion;
