//! The gRPC API: one file per service. Each method extracts, calls a use case and converts the result.

pub mod auth;
pub mod core;
pub mod platform;
mod router;
pub mod user;

pub use router::grpc_router;
use tonic::{Request, Status};

use crate::{Actor, Error, ErrorKind, resource::author::Author};

/// Returns the actor, which the access layer added to the request.
///
/// # Errors
/// Returns `Unauthenticated` if the request has none.
fn actor<T>(request: &Request<T>) -> Result<Actor, Status> {
    let actor = request.extensions().get::<Actor>().cloned();
    actor.ok_or_else(|| Error::new(ErrorKind::Unauthenticated, "Octelium: Unauthenticated").into())
}

/// Returns the author of a write with the method `operation`.
fn author<T>(request: &Request<T>, operation: &str) -> Result<Author, Status> {
    Ok(Author::new(actor(request)?, operation))
}

fn credential_ref_missing() -> Error {
    Error::invalid("credentialRef must be set")
}
