//! Authentication of identities, and the lifecycle of Sessions.

pub(crate) mod active;
mod assertion;
pub(crate) mod authenticator;
mod begin;
pub(crate) mod browser;
pub mod client_login;
pub mod device;
pub(crate) mod device_login;
pub mod enrollment;
pub(crate) mod identity;
pub mod issue;
mod login;
mod logout;
pub(crate) mod person;
pub(crate) mod reap;
mod refresh;
pub(crate) mod secret;
mod sign;

use std::sync::Arc;

use domain::id::Uid;
use tokio::sync::{Mutex, OwnedMutexGuard};

pub use assertion::{AssertionLogin, with_assertion};
pub(crate) use assertion::{Wanted, begin_by_assertion};
pub use authenticator::factors as second_factors;
pub(crate) use begin::{Beginning, By, begin, failure, is_race, loosen};
pub(crate) use identity::{IdentityFailed, Lifetime, SingleUse, refused_identity};
pub(crate) use login::refused;
pub use login::{Login, with_authentication_token};
pub use logout::logout;
pub use refresh::{check_refresh_token, with_refresh_token};
pub(crate) use secret::UNAUTHENTICATED;
pub(crate) use sign::{SessionTokens, access_token, seconds_until};

use crate::directory::{CacheKey, cache::Cache};

const STRIPES: usize = 256;
const VERIFIED_SECRETS: usize = 50_000;
const GRANTS: usize = 50_000;

/// Authentication state that one replica keeps in memory between requests.
pub(crate) struct State {
    secrets: Cache<CacheKey, secret::Verified>,
    /// Maps the key of each grant to its Session.
    pub(crate) grants: Cache<(Uid, u32, Arc<str>), Uid>,
    device_logins: device_login::WaitingLogins,
    stripes: Vec<Arc<Mutex<()>>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            secrets: Cache::new(VERIFIED_SECRETS),
            grants: Cache::new(GRANTS),
            device_logins: device_login::WaitingLogins::default(),
            stripes: (0..STRIPES).map(|_| Arc::default()).collect(),
        }
    }
}

impl State {
    /// Locks the stripe of `uid`. Within one replica, compare-and-set writes of the same object then never race.
    pub(crate) async fn turn(&self, uid: Uid) -> OwnedMutexGuard<()> {
        let index = uid.as_bytes().iter().fold(0_usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
        }) % STRIPES;
        let stripe = self.stripes.get(index).cloned().unwrap_or_default();
        stripe.lock_owned().await
    }
}
