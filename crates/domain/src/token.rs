//! Tokens: what a Cluster signs and hands out as access tokens, refresh tokens and the secrets of Credentials.
//!
//! A token is `base64url-nopad(0x01 ‖ TokenT0{1: signature, 2: content})`. There is exactly one spelling of each
//! token: what is not the canonical encoding of itself is refused before anything else is looked at. The signature
//! (Ed25519, RFC 8032) covers the content bytes as received. Which key verifies is decided by the caller, by the id
//! that the token names; a token says nothing of algorithms.

use std::time::Duration;

use api::auth_v1::token_t0::content::Type;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{clock::UnixMillis, id::Uid};

mod encoding;
mod key;

pub use key::{InvalidKey, InvalidText, SigningKey, VerifyingKey};

use encoding::{Envelope, MAX_BYTES};

/// The fewest characters that a token has.
pub const MIN_LENGTH: usize = 150;
/// The most characters that a token has.
pub const MAX_LENGTH: usize = 220;

/// What a token is for. One is never accepted in place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenType {
    /// Authorizes requests of a Session.
    Access,
    /// Gets a Session new tokens.
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

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// What it is for.
    pub token_type: TokenType,
    /// The key that signed it.
    pub key_id: Uid,
    /// The uid of the Session (access and refresh tokens) or of the Credential.
    pub subject: Uid,
    /// By which the subject knows this generation of its tokens.
    pub token_id: Uid,
    /// From when on it is refused; a whole second of the years 1970 to 9999. `None`: only its subject decides.
    pub expires_at: Option<UnixMillis>,
    /// The version of the Credential that it came from; 0 where no Credential is behind it.
    pub credential_version: u32,
    /// The uid of the Cluster that issued it.
    pub audience: Uid,
}

impl Claims {
    /// Whether it may still be used.
    ///
    /// # Errors
    /// [`TokenError::Expired`] from the very instant of expiry on.
    pub fn check_expiry(&self, now: UnixMillis) -> Result<(), TokenError> {
        match self.expires_at {
            Some(expires_at) if now >= expires_at => Err(TokenError::Expired),
            _ => Ok(()),
        }
    }

    /// Whether it is of the wanted type.
    ///
    /// # Errors
    /// [`TokenError::WrongType`] where not.
    pub fn check_type(&self, wanted: TokenType) -> Result<(), TokenError> {
        if self.token_type == wanted {
            Ok(())
        } else {
            Err(TokenError::WrongType)
        }
    }
}

/// Why a text is not a token that this Cluster accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not of the form of a token, or not the one canonical spelling of itself.
    #[error("malformed token")]
    Malformed,
    /// Signed by another key than the one that was tried.
    #[error("the token is signed by another key")]
    WrongKey,
    /// The signature does not match.
    #[error("the signature of the token does not match")]
    BadSignature,
    /// Issued by another Cluster.
    #[error("the token is of another Cluster")]
    WrongAudience,
    /// Of another type than is accepted here.
    #[error("the token is of another type than is accepted here")]
    WrongType,
    /// Too old.
    #[error("the token has expired")]
    Expired,
}

impl TokenError {
    /// A stable word for the audit log.
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

/// The text of a token. Wiped from memory when dropped, never printed.
pub struct Token(SecretString);

impl Token {
    /// The text, to be handed to whom it belongs.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The same secret in the type in which other parts carry secrets.
    pub fn into_secret(self) -> SecretString {
        self.0
    }
}

/// A token of the right form whose signature nobody has looked at.
pub struct Unverified(Envelope);

impl Unverified {
    /// The key that is said to have signed it.
    pub fn key_id(&self) -> Uid {
        self.0.claims().key_id
    }

    /// The bytes that the text encodes. Two texts that [`decode`] accepts are equal if and only if these are.
    pub fn canonical_bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// The claims, where the signature is that of `key` and the token is for `audience`, the uid of the Cluster.
    /// Type and expiry are not looked at: see [`Claims::check_type`] and [`Claims::check_expiry`].
    ///
    /// # Errors
    /// [`TokenError::WrongKey`], [`TokenError::BadSignature`] or [`TokenError::WrongAudience`].
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

/// Reads a token strictly: canonical base64url without padding, canonical protobuf, nothing unknown, bounded size.
///
/// # Errors
/// [`TokenError::Malformed`] for anything else.
pub fn decode(text: &str) -> Result<Unverified, TokenError> {
    if !(MIN_LENGTH..=MAX_LENGTH).contains(&text.len()) {
        return Err(TokenError::Malformed);
    }
    let mut bytes = [0; MAX_BYTES];
    // This engine refuses padding and bits set after the last byte.
    let length = URL_SAFE_NO_PAD
        .decode_slice(text, &mut bytes)
        .map_err(|_| TokenError::Malformed)?;
    Envelope::read(bytes, length).map(Unverified)
}

/// What a token says of itself, unverified: to be shown to whom holds it, never to decide anything.
///
/// # Errors
/// As [`decode`].
pub fn inspect(text: &str) -> Result<Claims, TokenError> {
    decode(text).map(|unverified| unverified.0.into_claims())
}

/// When a token that is issued at `now` for `lifetime` expires. Rounded up to the whole second that tokens can hold,
/// so that none lives shorter than promised.
pub fn expiry(now: UnixMillis, lifetime: Duration) -> UnixMillis {
    let end = now.saturating_add(lifetime);
    UnixMillis::from_seconds(end.saturating_add(Duration::from_millis(999)).seconds())
}

impl SigningKey {
    /// Signs `claims` as this key: the key id that they name is replaced by this key's. A fraction of a second of
    /// the expiry is dropped, and one outside of the years 1970 to 9999 becomes the nearest that a token can hold.
    pub fn sign(&self, claims: &Claims) -> Token {
        let content = encoding::content(claims, self.id());
        let signature = self.signature(&content);
        let bytes = encoding::envelope(&signature, &content);
        Token(SecretString::from(URL_SAFE_NO_PAD.encode(bytes)))
    }
}

#[cfg(test)]
mod tests;
