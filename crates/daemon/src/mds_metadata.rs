//! Settings of the authenticator metadata.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use server::mds_metadata::{Location, Source};

use crate::settings::File;

/// The source of the FIDO metadata about authenticator models. Without a source, no metadata are loaded.
#[derive(Debug, Clone, Default, clap::Args)]
#[allow(
    clippy::struct_field_names,
    reason = "the fields are named like the flags"
)]
pub(crate) struct MetadataSettings {
    /// URL of the FIDO metadata, which verify the attestations of authenticators, for example
    /// `https://mds3.fidoalliance.org/`
    #[arg(
        long,
        env = "OCTELIUM_MDS_URL",
        value_name = "URL",
        conflicts_with = "mds_file"
    )]
    mds_url: Option<String>,
    /// File with a copy of the FIDO metadata, for Clusters without Internet access. The file is reloaded when it
    /// changes
    #[arg(long, env = "OCTELIUM_MDS_FILE", value_name = "FILE")]
    mds_file: Option<PathBuf>,
    /// PEM file of the certificate authority that signs the metadata [default: that of the FIDO Alliance]
    #[arg(long, env = "OCTELIUM_MDS_ANCHOR", value_name = "FILE")]
    mds_anchor: Option<PathBuf>,
    /// Name in the certificate that signs the metadata, for a publisher other than the FIDO Alliance. Requires
    /// `--mds-anchor`
    #[arg(long, env = "OCTELIUM_MDS_PUBLISHER", value_name = "NAME")]
    mds_publisher: Option<String>,
}

impl MetadataSettings {
    /// Takes settings without a flag or variable from the file.
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
            mds_publisher: self.mds_publisher.or_else(|| file.mds_publisher.clone()),
        }
    }

    /// Loads the source.
    ///
    /// # Errors
    ///
    /// Returns an error if the URL is not valid, or if the authority's file cannot be read or has no certificate. Also
    /// returns an error if a publisher is set without an authority.
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
                "{} contains no certificate in PEM",
                context()
            );
            source.anchors = found.into_iter().map(|one| one.to_vec()).collect();
        }
        if let Some(publisher) = &self.mds_publisher {
            // The default authority issues certificates to any paying customer.
            ensure!(
                self.mds_anchor.is_some(),
                "--mds-publisher {publisher} requires --mds-anchor: the authority that certifies this publisher"
            );
            ensure!(!publisher.is_empty(), "--mds-publisher must not be empty");
            source.publisher.clone_from(publisher);
        }
        Ok(source)
    }
}

#[cfg(test)]
mod tests {
    use authn::mds::testing::Publisher;

    use super::*;

    #[test]
    fn another_publisher_needs_its_authority_g14() {
        let default = MetadataSettings::default().open().unwrap();
        assert_eq!(default.publisher, "mds.fidoalliance.org");

        let mut settings = MetadataSettings {
            mds_publisher: Some("mds.example.com".to_owned()),
            ..MetadataSettings::default()
        };
        let error = settings.open().unwrap_err().to_string();
        assert!(error.contains("requires --mds-anchor"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.pem");
        std::fs::write(&path, Publisher::fido().root_pem()).unwrap();
        settings.mds_anchor = Some(path);
        assert_eq!(settings.open().unwrap().publisher, "mds.example.com");

        let file: File = serde_json::from_str(r#"{"mds-publisher": "mds.example.org"}"#).unwrap();
        let of_file = MetadataSettings::default().or(&file);
        assert_eq!(of_file.mds_publisher.as_deref(), Some("mds.example.org"));
        assert_eq!(
            settings.or(&file).mds_publisher.as_deref(),
            Some("mds.example.com")
        );
    }
}
