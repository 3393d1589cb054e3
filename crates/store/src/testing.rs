//! Temporary stores for tests.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::{path::Path, sync::Arc};

use domain::{
    clock::{Clock, SystemClock},
    rng::SeededRng,
};

use crate::{
    DatabaseUrl, Store,
    postgres::{Postgres, PostgresOptions},
    seal::{MasterKey, MasterKeys},
    sqlite::Sqlite,
};

mod pair;
mod relay;
mod server;

pub use pair::{Pair, until};
pub use relay::Relay;
pub use server::Server;

/// Creates an empty embedded store in a temporary directory, which is deleted together with the store.
///
/// # Panics
/// Panics if the store cannot be created.
pub fn sqlite() -> Arc<dyn Store> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut store = sqlite_in(directory.path());
    store.temporary = Some(directory);
    Arc::new(store)
}

/// Opens the embedded store in `directory`, creating it if necessary.
///
/// # Panics
/// Panics if the store cannot be opened.
pub fn sqlite_in(directory: &Path) -> Sqlite {
    Sqlite::open(directory, Some(master_keys()), &SystemClock).expect("an embedded store")
}

/// Returns the master key of all temporary stores.
pub fn master_keys() -> MasterKeys {
    MasterKeys::new(MasterKey::random(&SeededRng::new(1)))
}

/// Creates an empty store on a PostgreSQL server that is started for this process and ends with it.
///
/// # Panics
/// Panics if PostgreSQL is not installed or does not start.
pub async fn postgres() -> Arc<dyn Store> {
    let url = postgres_database().await;
    Arc::new(postgres_at(&url).await)
}

/// Creates an empty database on the server of this process and returns its URL.
///
/// # Panics
/// Panics if PostgreSQL is not installed or does not start.
pub async fn postgres_database() -> DatabaseUrl {
    let server = tokio::task::spawn_blocking(Server::shared)
        .await
        .expect("a throw-away server");
    server.database().await
}

/// Connects a replica to the database at `url`.
///
/// # Panics
/// Panics if it cannot connect.
pub async fn postgres_at(url: &DatabaseUrl) -> Postgres {
    postgres_with(&postgres_options(url), Arc::new(SystemClock)).await
}

/// Returns the options with which [`postgres_at`] connects.
pub fn postgres_options(url: &DatabaseUrl) -> PostgresOptions {
    PostgresOptions {
        url: url.clone(),
        ca_certificate: None,
        connections: 4,
        changes_wait_for_standby: false,
    }
}

/// Connects a replica with `options`, which reads the time from `clock`.
///
/// # Panics
/// Panics if it cannot connect.
pub async fn postgres_with(options: &PostgresOptions, clock: Arc<dyn Clock>) -> Postgres {
    Postgres::connect(options, &master_keys(), clock)
        .await
        .expect("a store on the throw-away server")
}

/// Opens a plain connection to the database at `url`, for tests that interfere from outside the store.
///
/// # Panics
/// Panics if it cannot connect.
pub async fn postgres_client(url: &DatabaseUrl) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url.expose(), tokio_postgres::NoTls)
        .await
        .expect("a connection to the throw-away server");
    tokio::spawn(connection);
    client
}
