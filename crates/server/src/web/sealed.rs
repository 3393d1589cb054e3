//! What a browser keeps for the Cluster: sealed, so that nobody but a replica reads or makes it (AES-256-GCM, RFC 5116).
//!
//! The key is derived from a signing key of the Cluster for one purpose, so every replica opens what any of them has
//! sealed, and nothing that was sealed for one purpose is of use for another.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{clock::UnixMillis, id::Uid};
use prost::Message;

use crate::{Context, Error};

const KEY_ID_LENGTH: usize = 16;
/// Nothing that is sealed is longer: what is, is not worth decoding.
const LONGEST: usize = 8192;

/// What something was sealed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Who browses the pages of the Cluster.
    Browser,
    /// Who browses one Service.
    Service,
    /// The way from the login to a Service.
    HandOver,
    /// A login at an identity provider that is under way.
    LoginState,
    /// A logout at an identity provider that is under way.
    Logout,
    /// A link by which a person gets in.
    Enrollment,
    /// A form of one Session.
    Form,
    /// What a machine without a browser keeps while it waits.
    DeviceCode,
    /// What such a machine asks for, while a person looks at it.
    DeviceRequest,
    /// A ceremony of Web Authentication that is under way.
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

/// Why something was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotOpened {
    /// Changed, made elsewhere, or sealed for something else.
    #[error("it was not sealed by this Cluster for this purpose")]
    Invalid,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// It cannot be opened at present.
    #[error("it cannot be opened at present")]
    Unavailable,
}

/// What is sealed, and until when it is good.
#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(int64, tag = "1")]
    expires_at: i64,
    #[prost(bytes = "vec", tag = "2")]
    content: Vec<u8>,
}

/// Seals `content`, to be opened before `expires_at`. Characters of base64url alone.
///
/// # Errors
/// Where there is no key.
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

/// Opens what [`seal`] has made.
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

/// As [`open`], with the moment until which it is good.
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
        tracing::error!(%error, "cannot open what a browser has sent");
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

/// Its parts, not opened yet.
pub(crate) struct Sealed {
    key_id: Uid,
    nonce: [u8; NONCE_LEN],
    body: Vec<u8>,
}

impl Sealed {
    /// `None` where it has not the form.
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
