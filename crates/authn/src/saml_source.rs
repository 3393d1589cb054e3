//! The metadata of a SAML identity provider: fetched once, kept, and fetched anew when they are due or a key is missing.

use std::sync::Arc;

use domain::clock::{Clock, UnixMillis};

use crate::{
    fetched::{Fetched, Unavailable},
    issuer::{HttpsUrl, InvalidUrl},
    outbound::{Outbound, OutboundError},
    saml::{self, Certificate, ErrorKind, MAX_METADATA_BYTES, MetadataOptions, Provider},
};

/// Where metadata come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MetadataLocation {
    /// Fetched from this `https` URL.
    Url(String),
    /// They are this document, and change with the configuration alone.
    Fixed(String),
}

/// What of the metadata is meant, and who vouches for them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Choice {
    /// The entity id of the identity provider, where they describe several; empty otherwise.
    pub entity_id: String,
    /// Certificates in PEM: where there are any, the metadata have to be signed by one of them.
    pub signers: Vec<String>,
}

impl Choice {
    /// Reads the identity provider from a document.
    ///
    /// # Errors
    /// Where a signer is no certificate, and as [`Provider::from_metadata`].
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

/// An identity provider as it was at some time.
#[derive(Debug)]
pub struct Described {
    /// What the metadata say.
    pub provider: Provider,
    fetched_at: UnixMillis,
}

/// Why metadata could not be had.
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
    choice: Choice,
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    metadata: Fetched<Described>,
}

impl MetadataSource {
    /// Nothing is fetched yet.
    pub fn new(
        location: MetadataLocation,
        choice: Choice,
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

    /// The identity provider, as it was not long ago: metadata are asked for again at the latest when they say so.
    ///
    /// # Errors
    /// Where there are no metadata that are still good, and none can be fetched now.
    pub async fn get(&self) -> Result<Arc<Described>, Unavailable> {
        let known = self.metadata.get(async || self.fetch().await).await?;
        if known.provider.refresh_at(known.fetched_at) > self.clock.now() {
            return Ok(known);
        }
        // What there is may still be good: whoever uses it checks that.
        match self.newer(&known).await {
            Ok(newer) => Ok(newer),
            Err(_) => Ok(known),
        }
    }

    /// Does `attempt` with the identity provider, and once more with newer metadata where a signature is of none of its
    /// keys: it may have a new one.
    ///
    /// # Errors
    /// The inner error is that of `attempt`.
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

    async fn newer(&self, known: &Arc<Described>) -> Result<Arc<Described>, Unavailable> {
        self.metadata
            .newer(known, async || self.fetch().await)
            .await
    }

    async fn fetch(&self) -> Result<Described, FetchError> {
        let outcome = self.fetch_provider().await;
        if let Err(error) = &outcome {
            let location = match &self.location {
                MetadataLocation::Url(url) => url.as_str(),
                MetadataLocation::Fixed(_) => "inline",
            };
            tracing::warn!(%error, location, "metadata of an identity provider cannot be had");
        }
        outcome.map(|provider| Described {
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
