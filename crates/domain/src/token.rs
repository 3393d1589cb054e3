//! Tokens that a Cluster signs: access tokens, refresh tokens and the secrets of Credentials.
//!
//! A token is `base64url-nopad(0x01 ‖ TokenT0{1: signature, 2: content})`. Each token has exactly one spelling: a text
//! that is not the canonical encoding of its content is rejected before any other check. The signature (Ed25519, RFC
//! 8032) covers the content bytes as received. The caller selects the verification key by the key id in the token. A
//! token does not name an algorithm.

use std::time::Duration;

use api::auth_v1::token_t0::content::Type;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{clock::UnixMillis, id::Uid};

mod encoding;
mod key;

pub use key::{InvalidKey, InvalidText, SigningKey, VerifyingKey};

use encoding::{Envelope, MAX_BYTES};

/// The minimum length of a token, in characters.
pub const MIN_LENGTH: usize = 150;
/// The maximum length of a token, in characters.
pub const MAX_LENGTH: usize = 220;

/// The type of a token. A token of one type is never accepted as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenType {
    /// Authenticates requests of a Session.
    Access,
    /// Refreshes the tokens of a Session.
    Refresh,
    /// The secret of a Credential.
    Credential,
}

impl TokenType {
    fn to_proto(self) -> Type {
        match self {
            Self::Access => Type::AccessToken,
            Self::Refresh => Type::RefreshToken,
            Self::Credential => Type::Credential,
        }
    }

    fn from_proto(number: i32) -> Option<Self> {
        match Type::try_from(number).ok()? {
            Type::AccessToken => Some(Self::Access),
            Type::RefreshToken => Some(Self::Refresh),
            Type::Credential => Some(Self::Credential),
            Type::Unknown => None,
        }
    }
}

/// The content of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The type of the token.
    pub token_type: TokenType,
    /// The id of the key that signed the token.
    pub key_id: Uid,
    /// The uid of the Session (access and refresh tokens) or of the Credential.
    pub subject: Uid,
    /// The id of this generation of tokens, which the subject stores.
    pub token_id: Uid,
    /// The time of expiry: a whole second of the years 1970 to 9999. If `None`, only the subject limits the token.
    pub expires_at: Option<UnixMillis>,
    /// The version of the Credential behind the token; 0 without a Credential.
    pub credential_version: u32,
    /// The uid of the Cluster that issued the token.
    pub audience: Uid,
}

impl Claims {
    /// Checks that the token has not expired.
    ///
    /// # Errors
    /// Returns [`TokenError::Expired`] if `now` is at or after the expiry.
    pub fn check_expiry(&self, now: UnixMillis) -> Result<(), TokenError> {
        match self.expires_at {
            Some(expires_at) if now >= expires_at => Err(TokenError::Expired),
            _ => Ok(()),
        }
    }

    /// Checks the type of the token.
    ///
    /// # Errors
    /// Returns [`TokenError::WrongType`] if the type is not `wanted`.
    pub fn check_type(&self, wanted: TokenType) -> Result<(), TokenError> {
        if self.token_type == wanted {
            Ok(())
        } else {
            Err(TokenError::WrongType)
        }
    }
}

/// The reason why a text is not a token of this Cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The text is not a token in its canonical encoding.
    #[error("malformed token")]
    Malformed,
    /// Another key than the given one signed the token.
    #[error("the token is signed by another key")]
    WrongKey,
    /// The signature does not match.
    #[error("the signature of the token does not match")]
    BadSignature,
    /// Another Cluster issued the token.
    #[error("the token belongs to another Cluster")]
    WrongAudience,
    /// The token has another type than expected.
    #[error("the token has a type that is not accepted here")]
    WrongType,
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
}

impl TokenError {
    /// Returns a stable identifier for the audit log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "token_malformed",
            Self::WrongKey => "token_key_unknown",
            Self::BadSignature => "token_signature",
            Self::WrongAudience => "token_audience",
            Self::WrongType => "token_type",
            Self::Expired => "token_expired",
        }
    }
}

/// The text of a token. It is wiped from memory when dropped, and never printed.
pub struct Token(SecretString);

impl Token {
    /// Returns the text, to be sent to its owner.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Converts to the general type for secrets.
    pub fn into_secret(self) -> SecretString {
        self.0
    }
}

/// A well-formed token whose signature was not verified.
pub struct Unverified(Envelope);

impl Unverified {
    /// Returns the id of the key that supposedly signed the token.
    pub fn key_id(&self) -> Uid {
        self.0.claims().key_id
    }

    /// Returns the bytes that the text encodes. They are equal exactly if the texts that [`decode`] accepted are equal.
    pub fn canonical_bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// Verifies the signature with `key` and checks that the token is for `audience`, the uid of the Cluster. Does not
    /// check type and expiry: see [`Claims::check_type`] and [`Claims::check_expiry`].
    ///
    /// # Errors
    /// Returns [`TokenError::WrongKey`], [`TokenError::BadSignature`] or [`TokenError::WrongAudience`].
    pub fn verify(self, key: &VerifyingKey, audience: Uid) -> Result<Claims, TokenError> {
        if key.id() != self.key_id() {
            return Err(TokenError::WrongKey);
        }
        key.verify(self.0.signed(), self.0.signature())?;
        let claims = self.0.into_claims();
        if claims.audience != audience {
            return Err(TokenError::WrongAudience);
        }
        Ok(claims)
    }
}

/// Decodes a token strictly: canonical base64url without padding, canonical protobuf, no unknown fields, bounded size.
///
/// # Errors
/// Returns [`TokenError::Malformed`] for any other text.
pub fn decode(text: &str) -> Result<Unverified, TokenError> {
    if !(MIN_LENGTH..=MAX_LENGTH).contains(&text.len()) {
        return Err(TokenError::Malformed);
    }
    let mut bytes = [0; MAX_BYTES];
    // This engine rejects padding and non-zero trailing bits.
    let length = URL_SAFE_NO_PAD
        .decode_slice(text, &mut bytes)
        .map_err(|_| TokenError::Malformed)?;
    Envelope::read(bytes, length).map(Unverified)
}

/// Returns the unverified claims of a token, for display to its holder. They must not be used in a decision.
///
/// # Errors
/// Returns [`TokenError::Malformed`] like [`decode`].
pub fn inspect(text: &str) -> Result<Claims, TokenError> {
    decode(text).map(|unverified| unverified.0.into_claims())
}

/// Returns the expiry of a token that is issued at `now` for `lifetime`. It is rounded up to whole seconds, the
/// resolution of tokens, so that no token is shorter-lived than promised.
pub fn expiry(now: UnixMillis, lifetime: Duration) -> UnixMillis {
    let end = now.saturating_add(lifetime);
    UnixMillis::from_seconds(end.saturating_add(Duration::from_millis(999)).seconds())
}

impl SigningKey {
    /// Signs `claims` with this key, whose id replaces their key id. The expiry is truncated to whole seconds and
    /// clamped to the years 1970 to 9999.
    pub fn sign(&self, claims: &Claims) -> Token {
        let content = encoding::content(claims, self.id());
        let signature = self.signature(&content);
        let bytes = encoding::envelope(&signature, &content);
        Token(SecretString::from(URL_SAFE_NO_PAD.encode(bytes)))
    }
}

#[cfg(test)]
mod tests;
