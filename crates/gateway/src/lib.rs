//! The data plane: accept → route → authenticate → authorize → forward → record.
//!
//! [`Gateway::handle`] builds one canonical request, which both the Policies and the upstream see. It rejects ambiguous
//! requests. The gateway learns about Users and Services only through the ports [`Identity`] and [`Directory`].

mod authorize;
mod body;
mod caller;
mod canonical;
mod config;
mod denial;
mod forward;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gateway;
mod handle;
mod inbound;
pub mod listener;
mod login;
mod mode;
mod port;
mod record;
mod route;
mod shares;
mod trace;
mod upstream;
pub mod worker;

pub use body::{Body, BodyError};
pub use caller::{Assertion, Caller, CallerFacts};
pub use config::Config;
pub use gateway::Gateway;
pub use port::{Arrived, Directory, Identity, NotArrived, Principal, Rejection, Renewal};
pub use record::{AccessFacts, AccessLog, Decision, grpc_status, status_class};
pub use route::{Route, SecretValue, Secrets};
pub use trace::{Trace, TraceFacts, Traces};
