//! Control plane: use cases, the gRPC API, the authentication endpoints and OAuth2.
//!
//! Every use case takes a [`Context`] first. HTTP types are used only in the transports, such as [`grpc`] and
//! `oauth2`.

mod access;
pub mod access_log;
pub mod audit;
mod audit_batch;
pub mod authentication;
mod authentication_state;
mod background;
pub mod bootstrap;
mod budget;
mod caller;
mod context;
pub mod directory;
pub mod document;
mod error;
mod explanation;
mod federation;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod geoip;
pub mod grpc;
mod grpc_status;
mod hits;
pub mod identity_assertion;
pub mod keys;
mod limit;
pub mod mds_metadata;
mod oauth2;
mod provider_cache;
pub mod resource;
pub mod return_to;
mod row_budget;
mod sealed;
pub mod step_up;
mod transaction;
mod usage;
mod waiting_logins;
pub mod web;

pub use access::{Peer, RequestId};
pub use audit_batch::AuditBatch;
pub use caller::{Actor, Caller};
pub use context::{Context, Domain, InvalidDomain};
pub use directory::{Directory, Principal, ServiceEntry, Unauthenticated};
pub use error::{Error, ErrorKind};
pub use grpc::grpc_router;
pub use oauth2::oauth2_router;
pub use usage::UsageBatch;
pub use web::web_router;
