//! The gRPC surface: one file a service, each method being extract, use case, convert.

pub mod auth;
pub mod core;
pub mod platform;
mod router;
pub mod status;
pub mod user;

pub use router::grpc_router;
use tonic::{Request, Status};

use crate::{Actor, Error, ErrorKind, resource::author::Author};

/// Who sent the request: the access layer has put it there.
///
/// # Errors
/// Where it has not.
fn actor<T>(request: &Request<T>) -> Result<Actor, Status> {
    let actor = request.extensions().get::<Actor>().cloned();
    actor.ok_or_else(|| Error::new(ErrorKind::Unauthenticated, "Octelium: Unauthenticated").into())
}

/// Who writes, by the method `operation`.
fn author<T>(request: &Request<T>, operation: &str) -> Result<Author, Status> {
    Ok(Author::new(actor(request)?, operation))
}

fn credential_ref_missing() -> Error {
    Error::invalid("credentialRef must be set")
}
