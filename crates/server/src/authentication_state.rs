//! Caches and locks of authentication.

use std::sync::Arc;

use domain::{id::Uid, token::Claims};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{
    directory::{CacheKey, cache::Cache},
    waiting_logins::WaitingLogins,
};

const STRIPES: usize = 256;
const VERIFIED_SECRETS: usize = 50_000;
const GRANTS: usize = 50_000;

/// The claims of a verified secret. They are valid while the epoch of removed keys is `key_epoch`.
#[derive(Clone)]
pub(crate) struct VerifiedSecret {
    pub(crate) claims: Claims,
    pub(crate) key_epoch: u64,
}

/// Authentication state that one replica keeps in memory between requests.
pub(crate) struct AuthenticationState {
    /// Verified secrets of Credentials.
    pub(crate) secrets: Cache<CacheKey, VerifiedSecret>,
    /// Maps the key of each grant to its Session.
    pub(crate) grants: Cache<(Uid, u32, Arc<str>), Uid>,
    /// Device logins that wait for a User.
    pub(crate) device_logins: WaitingLogins,
    stripes: Vec<Arc<Mutex<()>>>,
}

impl Default for AuthenticationState {
    fn default() -> Self {
        Self {
            secrets: Cache::new(VERIFIED_SECRETS),
            grants: Cache::new(GRANTS),
            device_logins: WaitingLogins::default(),
            stripes: (0..STRIPES).map(|_| Arc::default()).collect(),
        }
    }
}

impl AuthenticationState {
    /// Locks the stripe of `uid`. Within one replica, compare-and-set writes of the same object then never race.
    pub(crate) async fn lock(&self, uid: Uid) -> OwnedMutexGuard<()> {
        let index = uid.as_bytes().iter().fold(0_usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
        }) % STRIPES;
        let stripe = self.stripes.get(index).cloned().unwrap_or_default();
        stripe.lock_owned().await
    }
}
