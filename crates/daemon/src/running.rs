//! A replica that serves: assembles the parts, binds the sockets, and drains requests at shutdown.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    num::NonZero,
    path::{Path, PathBuf},
    sync::Arc,
    thread::available_parallelism,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail, ensure};
use authn::outbound::Outbound;
use domain::{
    clock::{Clock, SystemClock, UnixMillis},
    rng::{Rng, SystemRng},
};
use gateway::{Gateway, listener::TrustedProxies};
use rustls_pki_types::CertificateDer;
use store::Store;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{Admin, collect_metrics},
    certificates::Certificates,
    connections::{Bounds, Connections},
    control_plane::{ControlPlane, ReplicaDependencies},
    data_plane::{access_log::AccessLog, identity::Identity, routes::Routes},
    dispatch::Dispatch,
    files,
    geoip::GeoIpFiles,
    listener::{Listener, Serving},
    names::Names,
    open_files,
    outbound::OutboundSettings,
    settings::{AccessEvents, ListenSettings, StoreSettings},
    sites::Sites,
    storage,
    telemetry::Telemetry,
    tls,
    workers::Workers,
};

/// The file with the authentication token of User `root`, in the data directory.
pub(crate) const ROOT_TOKEN_FILE: &str = "root-token";
/// The file with the certificate that clients must trust, in the data directory.
pub(crate) const CA_FILE: &str = "ca.pem";

const DEFAULT_PORT: u16 = 8443;
const DEFAULT_ADMIN_PORT: u16 = 8444;
const DEFAULT_STALE_AFTER: Duration = Duration::from_secs(5);
const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_hours(24);
/// In days.
const DEFAULT_AUDIT_RETENTION: u32 = 365;
const DEFAULT_MAX_CONNECTIONS: u32 = 20_000;
/// The default share of one address in the connections is a fifth.
const DEFAULT_SHARE: u32 = 5;

/// A running replica.
pub(crate) struct Instance {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    data_dir: PathBuf,
    names: Names,
    address: SocketAddr,
    authority: Option<CertificateDer<'static>>,
    control_plane: ControlPlane,
    /// Cancelled to stop accepting connections.
    stop: CancellationToken,
    /// Cancelled after the last request was answered.
    end: CancellationToken,
    serving: JoinHandle<()>,
    admin: JoinHandle<()>,
    workers: Workers,
    _lock: File,
}

