//! The URL of a database.

use zeroize::Zeroizing;

/// The URL of a database. It can contain a password and is never printed.
#[derive(Clone)]
pub struct DatabaseUrl(Zeroizing<String>);

impl DatabaseUrl {
    /// Creates a URL of the form `postgres://…`.
    pub fn new(url: impl Into<String>) -> Self {
        Self(Zeroizing::new(url.into()))
    }

    /// Returns the text of the URL, to connect with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
