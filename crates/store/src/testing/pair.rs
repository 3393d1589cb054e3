//! A primary and its standby, for tests of failovers.

use std::time::Duration;

use tokio::time::{Instant, interval};

use super::{Relay, Server, postgres_client};
use crate::DatabaseUrl;

/// A primary and its standby behind one address, which a failover switches to the standby.
pub struct Pair {
    primary: Server,
    standby: Server,
    relay: Relay,
    url: DatabaseUrl,
    database: String,
}

impl Pair {
    /// Starts the servers.
    ///
    /// # Panics
    /// Panics if PostgreSQL is not installed or does not start.
    pub async fn start() -> Self {
        let primary = Server::start_separate().await;
        let url = primary.database().await;
        let database = url.expose().rsplit('/').next().expect("a name").to_owned();
        let standby = primary.standby().await;
        let relay = Relay::to(&primary).await;
        let url = DatabaseUrl::new(format!(
            "postgres://postgres@{}/{database}",
            relay.address()
        ));
        Self {
            primary,
            standby,
            relay,
            url,
            database,
        }
    }

    /// Returns the URL of the database, at the address of the current primary.
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// Returns the relay in front of the current primary.
    pub fn relay(&self) -> &Relay {
        &self.relay
    }

    /// Connects to the standby.
    ///
    /// # Panics
    /// Panics if the standby does not answer.
    pub async fn on_standby(&self) -> tokio_postgres::Client {
        postgres_client(&self.standby.url(&self.database)).await
    }

    /// Connects to the primary.
    ///
    /// # Panics
    /// Panics if the primary does not answer.
    pub async fn on_primary(&self) -> tokio_postgres::Client {
        postgres_client(&self.primary.url(&self.database)).await
    }

    /// Waits until the standby has replayed everything that is committed.
    ///
    /// # Panics
    /// Panics if this takes more than 30 seconds.
    pub async fn replicate(&self) {
        let primary = self.on_primary().await;
        let row = primary.query_one("SELECT pg_current_wal_lsn()::text", &[]);
        let position: String = row.await.expect("the server answers").get(0);
        let standby = self.on_standby().await;
        let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'");
        until("replication", async || {
            standby
                .query_one(&sql, &[])
                .await
                .expect("the server answers")
                .get(0)
        })
        .await;
    }

    /// Stops replication to the standby.
    ///
    /// # Panics
    /// Panics if the standby does not answer.
    pub async fn cut(&self) {
        let standby = self.on_standby().await;
        for sql in [
            "ALTER SYSTEM SET primary_conninfo = ''",
            "SELECT pg_reload_conf()",
        ] {
            standby
                .batch_execute(sql)
                .await
                .expect("the server answers");
        }
        until("cutting the standby", async || {
            let row = standby.query_one("SELECT count(*) = 0 FROM pg_stat_wal_receiver", &[]);
            row.await.expect("the server answers").get(0)
        })
        .await;
    }

    /// Crashes the primary, promotes the standby and switches the address to it.
    ///
    /// # Panics
    /// Panics if the standby is not promoted.
    pub async fn fail_over(self) -> (Server, Relay) {
        self.primary.crash();
        let standby = postgres_client(&self.standby.url(&self.database)).await;
        let promoted = standby
            .query_one("SELECT pg_promote()", &[])
            .await
            .expect("the server answers");
        assert!(promoted.get::<_, bool>(0));
        self.relay.switch(&self.standby);
        (self.standby, self.relay)
    }
}

/// Polls a condition until it is true.
///
/// # Panics
/// Panics after 30 seconds.
pub async fn until(what: &str, mut asks: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut ticks = interval(Duration::from_millis(20));
    while !asks().await {
        assert!(Instant::now() < deadline, "{what} took too long");
        ticks.tick().await;
    }
}