impl Instance {
    /// Opens the store, binds the sockets and starts serving.
    ///
    /// # Errors
    ///
    /// Returns an error if a setting is not valid, the store cannot be opened, or an address cannot be bound.
    pub(crate) async fn start(
        store: StoreSettings,
        listen: ListenSettings,
        proxies: TrustedProxies,
        outbound: &OutboundSettings,
        telemetry: &Telemetry,
    ) -> anyhow::Result<Self> {
        // This happens before any socket is opened.
        let file_limit = open_files::raise_limit();
        let metrics = collect_metrics(telemetry)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let rng: Arc<dyn Rng> = Arc::new(SystemRng);
        let (socket, address) = bind(listen.listen, DEFAULT_PORT).await?;
        let (admin_socket, admin_address) = bind(listen.admin_listen, DEFAULT_ADMIN_PORT).await?;
        let names = names(listen.domain.as_deref(), address)?;
        let metadata = outbound.metadata.open()?;
        let outbound = outbound.open()?;
        let geoip = GeoIpFiles::open(&listen)?;
        let stale_after = seconds(listen.feed_stale_after, DEFAULT_STALE_AFTER);
        let data_dir = storage::data_dir(&store)?;
        let lock = files::lock(&data_dir)?;
        let store = storage::open(&store, &data_dir, Arc::clone(&clock)).await?;

        let control_plane = ControlPlane::start(
            Arc::clone(&store),
            Arc::clone(&clock),
            Arc::clone(&rng),
            names.domain().clone(),
            ReplicaDependencies {
                outbound: Outbound::new(outbound.clone()),
                metadata,
                geoip: geoip.geoip(),
                stale_after,
                audit_retention: audit_retention(&listen),
            },
        )
        .await?;
        control_plane.spawn(|stop| geoip.follow(stop));
        let context = control_plane.context();
        write_root_token(&control_plane, &data_dir)?;
        let gateway_config = gateway::Config {
            upstream_requests: open_files::upstream_requests(file_limit),
            rng: Arc::clone(&rng),
            access_log: access_log(&listen, context),
            ..gateway_config(&names, &outbound, telemetry)
        };
        let routes = Arc::new(Routes::new(context, names.clone(), gateway_config.clone()));
        control_plane.spawn(|stop| Arc::clone(&routes).follow(stop));
        let certificates = Certificates::open(
            &listen,
            store.as_ref(),
            Arc::clone(&routes) as _,
            names.domain().host(),
            Arc::clone(&clock),
            Arc::clone(&rng),
        )
        .await?;
        if let Some(pem) = certificates.pem() {
            let path = data_dir.join(CA_FILE);
            files::write_public(&path, pem)?;
            tracing::info!(path = %path.display(), "CA certificate for clients written");
        }
        let workers = Workers::start(gateway_config.workers).context("cannot start workers")?;
        let sites = sites(context, routes, Arc::clone(&clock), gateway_config).await?;

        let stop = CancellationToken::new();
        let end = CancellationToken::new();
        let proxies = Arc::new(proxies);
        let connections = Connections::new("main", bounds(&listen)?);
        let dispatch = Dispatch::new(names.clone(), sites, Arc::clone(&proxies), rng);
        let tls = TlsAcceptor::from(tls::server_config(certificates.resolver())?);
        let listener = Listener {
            socket,
            serving: Serving::new(tls, dispatch, Arc::clone(&connections), proxies),
            workers: workers.round_robin(),
            drain_timeout: seconds(listen.drain_timeout, DEFAULT_DRAIN_TIMEOUT),
        };
        let admin = Admin {
            store: Arc::clone(&store),
            stale_after,
            stop: stop.clone(),
            metrics,
            connections,
        };
        let serving = tokio::spawn(listener.serve(stop.clone()));
        let admin = tokio::spawn(admin.serve(admin_socket, end.clone()));
        tracing::info!(
            domain = %names.domain(),
            address = %address,
            admin_address = %admin_address,
            data_dir = %data_dir.display(),
            "serving"
        );
        Ok(Self {
            store,
            clock,
            data_dir,
            names,
            address,
            authority: certificates.authority(),
            control_plane,
            stop,
            end,
            serving,
            admin,
            workers,
            _lock: lock,
        })
    }

    /// Serves until SIGTERM or SIGINT, then drains open requests and writes pending state.
    ///
    /// # Errors
    ///
    /// Returns an error if signals cannot be received or a part has failed.
    pub(crate) async fn wait(self) -> anyhow::Result<()> {
        let mut serving = self.serving;
        tokio::select! {
            signal = termination() => tracing::info!(signal = signal?, "shutting down"),
            _ = &mut serving => bail!("the listener has ended"),
        }
        self.stop.cancel();
        serving.await.context("listener")?;
        self.control_plane.finish().await;
        self.end.cancel();
        self.admin.await.context("admin listener")?;
        // The workers are last, because database connections may run on them.
        self.workers.end().await;
        tracing::info!("ended");
        Ok(())
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Returns the absolute path of the data directory.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Returns the names that are served.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Returns the address of the listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the certificate that clients must trust, or `None` for the operator's certificate.
    pub(crate) fn authority(&self) -> Option<&CertificateDer<'static>> {
        self.authority.as_ref()
    }

    /// Returns a token that is cancelled after the last request was answered.
    pub(crate) fn ending(&self) -> CancellationToken {
        self.end.clone()
    }
}

