//! Throw-away stores for tests.
#![allow(
    clippy::expect_used,
    reason = "a test that cannot have its store has failed"
)]

use std::{path::Path, sync::Arc};

use domain::{clock::SystemClock, rng::SeededRng};

use crate::{
    Store,
    seal::{MasterKey, MasterKeys},
    sqlite::Sqlite,
};

/// An empty embedded store in a directory of its own, which goes with it.
///
/// # Panics
/// Where it cannot be made.
pub fn sqlite() -> Arc<dyn Store> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut store = sqlite_in(directory.path());
    store.temporary = Some(directory);
    Arc::new(store)
}

/// The embedded store in `directory`, made where it is not there.
///
/// # Panics
/// Where it cannot be opened.
pub fn sqlite_in(directory: &Path) -> Sqlite {
    Sqlite::open(directory, Some(master_keys()), &SystemClock).expect("an embedded store")
}

/// The master key of all throw-away stores.
pub fn master_keys() -> MasterKeys {
    MasterKeys::new(MasterKey::random(&SeededRng::new(1)))
}
