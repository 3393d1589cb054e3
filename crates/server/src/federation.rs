//! Logins and logouts at identity providers.

mod ending;
pub(crate) mod oidc;
pub(crate) mod saml;

/// Path to which identity providers redirect or post.
pub(crate) const CALLBACK: &str = "/callback";
