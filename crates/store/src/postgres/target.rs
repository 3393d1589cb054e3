//! The addresses of a database URL.
//!
//! The driver tries them in turn, but its timeout covers only the TCP handshake, which a hung server still completes.
//! Therefore each address becomes a separate configuration, which is tried with a deadline for the whole connection
//! setup.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
};

use tokio::net::lookup_host;
use tokio_postgres::{
    Config,
    config::{Host, LoadBalanceHosts},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    host: Option<Host>,
    address: Option<IpAddr>,
    port: Option<u16>,
}

/// Returns all addresses of `config`, in order. A name that does not resolve is kept, so that the driver reports it.
pub(super) async fn resolve(config: &Config) -> Vec<Target> {
    let hosts = config.get_hosts();
    let addresses = config.get_hostaddrs();
    let ports = config.get_ports();
    let mut targets = Vec::new();
    for place in 0..hosts.len().max(addresses.len()) {
        let port = ports.get(place).or_else(|| ports.first()).copied();
        let target = Target {
            host: hosts.get(place).cloned(),
            address: addresses.get(place).copied(),
            port,
        };
        let (Some(Host::Tcp(name)), None) = (target.host.clone(), target.address) else {
            targets.push(target);
            continue;
        };
        match lookup_host((name.as_str(), port.unwrap_or(5432))).await {
            Ok(found) => targets.extend(found.map(|address| Target {
                address: Some(address.ip()),
                ..target.clone()
            })),
            Err(_) => targets.push(target),
        }
    }
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random && !targets.is_empty() {
        let random = RandomState::new().hash_one(0);
        let places = targets.len();
        let first = usize::try_from(random % places as u64).unwrap_or(0);
        targets.rotate_left(first);
    }
    targets
}

impl Target {
    /// Returns a copy of `all` with only this address.
    pub(super) fn config(&self, all: &Config) -> Config {
        let mut config = Config::new();
        if let Some(user) = all.get_user() {
            config.user(user);
        }
        if let Some(password) = all.get_password() {
            config.password(password);
        }
        if let Some(dbname) = all.get_dbname() {
            config.dbname(dbname);
        }
        if let Some(options) = all.get_options() {
            config.options(options);
        }
        if let Some(name) = all.get_application_name() {
            config.application_name(name);
        }
        if let Some(limit) = all.get_connect_timeout() {
            config.connect_timeout(*limit);
        }
        if let Some(limit) = all.get_tcp_user_timeout() {
            config.tcp_user_timeout(*limit);
        }
        if let Some(interval) = all.get_keepalives_interval() {
            config.keepalives_interval(interval);
        }
        if let Some(retries) = all.get_keepalives_retries() {
            config.keepalives_retries(retries);
        }
        config
            .keepalives(all.get_keepalives())
            .keepalives_idle(all.get_keepalives_idle())
            .ssl_mode(all.get_ssl_mode())
            .ssl_negotiation(all.get_ssl_negotiation())
            .target_session_attrs(all.get_target_session_attrs())
            .channel_binding(all.get_channel_binding());
        match &self.host {
            Some(Host::Tcp(name)) => {
                config.host(name);
            }
            #[cfg(unix)]
            Some(Host::Unix(path)) => {
                config.host_path(path);
            }
            None => {}
        }
        if let Some(address) = self.address {
            config.hostaddr(address);
        }
        if let Some(port) = self.port {
            config.port(port);
        }
        config
    }
}
