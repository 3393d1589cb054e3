//! The setting of trusted proxies.

use anyhow::{Context as _, ensure};
use gateway::listener::{ForwardingMethod, TrustedProxies};

use crate::settings::{File, ListenSettings, ProxyProtocol};

/// Proxies in front of the listener.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ProxySettings {
    /// Network of load balancers that are trusted to name the client's address, for example `10.0.0.0/8` (repeatable,
    /// or separated by commas). Other addresses are not trusted
    #[arg(
        long,
        env = "OCTELIUM_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    trusted_proxies: Vec<String>,
}

impl ProxySettings {
    /// Takes settings without a flag or variable from the file.
    #[must_use]
    pub(crate) fn or(self, file: &File) -> Self {
        let trusted_proxies = if self.trusted_proxies.is_empty() {
            file.trusted_proxies.clone().unwrap_or_default()
        } else {
            self.trusted_proxies
        };
        Self { trusted_proxies }
    }

    /// Parses the networks.
    ///
    /// # Errors
    ///
    /// Returns an error if a network is not valid, or if the PROXY protocol is on without trusted proxies.
    pub(crate) fn open(&self, listen: &ListenSettings) -> anyhow::Result<TrustedProxies> {
        let named_by = match listen.proxy_protocol.unwrap_or(ProxyProtocol::Off) {
            ProxyProtocol::On => ForwardingMethod::ProxyProtocol,
            ProxyProtocol::Off => ForwardingMethod::ForwardedFor,
        };
        let networks = self.trusted_proxies.iter().map(|network| {
            let parsed = network.trim().parse();
            parsed.with_context(|| format!("--trusted-proxies {network}"))
        });
        let networks = networks.collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(
            named_by == ForwardingMethod::ForwardedFor || !networks.is_empty(),
            "--proxy-protocol on requires --trusted-proxies: the networks of the load balancers that send the header"
        );
        Ok(TrustedProxies::new(networks, named_by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(networks: &[&str]) -> ProxySettings {
        ProxySettings {
            trusted_proxies: networks.iter().map(|&network| network.to_owned()).collect(),
        }
    }

    #[test]
    fn no_proxy_is_trusted_by_default_s02() {
        let proxies = ProxySettings::default().open(&ListenSettings::default());
        let proxies = proxies.unwrap();
        assert!(!proxies.has("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn malformed_networks_are_named() {
        let listen = ListenSettings::default();
        let problem = settings(&["10.0.0.0/8", "10.0.0.1/8"]).open(&listen);
        let problem = format!("{:#}", problem.unwrap_err());
        assert!(
            problem.starts_with("--trusted-proxies 10.0.0.1/8"),
            "{problem}"
        );
    }

    #[test]
    fn the_proxy_protocol_needs_trusted_proxies_s02() {
        let listen = ListenSettings {
            proxy_protocol: Some(ProxyProtocol::On),
            ..ListenSettings::default()
        };
        settings(&[]).open(&listen).unwrap_err();
        let proxies = settings(&["10.0.0.0/8"]).open(&listen).unwrap();
        assert!(proxies.must_send_header("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let mut file = File::default();
        file.trusted_proxies = Some(vec!["10.0.0.0/8".to_owned()]);
        let address = "10.0.0.1".parse().unwrap();
        let listen = ListenSettings::default();
        let of_file = settings(&[]).or(&file).open(&listen).unwrap();
        assert!(of_file.has(address));
        let given = settings(&["127.0.0.0/8"]).or(&file).open(&listen).unwrap();
        assert!(!given.has(address));
    }
}
