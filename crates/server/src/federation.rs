//! Logins and logouts at identity providers.

pub(crate) mod oidc;
pub(crate) mod saml;
mod single_logout;

/// Path to which identity providers redirect or post.
pub(crate) const CALLBACK: &str = "/callback";
