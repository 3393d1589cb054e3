//! The keys as others need them to verify what this Cluster signs.

use domain::token::VerifyingKey;

use super::Keyring;

impl Keyring {
    /// All keys, those that do not sign yet or no longer included.
    pub(crate) fn published(&self) -> Vec<VerifyingKey> {
        let keys = self.keys.load();
        keys.0.iter().map(|key| key.verifying.clone()).collect()
    }
}
