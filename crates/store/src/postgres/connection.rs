//! Connections: addresses, TLS, session settings, the pool.

use std::{
    future::pending,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use deadpool_postgres::{
    ClientWrapper, Connect, Hook, HookError, Manager, ManagerConfig, Metrics, Pool, PoolError,
    RecyclingMethod, Runtime,
};
use futures_util::future::BoxFuture;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{
    Client, Config, Connection, Error, Socket,
    config::{Host, SslMode, TargetSessionAttrs},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    PostgresOptions,
    deadline::{ANSWER, CONNECT, exceeded},
    error::failed,
    publisher::Publisher,
    target::{self, Target},
};
use crate::StoreError;

/// Creates connections.
#[derive(Clone)]
pub(super) struct Connector {
    config: Arc<Config>,
    tls: MakeRustlsConnect,
    /// The address that answered last. It is tried first, so that only one connection attempt waits for an address that
    /// hangs.
    preferred: Arc<Mutex<Option<Target>>>,
}

/// A connection that is not driven yet.
pub(super) type Driver =
    Connection<Socket, <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Socket>>::Stream>;

/// The reason for a failed connection attempt.
pub(super) enum NoConnection {
    Failed(Error),
    /// No address answered in time.
    Hung,
}

impl From<NoConnection> for StoreError {
    fn from(reason: NoConnection) -> Self {
        match reason {
            NoConnection::Failed(error) => failed("connecting", &error),
            NoConnection::Hung => exceeded("connecting"),
        }
    }
}

impl Connector {
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, StoreError> {
        // Discard the parser's message: it may quote the URL, which may contain a password.
        let mut config: Config = options
            .url
            .expose()
            .parse()
            .map_err(|_| StoreError::new("the database URL is malformed: expected postgres://user:password@host:port/database"))?;
        config.connect_timeout(CONNECT);
        config.tcp_user_timeout(Duration::from_secs(5));
        config.keepalives_idle(Duration::from_secs(5));
        config.keepalives_interval(Duration::from_secs(2));
        config.keepalives_retries(3);
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if config.get_application_name().is_none() {
            config.application_name("octeliumd");
        }
        if config.get_ssl_mode() == SslMode::Prefer && config.get_hosts().iter().any(is_remote) {
            // `prefer` does not protect: an attacker in between can answer that the server has no TLS.
            config.ssl_mode(SslMode::Require);
        }
        Ok(Self {
            config: Arc::new(config),
            tls: MakeRustlsConnect::new(tls(options.ca_certificate.as_deref())?),
            preferred: Arc::default(),
        })
    }

    /// Opens a dedicated connection and applies the session settings.
    pub(super) async fn connect(&self) -> Result<ClientWrapper, StoreError> {
        let (client, driver) = self.establish(Self::open_driven).await?;
        Ok(ClientWrapper::new(client, driver))
    }

    /// Opens a connection whose messages the caller polls.
    pub(super) async fn connect_undriven(&self) -> Result<(Client, Driver), StoreError> {
        Ok(self.establish(Self::open).await?)
    }

    /// Tries the addresses one by one, each with a deadline.
    async fn establish<T>(
        &self,
        open: impl AsyncFn(&Self, Config) -> Result<T, Error>,
    ) -> Result<T, NoConnection> {
        let Ok(mut targets) = timeout(CONNECT, target::resolve(&self.config)).await else {
            return Err(NoConnection::Hung);
        };
        let preferred = self.preferred().clone();
        targets.sort_by_key(|target| Some(target) != preferred.as_ref());
        let mut reason = NoConnection::Hung;
        for target in targets {
            let config = target.config(&self.config);
            match timeout(CONNECT, open(self, config)).await {
                Ok(Ok(connection)) => {
                    *self.preferred() = Some(target);
                    return Ok(connection);
                }
                Ok(Err(error)) => reason = NoConnection::Failed(error),
                Err(_) => reason = NoConnection::Hung,
            }
        }
        Err(reason)
    }

    async fn open(&self, config: Config) -> Result<(Client, Driver), Error> {
        config.connect(self.tls.clone()).await
    }

    async fn open_driven(&self, config: Config) -> Result<(Client, JoinHandle<()>), Error> {
        let (client, connection) = self.open(config).await?;
        let driver = ConnectionTask::spawn(async move {
            // Users of the connection notice its end.
            let _ = connection.await;
        });
        client.batch_execute(SESSION_SETTINGS).await?;
        Ok((client, driver.keep()))
    }

    fn preferred(&self) -> std::sync::MutexGuard<'_, Option<Target>> {
        self.preferred
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates the pool of connections for reads. Each new connection is checked to be in the history that `publisher`
    /// follows.
    pub(super) fn pool(
        &self,
        size: usize,
        publisher: Arc<Publisher>,
        freshness: Arc<Freshness>,
    ) -> Result<Pool, StoreError> {
        let manager = Manager::from_connect(
            Config::clone(&self.config),
            Pooled {
                connector: self.clone(),
                publisher,
            },
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .pre_recycle(Hook::async_fn(move |client, metrics| {
                let freshness = Arc::clone(&freshness);
                Box::pin(async move { freshness.check(client, metrics).await })
            }))
            .build()
            .map_err(|error| StoreError::new("the connection pool").caused_by(error))
    }
}

/// A task that drives a connection. Dropping it closes the connection, even with a response outstanding.
pub(super) struct ConnectionTask(Option<JoinHandle<()>>);

impl ConnectionTask {
    pub(super) fn spawn(driver: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Some(tokio::spawn(driver)))
    }

    /// Returns the task to a caller that ends it.
    fn keep(mut self) -> JoinHandle<()> {
        self.0.take().unwrap_or_else(|| tokio::spawn(async {}))
    }
}

impl Drop for ConnectionTask {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Creates the connections of the pool.
struct Pooled {
    connector: Connector,
    publisher: Arc<Publisher>,
}

impl Connect for Pooled {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        Box::pin(async move {
            match self.connector.establish(Connector::open_driven).await {
                Ok((client, driver)) => {
                    let driver = ConnectionTask(Some(driver));
                    self.publisher.poll(&client).await?;
                    Ok((client, driver.keep()))
                }
                Err(NoConnection::Failed(error)) => Err(error),
                // The pool has no error for a timeout. The operation that waits for the connection has a deadline.
                Err(NoConnection::Hung) => pending().await,
            }
        })
    }
}

/// Decides which idle connections can be reused.
pub(super) struct Freshness(Mutex<Limits>);

struct Limits {
    /// Connections created before this time are discarded.
    retired: Instant,
    /// Connections last used before this time are probed before reuse.
    doubted: Instant,
}

impl Default for Freshness {
    fn default() -> Self {
        let now = Instant::now();
        Self(Mutex::new(Limits {
            retired: now,
            doubted: now,
        }))
    }
}

impl Freshness {
    /// Prevents reuse of every existing connection.
    pub(super) fn retire(&self) {
        self.limits().retired = Instant::now();
    }

    /// Requires a probe before reuse of existing connections, because one of them hung.
    pub(super) fn require_probe(&self) {
        self.limits().doubted = Instant::now();
    }

    async fn check(&self, client: &ClientWrapper, metrics: &Metrics) -> Result<(), HookError> {
        let (retired, doubted) = {
            let limits = self.limits();
            (limits.retired, limits.doubted)
        };
        if metrics.created < retired {
            return Err(HookError::message(
                "was created before all connections were replaced",
            ));
        }
        if metrics.recycled.unwrap_or(metrics.created) < doubted {
            let Ok(answered) = timeout(ANSWER / 4, client.batch_execute("")).await else {
                // One connection that hangs is enough: the caller has no time to probe all of them.
                self.retire();
                return Err(HookError::message("hangs"));
            };
            answered.map_err(HookError::Backend)?;
        }
        Ok(())
    }

    fn limits(&self) -> std::sync::MutexGuard<'_, Limits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Settings of each session. The server aborts an abandoned transaction, which releases its locks. If the server is
/// configured to acknowledge commits before they are flushed, the session overrides this.
const SESSION_SETTINGS: &str = "
    SET idle_in_transaction_session_timeout = '5s';
    SET statement_timeout = '10s';
    SET default_transaction_isolation = 'read committed';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
";

pub(super) fn no_connection(error: &PoolError) -> StoreError {
    match error {
        PoolError::Backend(error) => failed("connecting", error),
        _ => StoreError::transient(format!("PostgreSQL: no connection: {error}")),
    }
}

fn is_remote(host: &Host) -> bool {
    match host {
        Host::Unix(_) => false,
        Host::Tcp(name) => {
            name != "localhost"
                && !name
                    .parse::<IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
    }
}

fn tls(ca_certificate: Option<&std::path::Path>) -> Result<ClientConfig, StoreError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_certificate {
        let failed = || format!("CA certificate {}", path.display());
        let certificates = CertificateDer::pem_file_iter(path)
            .map_err(|error| StoreError::new(failed()).caused_by(error))?;
        for certificate in certificates {
            let certificate =
                certificate.map_err(|error| StoreError::new(failed()).caused_by(error))?;
            roots
                .add(certificate)
                .map_err(|error| StoreError::new(failed()).caused_by(error))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::new("TLS").caused_by(error))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
