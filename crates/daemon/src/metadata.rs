//! Where the metadata of authenticators come from.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use server::metadata::{Location, Source};

use crate::settings::File;

/// What says which models of authenticators there are. Without any of them none are fetched.
#[derive(Debug, Clone, Default, clap::Args)]
#[allow(clippy::struct_field_names, reason = "the flags are named so")]
pub(crate) struct MetadataSettings {
    /// URL of the FIDO metadata by which attestations of authenticators are verified, as
    /// `https://mds3.fidoalliance.org/`
    #[arg(
        long,
        env = "OCTELIUM_MDS_URL",
        value_name = "URL",
        conflicts_with = "mds_file"
    )]
    mds_url: Option<String>,
    /// File with a copy of the FIDO metadata, for Clusters that reach nobody. Read again when it changes
    #[arg(long, env = "OCTELIUM_MDS_FILE", value_name = "FILE")]
    mds_file: Option<PathBuf>,
    /// PEM file of the authority that the metadata are signed under; that of the FIDO Alliance where absent
    #[arg(long, env = "OCTELIUM_MDS_ANCHOR", value_name = "FILE")]
    mds_anchor: Option<PathBuf>,
}

impl MetadataSettings {
    /// What neither a flag nor a variable gives is taken from the file.
    #[must_use]
    pub(crate) fn or(self, file: &File) -> Self {
        let is_given = self.mds_url.is_some() || self.mds_file.is_some();
        let of_file = |is_taken: bool| (!is_taken).then_some(file);
        Self {
            mds_url: self.mds_url.or_else(|| of_file(is_given)?.mds_url.clone()),
            mds_file: self
                .mds_file
                .or_else(|| of_file(is_given)?.mds_copy.clone()),
            mds_anchor: self.mds_anchor.or_else(|| file.mds_anchor.clone()),
        }
    }

    /// Reads what is named.
    ///
    /// # Errors
    /// Where the URL is none, or the file of the authority cannot be read or holds no certificate. Says which.
    pub(crate) fn open(&self) -> anyhow::Result<Source> {
        let mut source = Source::default();
        if let Some(url) = &self.mds_url {
            let url: http::Uri = url.parse().with_context(|| format!("--mds-url {url}"))?;
            ensure!(
                url.scheme_str() == Some("https"),
                "--mds-url {url} must begin with https://"
            );
            source.location = Some(Location::Url(url));
        } else if let Some(path) = &self.mds_file {
            source.location = Some(Location::File(path.clone()));
        }
        if let Some(path) = &self.mds_anchor {
            let context = || format!("--mds-anchor {}", path.display());
            let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
                .with_context(context)?
                .collect();
            let found = found.with_context(context)?;
            ensure!(
                !found.is_empty(),
                "{} holds no certificate in PEM",
                context()
            );
            source.anchors = found.into_iter().map(|one| one.to_vec()).collect();
        }
        Ok(source)
    }
}
