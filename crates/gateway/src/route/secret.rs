//! Secrets as Services use them.

use std::fmt;

use zeroize::Zeroizing;

/// What a Secret holds.
pub struct SecretValue {
    /// Its data.
    pub data: Zeroizing<Vec<u8>>,
    /// What goes with it and is not secret: the certificate chain of a key, in PEM.
    pub certificates: Option<Vec<u8>>,
}

/// Gives a Secret by its name; `None` where there is none.
pub type Secrets<'a> = dyn Fn(&str) -> Option<SecretValue> + 'a;

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretValue").finish_non_exhaustive()
    }
}
