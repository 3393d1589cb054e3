//! Secrets that the configuration of a Service uses.

use std::fmt;

use zeroize::Zeroizing;

/// The content of a Secret.
pub struct SecretValue {
    /// The secret data.
    pub data: Zeroizing<Vec<u8>>,
    /// The certificate chain of a private key in PEM, which is not secret.
    pub certificates: Option<Vec<u8>>,
}

/// A function that finds a Secret by its name. It returns `None` if the Secret does not exist.
pub type Secrets<'a> = dyn Fn(&str) -> Option<SecretValue> + 'a;

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretValue").finish_non_exhaustive()
    }
}
