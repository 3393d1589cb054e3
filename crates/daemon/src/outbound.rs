//! Settings of outbound requests to identity providers and token endpoints.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use authn::outbound::Config;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::{mds_metadata::MetadataSettings, settings::File};

/// The allowed destinations of requests to identity providers and to token endpoints of Services.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct OutboundSettings {
    /// Network in which identity providers and token endpoints may be, in addition to the public Internet, for example
    /// `10.0.0.0/8` (repeatable, or separated by commas)
    #[arg(
        long,
        env = "OCTELIUM_OUTBOUND_ALLOW",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    outbound_allow: Vec<String>,
    /// PEM file of certificate authorities to trust for them, in addition to those of the system
    #[arg(long, env = "OCTELIUM_OUTBOUND_CA", value_name = "FILE")]
    outbound_ca: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) metadata: MetadataSettings,
}

impl OutboundSettings {
    /// Takes settings without a flag or variable from the file.
    #[must_use]
    pub(crate) fn or(self, file: &File) -> Self {
        let of_file = || file.outbound_allow.clone().unwrap_or_default();
        Self {
            outbound_allow: if self.outbound_allow.is_empty() {
                of_file()
            } else {
                self.outbound_allow
            },
            outbound_ca: self.outbound_ca.or_else(|| file.outbound_ca.clone()),
            metadata: self.metadata.or(file),
        }
    }

    /// Parses the settings and loads the file.
    ///
    /// # Errors
    ///
    /// Returns an error if a network is not valid, or if the file cannot be read or has no certificate.
    pub(crate) fn open(&self) -> anyhow::Result<Config> {
        let mut config = Config::default();
        for network in &self.outbound_allow {
            let parsed = network.trim().parse();
            let parsed = parsed.with_context(|| format!("--outbound-allow {network}"))?;
            config.allowed.push(parsed);
        }
        if let Some(path) = &self.outbound_ca {
            let context = || format!("--outbound-ca {}", path.display());
            let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
                .with_context(context)?
                .collect();
            config.authorities = found.with_context(context)?;
            ensure!(
                !config.authorities.is_empty(),
                "{} contains no certificate in PEM",
                context()
            );
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_networks_are_reported() {
        let settings = OutboundSettings {
            outbound_allow: vec!["10.0.0.0/8".to_owned(), "10.0.0.1/8".to_owned()],
            outbound_ca: None,
            metadata: MetadataSettings::default(),
        };
        let problem = format!("{:#}", settings.open().err().unwrap());
        assert!(
            problem.starts_with("--outbound-allow 10.0.0.1/8"),
            "{problem}"
        );
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let mut file = File::default();
        file.outbound_allow = Some(vec!["10.0.0.0/8".to_owned()]);
        file.outbound_ca = Some("ca.pem".into());
        let given = OutboundSettings {
            outbound_allow: vec!["127.0.0.0/8".to_owned()],
            outbound_ca: None,
            metadata: MetadataSettings::default(),
        };
        let merged = given.or(&file);
        assert_eq!(merged.outbound_allow, ["127.0.0.0/8"]);
        assert_eq!(merged.outbound_ca, Some("ca.pem".into()));
    }
}
