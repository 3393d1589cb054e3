//! Sealed values that browsers and devices keep for the Cluster (AES-256-GCM, RFC 5116).
//!
//! Each purpose has its own key, derived from a signing key of the Cluster. Every replica can open a value that another
//! one sealed, and a value sealed for one purpose is invalid for all others.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{clock::UnixMillis, id::Uid};
use prost::Message;

use crate::{Context, Error};

const KEY_ID_LENGTH: usize = 16;
/// Maximum length of a sealed value in bytes. Longer input is rejected before decoding.
const LONGEST: usize = 8192;

/// The purpose that a value is sealed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Session cookie of the Cluster's pages.
    Browser,
    /// Session cookie of one Service.
    Service,
    /// Handover code from the login to a Service.
    HandOver,
    /// State of a pending login at an identity provider.
    LoginState,
    /// State of a pending logout at an identity provider.
    Logout,
    /// Enrollment link.
    Enrollment,
    /// CSRF token in the forms of a Session.
    Form,
    /// Device code of a client without a browser (RFC 8628).
    DeviceCode,
    /// Request of such a client while a person reviews it.
    DeviceRequest,
    /// State of a pending Web Authentication ceremony.
    Ceremony,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser 1",
            Self::Service => "service 1",
            Self::HandOver => "hand-over 1",
            Self::LoginState => "login state 1",
            Self::Logout => "logout 1",
            Self::Enrollment => "enrollment 1",
            Self::Form => "form 1",
            Self::DeviceCode => "device code 1",
            Self::DeviceRequest => "device request 1",
            Self::Ceremony => "ceremony 1",
        }
    }
}

/// Reason why a value was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotOpened {
    /// Altered, sealed by another Cluster, or sealed for another purpose.
    #[error("it was not sealed by this Cluster for this purpose")]
    Invalid,
    #[error("it has expired")]
    Expired,
    /// The key cannot be loaded now.
    #[error("it cannot be opened at the moment")]
    Unavailable,
}

/// The sealed plaintext: the content and its expiry.
#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(int64, tag = "1")]
    expires_at: i64,
    #[prost(bytes = "vec", tag = "2")]
    content: Vec<u8>,
}

/// Seals `content` until `expires_at`. The result contains only base64url characters.
///
/// # Errors
/// Returns an error if no signing key is available.
pub(crate) fn seal(
    ctx: &Context,
    purpose: Purpose,
    content: &impl Message,
    expires_at: UnixMillis,
) -> Result<String, Error> {
    let signer = ctx.keys.signer(ctx.now())?;
    let id = signer.id();
    let key = key(&signer, purpose).ok_or_else(|| Error::internal("no key to seal with"))?;
    let mut nonce = [0; NONCE_LEN];
    ctx.rng.fill(&mut nonce);
    let mut body = Envelope {
        expires_at: expires_at.0,
        content: content.encode_to_vec(),
    }
    .encode_to_vec();
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(purpose.as_str()),
        &mut body,
    )
    .map_err(|_| Error::internal("could not seal"))?;
    let bytes = [id.as_bytes().as_slice(), &nonce, &body].concat();
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Opens a value that [`seal`] returned.
///
/// # Errors
/// See [`NotOpened`].
pub(crate) async fn open<T: Message + Default>(
    ctx: &Context,
    purpose: Purpose,
    text: &str,
) -> Result<T, NotOpened> {
    let (content, _) = open_with_end(ctx, purpose, text).await?;
    Ok(content)
}

/// Like [`open`], and also returns the expiry.
///
/// # Errors
/// See [`NotOpened`].
pub(crate) async fn open_with_end<T: Message + Default>(
    ctx: &Context,
    purpose: Purpose,
    text: &str,
) -> Result<(T, UnixMillis), NotOpened> {
    let sealed = Sealed::read(text).ok_or(NotOpened::Invalid)?;
    let signer = ctx.keys.opener(sealed.key_id).await.map_err(|error| {
        tracing::error!(%error, "cannot open sealed data from a browser");
        NotOpened::Unavailable
    })?;
    let signer = signer.ok_or(NotOpened::Invalid)?;
    let key = key(&signer, purpose).ok_or(NotOpened::Unavailable)?;
    let mut body = sealed.body;
    let plain = key
        .open_in_place(
            Nonce::assume_unique_for_key(sealed.nonce),
            Aad::from(purpose.as_str()),
            &mut body,
        )
        .map_err(|_| NotOpened::Invalid)?;
    let envelope = Envelope::decode(&*plain).map_err(|_| NotOpened::Invalid)?;
    let expires_at = UnixMillis(envelope.expires_at);
    if expires_at <= ctx.now() {
        return Err(NotOpened::Expired);
    }
    let content = T::decode(&*envelope.content).map_err(|_| NotOpened::Invalid)?;
    Ok((content, expires_at))
}

/// A sealed value in parts, not opened yet.
pub(crate) struct Sealed {
    key_id: Uid,
    nonce: [u8; NONCE_LEN],
    body: Vec<u8>,
}

impl Sealed {
    /// Parses a sealed value. Returns `None` if it is malformed.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (key_id, rest) = bytes.split_at_checked(KEY_ID_LENGTH)?;
        let (nonce, body) = rest.split_at_checked(NONCE_LEN)?;
        Some(Self {
            key_id: Uid::from_bytes(key_id).ok()?,
            nonce: nonce.try_into().ok()?,
            body: body.to_vec(),
        })
    }
}

fn key(signer: &domain::token::SigningKey, purpose: Purpose) -> Option<LessSafeKey> {
    let key = signer.derive(purpose.as_str()).ok()?;
    let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).ok()?;
    Some(LessSafeKey::new(key))
}
