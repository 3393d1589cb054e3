//! Connections: TLS, the settings of a session, the pool.

use std::{net::IpAddr, sync::Arc, time::Duration};

use deadpool_postgres::{
    ClientWrapper, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, Timeouts,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tokio_postgres::{
    Config, Connection, Socket,
    config::{Host, SslMode, TargetSessionAttrs},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{PostgresOptions, error::failed};
use crate::StoreError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a caller waits for a pooled connection.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// What new connections are made with.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
}

/// A connection before it is driven.
pub(super) type Driver =
    Connection<Socket, <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Socket>>::Stream>;

impl Connector {
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, StoreError> {
        // The parser's message may quote the URL, which may hold a password.
        let mut config: Config = options
            .url
            .expose()
            .parse()
            .map_err(|_| StoreError::new("the database URL is malformed: expected postgres://user:password@host:port/database"))?;
        config.connect_timeout(CONNECT_TIMEOUT);
        config.tcp_user_timeout(Duration::from_secs(10));
        config.keepalives_idle(Duration::from_secs(15));
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if config.get_application_name().is_none() {
            config.application_name("octeliumd");
        }
        if config.get_ssl_mode() == SslMode::Prefer && config.get_hosts().iter().any(is_remote) {
            // Preferring is no protection: whoever is in between answers that there is no TLS.
            config.ssl_mode(SslMode::Require);
        }
        Ok(Self {
            config,
            tls: MakeRustlsConnect::new(tls(options.ca_certificate.as_deref())?),
        })
    }

    /// A connection of its own, with the settings of a session applied.
    pub(super) async fn connect(&self) -> Result<ClientWrapper, StoreError> {
        let (client, connection) = self
            .config
            .connect(self.tls.clone())
            .await
            .map_err(|error| failed("connecting", &error))?;
        let driver = tokio::spawn(async move {
            // Its end is noticed where the connection is used.
            let _ = connection.await;
        });
        client
            .batch_execute(SESSION_SETTINGS)
            .await
            .map_err(|error| failed("setting up a connection", &error))?;
        Ok(ClientWrapper::new(client, driver))
    }

    /// A connection whose messages the caller polls.
    pub(super) async fn connect_undriven(
        &self,
    ) -> Result<(tokio_postgres::Client, Driver), StoreError> {
        self.config
            .connect(self.tls.clone())
            .await
            .map_err(|error| failed("connecting", &error))
    }

    pub(super) fn pool(&self, size: usize) -> Result<Pool, StoreError> {
        let manager = Manager::from_config(
            self.config.clone(),
            self.tls.clone(),
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(WAIT_TIMEOUT),
                create: Some(CONNECT_TIMEOUT),
                recycle: Some(CONNECT_TIMEOUT),
            })
            .post_create(deadpool_postgres::Hook::async_fn(|client, _| {
                Box::pin(async move {
                    client
                        .batch_execute(SESSION_SETTINGS)
                        .await
                        .map_err(deadpool_postgres::HookError::Backend)
                })
            }))
            .build()
            .map_err(|error| StoreError::new("the connection pool").caused_by(error))
    }
}

/// A transaction that nobody goes on with is ended by the server, with the locks that it holds. A server that
/// would answer before the flush is told to wait for it.
const SESSION_SETTINGS: &str = "
    SET idle_in_transaction_session_timeout = '10s';
    SET statement_timeout = '30s';
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
