//! The keys of an issuer: fetched once, kept, and fetched anew when they are old or one is missing.

use std::sync::Arc;

use domain::clock::Clock;
use serde_json::Value;

use crate::{
    assertion::{self, Expected, Refusal, Verified},
    fetched::{Fetched, Unavailable},
    issuer::{self, HttpsUrl},
    json,
    jwk::{self, KeySet},
    jws::Unverified,
    outbound::{Outbound, OutboundError},
};

/// The largest metadata document, in bytes.
const LARGEST_METADATA: usize = 256 * 1024;

/// Where an issuer's keys come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyLocation {
    /// From its metadata (`OpenID` Connect Discovery 1.0 §4), which says where.
    Issuer(String),
    /// From here, for this issuer.
    Url {
        /// Of the key set.
        url: String,
        /// `iss` of its tokens.
        issuer: String,
    },
    /// They never change.
    Fixed {
        /// The key set.
        content: String,
        /// `iss` of its tokens.
        issuer: String,
    },
}

/// An issuer as it is now.
struct Keys {
    issuer: String,
    keys: KeySet,
}

/// Why an assertion is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// It is no good.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The keys cannot be had at present.
    #[error("the keys of the issuer are not available: {0}")]
    Unavailable(#[from] Unavailable),
}

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// An address that is none.
    #[error("{what} {problem}")]
    Url {
        /// Of what.
        what: &'static str,
        /// What is wrong with it.
        problem: issuer::InvalidUrl,
    },
    /// The metadata is no such document.
    #[error("the metadata of the issuer is not a JSON object")]
    Metadata,
    /// The metadata is of somebody else.
    #[error("the metadata is of the issuer {0:?}")]
    OtherIssuer(String),
    /// The key set is none.
    #[error("the key set is {0}")]
    Keys(#[from] jwk::InvalidKeySet),
}

/// The keys of one issuer, and the check of its assertions.
pub struct KeySource {
    location: KeyLocation,
    outbound: Outbound,
    keys: Fetched<Keys>,
}

impl KeySource {
    /// Nothing is fetched yet.
    pub fn new(location: KeyLocation, outbound: Outbound, clock: Arc<dyn Clock>) -> Self {
        Self {
            location,
            outbound,
            keys: Fetched::new(clock),
        }
    }

    /// Verifies an assertion for `audience`. Keys are looked for once more where the one that it names is unknown.
    ///
    /// # Errors
    /// Where it is no good, or cannot be verified at present.
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
        // Before anything is fetched for it.
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

    /// Where the keys are, and how the issuer writes itself.
    async fn discover(&self, issuer: &str) -> Result<(HttpsUrl, String), FetchError> {
        let url = issuer::discovery_url(issuer).map_err(|problem| FetchError::Url {
            what: "the issuer",
            problem,
        })?;
        let bytes = self.outbound.get(url.uri(), LARGEST_METADATA).await?;
        let metadata = json::object(&bytes).map_err(|_| FetchError::Metadata)?;
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
