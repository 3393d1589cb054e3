//! What a provider says of itself (`OpenID` Connect Discovery 1.0 §3), and its keys.

use openidconnect::{
    AdditionalProviderMetadata, AuthType, ProviderMetadata,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
        CoreJsonWebKey, CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm,
        CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
        CoreSubjectIdentifierType,
    },
};
use serde::{Deserialize, Serialize};

use crate::{
    issuer::{self, HttpsUrl, InvalidUrl},
    json,
    jwk::{self, KeySet},
    outbound::{Outbound, OutboundError},
};

const LARGEST_METADATA: usize = 256 * 1024;

/// What the library does not know of.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub(super) struct More {
    /// RFC 9207 §3
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
    /// RP-Initiated Logout 1.0 §2.1. No login depends on it, so whatever it is.
    #[serde(default)]
    pub(super) end_session_endpoint: serde_json::Value,
}

impl AdditionalProviderMetadata for More {}

pub(super) type Metadata = ProviderMetadata<
    More,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// A provider as it is now.
pub(super) struct Found {
    pub(super) metadata: Metadata,
    pub(super) keys: CoreJsonWebKeySet,
    /// The same keys, as they verify what the library knows nothing of.
    pub(super) strict_keys: KeySet,
}

/// Why a provider was not found.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("{what} {problem}")]
    Url {
        what: &'static str,
        problem: InvalidUrl,
    },
    #[error("the metadata of the issuer cannot be read: {0}")]
    Metadata(serde_json::Error),
    #[error("the metadata is of the issuer {0:?}")]
    OtherIssuer(String),
    #[error("the key set is {0}")]
    Keys(#[from] jwk::InvalidKeySet),
    #[error("the key set cannot be read: {0}")]
    KeySet(serde_json::Error),
}

/// Asks the issuer. Everything that it names is under `https`.
pub(super) async fn fetch(issuer: &str, outbound: &Outbound) -> Result<Found, FetchError> {
    let url = issuer::discovery_url(issuer).map_err(|problem| FetchError::Url {
        what: "the issuer",
        problem,
    })?;
    let bytes = outbound.get(url.uri(), LARGEST_METADATA).await?;
    // No key twice.
    json::object(&bytes).map_err(FetchError::Metadata)?;
    let metadata: Metadata = serde_json::from_slice(&bytes).map_err(FetchError::Metadata)?;
    if !issuer::is_same(metadata.issuer().as_str(), issuer) {
        return Err(FetchError::OtherIssuer(metadata.issuer().to_string()));
    }
    https(
        "authorization_endpoint",
        metadata.authorization_endpoint().as_str(),
    )?;
    if let Some(endpoint) = metadata.token_endpoint() {
        https("token_endpoint", endpoint.as_str())?;
    }
    if let Some(endpoint) = metadata.userinfo_endpoint() {
        https("userinfo_endpoint", endpoint.as_str())?;
    }
    let keys_at = https("jwks_uri", metadata.jwks_uri().as_str())?;
    let bytes = outbound.get(keys_at.uri(), jwk::MAX_SET_LENGTH).await?;
    // Nothing weak among what is used.
    let strict_keys = KeySet::parse(&bytes)?;
    Ok(Found {
        metadata,
        strict_keys,
        keys: serde_json::from_slice(&bytes).map_err(FetchError::KeySet)?,
    })
}

/// How a client proves itself at the token endpoint: `client_secret_basic` unless the provider takes the other one alone.
pub(super) fn authentication(metadata: &Metadata) -> AuthType {
    let methods = metadata.token_endpoint_auth_methods_supported();
    let has = |method| methods.is_some_and(|methods| methods.contains(&method));
    let is_post = has(CoreClientAuthMethod::ClientSecretPost)
        && !has(CoreClientAuthMethod::ClientSecretBasic);
    if is_post {
        AuthType::RequestBody
    } else {
        AuthType::BasicAuth
    }
}

fn https(what: &'static str, url: &str) -> Result<HttpsUrl, FetchError> {
    HttpsUrl::parse(url).map_err(|problem| FetchError::Url { what, problem })
}
