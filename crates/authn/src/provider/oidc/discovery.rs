//! Metadata (`OpenID` Connect Discovery 1.0 §3) and keys of a provider.

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
    jwk::{self, KeySet},
    outbound::{Outbound, OutboundError},
};

const LARGEST_METADATA: usize = 256 * 1024;

/// Metadata fields that the library does not know.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub(super) struct More {
    /// RFC 9207 §3.
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
    /// RP-Initiated Logout 1.0 §2.1. Logins do not use it, so any JSON value is accepted here.
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

/// Current metadata and keys of a provider.
pub(super) struct Found {
    pub(super) metadata: Metadata,
    pub(super) keys: CoreJsonWebKeySet,
    /// Same keys in our own format, for tokens that the library does not verify.
    pub(super) strict_keys: KeySet,
}

/// Reasons why fetching the metadata or keys fails.
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
    #[error("the metadata belongs to the issuer {0:?}")]
    OtherIssuer(String),
    #[error("the key set is {0}")]
    Keys(#[from] jwk::InvalidKeySet),
    #[error("the key set cannot be read: {0}")]
    KeySet(serde_json::Error),
}

/// Fetches the metadata and the keys of an issuer. All URLs must be `https`.
pub(super) async fn fetch(issuer: &str, outbound: &Outbound) -> Result<Found, FetchError> {
    let url = issuer::discovery_url(issuer).map_err(|problem| FetchError::Url {
        what: "the issuer",
        problem,
    })?;
    let bytes = outbound.get(url.uri(), LARGEST_METADATA).await?;
    // Reject documents with duplicate keys.
    strict_json::object(&bytes).map_err(FetchError::Metadata)?;
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
    // Reject key sets that contain weak keys.
    let strict_keys = KeySet::parse(&bytes)?;
    Ok(Found {
        metadata,
        strict_keys,
        keys: serde_json::from_slice(&bytes).map_err(FetchError::KeySet)?,
    })
}

/// Returns the client authentication method for the token endpoint: `client_secret_basic`, unless the provider lists
/// only `client_secret_post`.
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
