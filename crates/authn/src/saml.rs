//! A SAML 2.0 service provider: the Web Browser SSO and Single Logout profiles. Logins always start with our own
//! request.
//!
//! The module does no I/O: time, randomness and messages are parameters. Claims are read only from bytes that a
//! verified signature covers; see `signature`.

mod algorithm;
mod base64;
mod binding;
mod canonical;
mod certificate;
mod encryption;
mod error;
mod fixed_signature;
mod instant;
mod keys;
mod logout;
mod names;
mod provider;
mod request;
mod response;
mod service_provider;
mod signature;
mod xml;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use binding::{MAX_RELAY_STATE, Outgoing, incoming::Incoming};
pub use certificate::Certificate;
pub use error::{Error, ErrorKind};
pub use instant::CLOCK_SKEW;
pub use keys::{DecryptionKey, KeyMaterial, SigningKey, generate};
pub use logout::{
    Ended, LogoutRequest, SentLogout, answer_logout, begin_logout, claimed_sender, finish_logout,
    read_logout_request,
};
pub use provider::{Binding, Endpoint, MAX_METADATA_BYTES, MetadataOptions, Provider};
pub use request::{LoginRequest, begin_login};
pub use response::{Attribute, Expected, Login, NameId, finish_login};
pub use service_provider::ServiceProvider;
