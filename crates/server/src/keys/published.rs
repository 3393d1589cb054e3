//! The public keys that verify the tokens of this Cluster.

use domain::token::VerifyingKey;

use super::Keyring;

impl Keyring {
    /// Returns all keys, including those that do not sign yet and those that no longer sign.
    pub(crate) fn published(&self) -> Vec<VerifyingKey> {
        let keys = self.keys.load();
        keys.0.iter().map(|key| key.verifying.clone()).collect()
    }
}
