//! The data plane: accept → route → authenticate → authorize → forward → record.
//!
//! [`Gateway::handle`] builds one canonical request, which both the Policies and the upstream see. It rejects ambiguous
//! requests. The gateway learns about Users and Services only through the ports [`Identity`] and [`Directory`].

mod access_log;
mod authorize;
mod body;
mod caller;
mod canonical;
mod config;
mod denial;
mod denial_reason;
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
mod problems;
mod record;
mod request_id;
mod response_body;
mod route;
mod route_metrics;
mod secret;
mod shares;
mod trace;
mod upstream;
pub mod worker;

pub use access_log::{AccessFacts, AccessLog, Decision};
pub use body::BodyError;
pub use caller::{Assertion, Caller, CallerFacts};
pub use config::Config;
pub use gateway::Gateway;
pub use port::{CodeError, Directory, Identity, Principal, RedeemedCode, Rejection, Renewal};
pub use record::{grpc_status, status_class};
pub use response_body::Body;
pub use route::Route;
pub use secret::{SecretValue, Secrets};
pub use trace::{Trace, TraceFacts, Traces};
