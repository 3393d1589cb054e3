//! What the login page needs of identity providers, whatever protocol they speak.
//!
//! A login goes out with [`begin`] and comes back with [`finish`]. In between the browser keeps what the protocol has
//! to remember, sealed and bound to that browser, so another replica may finish what one has begun.

use domain::id::Uid;

use super::form::Fields;
use crate::{Caller, Context, Error, ErrorKind, authentication::identity::ProvenIdentity};

/// A provider that people may choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) uid: Uid,
    /// For people to read.
    pub(crate) label: String,
}

/// A login that goes out.
pub(crate) struct Departure {
    /// Where the browser is sent.
    pub(crate) url: String,
    /// What the protocol remembers (nonce, code verifier, request id): less than 1 KiB.
    pub(crate) memory: Vec<u8>,
}

/// What a provider has sent the browser back with.
#[allow(dead_code, reason = "read by the protocols, which follow")]
pub(crate) struct Arrival<'a> {
    pub(crate) provider: Uid,
    /// `state` or `RelayState`, which were checked.
    pub(crate) state: &'a str,
    pub(crate) memory: &'a [u8],
    /// Of the query, or of the form.
    pub(crate) fields: &'a Fields,
    pub(crate) caller: &'a Caller,
}

/// Who it is, and how that was found out.
pub(crate) struct Identified {
    pub(crate) user: Uid,
    pub(crate) identity: ProvenIdentity,
}

/// The providers that people can log in with.
pub(crate) fn offers(_ctx: &Context) -> Vec<Offer> {
    // No kind of provider is served yet.
    Vec::new()
}

/// Sends somebody to a provider. `state` is to come back unchanged.
///
/// # Errors
/// `NotFound` where there is no such provider; others where it cannot be reached or is not set up well.
#[allow(
    clippy::unused_async,
    reason = "the protocols, which follow, ask others"
)]
pub(crate) async fn begin(
    _ctx: &Context,
    _provider: Uid,
    _state: &str,
) -> Result<Departure, Error> {
    Err(gone())
}

/// Finds out whom a provider has sent back.
///
/// # Errors
/// `Unauthenticated` or `PermissionDenied` where that is nobody who may log in, with a text for that person.
#[allow(
    clippy::unused_async,
    reason = "the protocols, which follow, ask others"
)]
pub(crate) async fn finish(_ctx: &Context, _arrival: Arrival<'_>) -> Result<Identified, Error> {
    Err(gone())
}

fn gone() -> Error {
    Error::new(
        ErrorKind::FailedPrecondition,
        "This way to log in is not there any more. Choose another.",
    )
    .because("provider_gone")
}
