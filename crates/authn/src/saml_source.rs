//! Cached metadata of a SAML identity provider. They are refetched when they are due or when a signature matches none
//! of the keys.

use std::sync::Arc;

use domain::clock::{Clock, UnixMillis};

use crate::{
    fetched::{Fetched, Unavailable},
    issuer::{HttpsUrl, InvalidUrl},
    outbound::{Outbound, OutboundError},
    saml::{self, Certificate, ErrorKind, MAX_METADATA_BYTES, MetadataOptions, Provider},
};

/// Source of the metadata.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MetadataLocation {
    /// Document fetched from this `https` URL.
    Url(String),
    /// Fixed document from the configuration.
    Fixed(String),
}

/// Selection of the identity provider within the metadata, and the accepted signers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ProviderSelection {
    /// Entity id of the identity provider, required if the metadata describe several. Empty if not used.
    pub entity_id: String,
    /// PEM certificates. If not empty, one of them must have signed the metadata.
    pub signers: Vec<String>,
}

impl ProviderSelection {
    /// Parses the identity provider from a metadata document.
    ///
    /// # Errors
    /// Returns an error if a signer is not a certificate, and the errors of [`Provider::from_metadata`].
    pub fn read(&self, document: &str, now: UnixMillis) -> Result<Provider, saml::Error> {
        let signers: Result<Vec<Certificate>, saml::Error> = self
            .signers
            .iter()
            .map(|signer| Certificate::from_pem(signer))
            .collect();
        let options = MetadataOptions {
            entity_id: Some(self.entity_id.as_str()).filter(|id| !id.is_empty()),
            signers: &signers?,
        };
        Provider::from_metadata(document, options, now)
    }
}

/// An identity provider, as its metadata described it at the time of the fetch.
#[derive(Debug)]
pub struct FetchedProvider {
    /// Identity provider from the metadata.
    pub provider: Provider,
    fetched_at: UnixMillis,
}

/// Reasons why fetching the metadata fails.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("the URL of the metadata {0}")]
    Url(InvalidUrl),
    #[error("the metadata are not UTF-8")]
    Encoding,
    #[error("{}", .0.reason())]
    Metadata(saml::Error),
}

/// The metadata of one identity provider.
pub struct MetadataSource {
    location: MetadataLocation,
    choice: ProviderSelection,
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    metadata: Fetched<FetchedProvider>,
}

impl MetadataSource {
    /// Creates a source. The first use fetches the metadata.
    pub fn new(
        location: MetadataLocation,
        choice: ProviderSelection,
        outbound: Outbound,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            location,
            choice,
            outbound,
            metadata: Fetched::new(clock.clone()),
            clock,
        }
    }

    /// Returns the identity provider. Refetches the metadata at the latest when they become due.
    ///
    /// # Errors
    /// Returns [`Unavailable`] if fetching fails and the cached metadata are missing or too old.
    pub async fn get(&self) -> Result<Arc<FetchedProvider>, Unavailable> {
        let known = self.metadata.get(async || self.fetch().await).await?;
        if known.provider.refresh_at(known.fetched_at) > self.clock.now() {
            return Ok(known);
        }
        // The known metadata can still be valid, which their users check.
        match self.newer(&known).await {
            Ok(newer) => Ok(newer),
            Err(_) => Ok(known),
        }
    }

    /// Runs `attempt` with the identity provider. If it fails because of a signature, refetches the metadata and runs
    /// it once more, because the provider may have rotated its keys.
    ///
    /// # Errors
    /// Returns [`Unavailable`] if fetching fails and the cached metadata are missing or too old. The
    /// inner error is that of `attempt`.
    pub async fn verify<T>(
        &self,
        attempt: impl Fn(&Provider) -> Result<T, saml::Error>,
    ) -> Result<Result<T, saml::Error>, Unavailable> {
        let known = self.get().await?;
        let first = attempt(&known.provider);
        let may_be_rolled_over = matches!(self.location, MetadataLocation::Url(_));
        match first {
            Err(error) if may_be_rolled_over && error.kind() == ErrorKind::Signature => {
                match self.newer(&known).await {
                    Ok(newer) if !Arc::ptr_eq(&newer, &known) => Ok(attempt(&newer.provider)),
                    _ => Ok(Err(error)),
                }
            }
            outcome => Ok(outcome),
        }
    }

    async fn newer(
        &self,
        known: &Arc<FetchedProvider>,
    ) -> Result<Arc<FetchedProvider>, Unavailable> {
        self.metadata
            .newer(known, async || self.fetch().await)
            .await
    }

    async fn fetch(&self) -> Result<FetchedProvider, FetchError> {
        let outcome = self.fetch_provider().await;
        if let Err(error) = &outcome {
            let location = match &self.location {
                MetadataLocation::Url(url) => url.as_str(),
                MetadataLocation::Fixed(_) => "inline",
            };
            tracing::warn!(%error, location, "the metadata of an identity provider cannot be fetched");
        }
        outcome.map(|provider| FetchedProvider {
            provider,
            fetched_at: self.clock.now(),
        })
    }

    async fn fetch_provider(&self) -> Result<Provider, FetchError> {
        let read = |document: &str| {
            let read = self.choice.read(document, self.clock.now());
            read.map_err(FetchError::Metadata)
        };
        match &self.location {
            MetadataLocation::Fixed(document) => read(document),
            MetadataLocation::Url(url) => {
                let url = HttpsUrl::parse(url).map_err(FetchError::Url)?;
                let bytes = self.outbound.get(url.uri(), MAX_METADATA_BYTES).await?;
                read(std::str::from_utf8(&bytes).map_err(|_| FetchError::Encoding)?)
            }
        }
    }
}
