//! Verification of assertions with the keys of an issuer. The keys are cached, and refetched when they are old or a key
//! is missing.

use std::sync::Arc;

use domain::clock::Clock;
use serde_json::Value;

use crate::{
    assertion::{self, Expected, Refusal, Verified},
    fetched::{Fetched, Unavailable},
    issuer::{self, HttpsUrl},
    jwk::{self, KeySet},
    jws::Unverified,
    outbound::{Outbound, OutboundError},
};

/// Maximum size of a metadata document, in bytes.
const LARGEST_METADATA: usize = 256 * 1024;

/// Source of an issuer's keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyLocation {
    /// Issuer URL. Its metadata (`OpenID` Connect Discovery 1.0 §4) names the URL of the key set.
    Issuer(String),
    /// Key set at a fixed URL.
    Url {
        /// URL of the key set.
        url: String,
        /// Expected `iss` of the tokens.
        issuer: String,
    },
    /// Key set that never changes.
    Fixed {
        /// Key set as JSON.
        content: String,
        /// Expected `iss` of the tokens.
        issuer: String,
    },
}

/// Current keys of an issuer.
struct Keys {
    issuer: String,
    keys: KeySet,
}

/// Reasons why an assertion is rejected.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// The assertion is invalid.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The keys cannot be fetched.
    #[error("the keys of the issuer are not available: {0}")]
    Unavailable(#[from] Unavailable),
}

/// Reasons why fetching the keys fails.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The request failed.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// A URL is invalid.
    #[error("{what} {problem}")]
    Url {
        /// Name of the URL.
        what: &'static str,
        /// Problem with the URL.
        problem: issuer::InvalidUrl,
    },
    /// The metadata document is not a JSON object.
    #[error("the metadata of the issuer is not a JSON object")]
    Metadata,
    /// The metadata document names another issuer.
    #[error("the metadata belongs to the issuer {0:?}")]
    OtherIssuer(String),
    /// The key set is invalid.
    #[error("the key set is {0}")]
    Keys(#[from] jwk::InvalidKeySet),
}

/// The keys of one issuer, used to verify its assertions.
pub struct KeySource {
    location: KeyLocation,
    outbound: Outbound,
    keys: Fetched<Keys>,
}

impl KeySource {
    /// Creates a source. The first verification fetches the keys.
    pub fn new(location: KeyLocation, outbound: Outbound, clock: Arc<dyn Clock>) -> Self {
        Self {
            location,
            outbound,
            keys: Fetched::new(clock),
        }
    }

    /// Verifies an assertion for `audience`. Refetches the keys once if the assertion names an unknown key.
    ///
    /// # Errors
    /// Returns [`Rejected::Refused`] if the assertion is invalid, and [`Rejected::Unavailable`] if the keys cannot be
    /// fetched.
    pub async fn verify(
        &self,
        text: &str,
        audience: &str,
        clock: &dyn Clock,
    ) -> Result<Verified, Rejected> {
        let attempt = |keys: &Keys| {
            let expected = Expected {
                issuer: &keys.issuer,
                audience,
                now: clock.now(),
            };
            assertion::verify(Unverified::parse(text)?, &keys.keys, expected)
        };
        // Malformed assertions must not trigger a fetch.
        Unverified::parse(text).map_err(Refusal::from)?;
        let keys = self.keys.get(async || self.fetch().await).await?;
        match attempt(&keys) {
            Err(Refusal::UnknownKey) => {
                let keys = self.keys.newer(&keys, async || self.fetch().await).await?;
                Ok(attempt(&keys)?)
            }
            outcome => Ok(outcome?),
        }
    }

    async fn fetch(&self) -> Result<Keys, FetchError> {
        let outcome = self.fetch_keys().await;
        if let Err(error) = &outcome {
            tracing::warn!(%error, location = self.name(), "keys of an issuer cannot be fetched");
        }
        outcome
    }

    async fn fetch_keys(&self) -> Result<Keys, FetchError> {
        let (url, issuer) = match &self.location {
            KeyLocation::Fixed { content, issuer } => {
                return Ok(Keys {
                    issuer: issuer.clone(),
                    keys: KeySet::parse(content.as_bytes())?,
                });
            }
            KeyLocation::Url { url, issuer } => {
                (https("the URL of the key set", url)?, issuer.clone())
            }
            KeyLocation::Issuer(issuer) => self.discover(issuer).await?,
        };
        let bytes = self.outbound.get(url.uri(), jwk::MAX_SET_LENGTH).await?;
        Ok(Keys {
            issuer,
            keys: KeySet::parse(&bytes)?,
        })
    }

    /// Returns the URL of the key set and the issuer as the metadata spell it.
    async fn discover(&self, issuer: &str) -> Result<(HttpsUrl, String), FetchError> {
        let url = issuer::discovery_url(issuer).map_err(|problem| FetchError::Url {
            what: "the issuer",
            problem,
        })?;
        let bytes = self.outbound.get(url.uri(), LARGEST_METADATA).await?;
        let metadata = strict_json::object(&bytes).map_err(|_| FetchError::Metadata)?;
        let text = |name: &str| {
            metadata
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let named = text("issuer");
        if !issuer::is_same(named, issuer) {
            return Err(FetchError::OtherIssuer(named.to_owned()));
        }
        Ok((
            https("jwks_uri of the issuer", text("jwks_uri"))?,
            named.to_owned(),
        ))
    }

    fn name(&self) -> &str {
        match &self.location {
            KeyLocation::Issuer(text)
            | KeyLocation::Url { url: text, .. }
            | KeyLocation::Fixed { issuer: text, .. } => text,
        }
    }
}

fn https(what: &'static str, url: &str) -> Result<HttpsUrl, FetchError> {
    HttpsUrl::parse(url).map_err(|problem| FetchError::Url { what, problem })
}