async fn sites(
    context: &server::Context,
    routes: Arc<Routes>,
    clock: Arc<dyn Clock>,
    config: gateway::Config,
) -> anyhow::Result<Sites> {
    let identity = Arc::new(Identity(context.clone()));
    let api = server::grpc_router(context.clone())
        .await
        .map_err(|error| anyhow!("API: {error}"))?;
    let cluster = server::oauth2_router(context.clone())
        .merge(server::identity_assertion::jwks_router(context.clone()))
        .merge(server::web_router(context.clone()));
    let gateway = Gateway::new(routes, identity, clock, config);
    Ok(Sites::new(api, cluster, gateway))
}

/// Writes the token for the first login.
fn write_root_token(control_plane: &ControlPlane, data_dir: &Path) -> anyhow::Result<()> {
    if let Some(token) = control_plane.root_token() {
        let path = data_dir.join(ROOT_TOKEN_FILE);
        files::write_secret(&path, token.expose())?;
        tracing::info!(path = %path.display(), "authentication token of User root written");
    }
    Ok(())
}

fn access_log(
    listen: &ListenSettings,
    context: &server::Context,
) -> Option<Arc<dyn gateway::AccessLog>> {
    match listen.access_events.unwrap_or(AccessEvents::On) {
        AccessEvents::On => Some(Arc::new(AccessLog(context.clone()))),
        AccessEvents::Off => None,
    }
}

fn gateway_config(
    names: &Names,
    outbound: &authn::outbound::Config,
    telemetry: &Telemetry,
) -> gateway::Config {
    gateway::Config {
        domain: names.domain().host().to_owned(),
        authority: names.domain().authority().to_owned(),
        outbound_networks: outbound.allowed.as_slice().into(),
        outbound_authorities: outbound.authorities.as_slice().into(),
        traces: telemetry.traces(),
        workers: available_parallelism().map_or(1, NonZero::get),
        ..gateway::Config::default()
    }
}

/// Returns the retention of audit events. `None` keeps them forever.
fn audit_retention(listen: &ListenSettings) -> Option<Duration> {
    let days = listen.audit_retention.unwrap_or(DEFAULT_AUDIT_RETENTION);
    (days > 0).then(|| DAY.saturating_mul(days))
}

async fn bind(
    address: Option<SocketAddr>,
    default_port: u16,
) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let address = address.unwrap_or((Ipv4Addr::LOCALHOST, default_port).into());
    let bind = async {
        let socket = TcpListener::bind(address).await?;
        let bound = socket.local_addr()?;
        Ok::<_, std::io::Error>((socket, bound))
    };
    bind.await
        .with_context(|| format!("cannot listen at {address}"))
}

/// Returns the names to serve. On loopback, the default is `localhost` with the port, which needs no DNS.
fn names(domain: Option<&str>, address: SocketAddr) -> anyhow::Result<Names> {
    if let Some(domain) = domain {
        return Names::parse(domain);
    }
    ensure!(
        address.ip().is_loopback(),
        "the domain is not set: use --domain or OCTELIUM_DOMAIN, such as `example.com`"
    );
    Names::parse(&format!("localhost:{}", address.port()))
}

/// Returns the limits for open connections, in total and of one address prefix.
fn bounds(listen: &ListenSettings) -> anyhow::Result<Bounds> {
    let total = listen.max_connections.unwrap_or(DEFAULT_MAX_CONNECTIONS);
    let per_address = listen.max_connections_per_address;
    let per_address = per_address.unwrap_or((total / DEFAULT_SHARE).max(1));
    ensure!(total > 0, "--max-connections must be at least 1");
    ensure!(
        per_address > 0,
        "--max-connections-per-address must be at least 1"
    );
    Ok(Bounds {
        total: usize::try_from(total)?,
        per_address: usize::try_from(per_address)?,
    })
}

fn seconds(given: Option<u32>, default: Duration) -> Duration {
    given.map_or(default, |seconds| Duration::from_secs(seconds.into()))
}

async fn termination() -> anyhow::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
