//! Conversion between stored documents and messages.
//!
//! The body of a document is the encoded message. The uid, name, creation time and revision of the document override
//! those in the body at each read.

use std::time::Duration;

use api::{core_v1 as core, platform_v1::Resource as AnyResource, resource::Object};
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use store::{Document, IndexEntry, NewDocument, Revision, SecretWrite, StoreError, WithSecret};

use super::token_ids::{HasTokenIds, TokenIds};

/// Maximum encoded size of a resource in bytes. Replies with one object and pages of a list stay within the default
/// limit of gRPC libraries (4 MiB).
pub const MOST_BYTES: usize = 3 << 20;

/// Time limit for finishing the registration of an Authenticator.
const REGISTRATION: Duration = Duration::from_hours(1);

/// A resource kind that can be stored.
pub trait Resource: Object {
    /// The kind of its documents.
    const DOCUMENT: Kind;

    /// Returns the index entries; see [`super::index`].
    fn indexes(&self) -> Vec<IndexEntry>;

    /// Returns the message as one with token ids, if its kind has them.
    fn token_ids(&mut self) -> Option<&mut dyn HasTokenIds> {
        None
    }

    /// Returns the time after which reads no longer return it.
    fn expires_at(&self) -> Option<UnixMillis> {
        None
    }

    /// Removes data that earlier releases stored and that must not be readable.
    fn remove_data(&mut self) {}

    /// Fills in `apiVersion`, `kind`, and missing metadata, spec and status, because clients dereference them.
    fn complete(&mut self) {
        self.stamp();
        self.metadata_mut();
        self.spec_mut();
        self.status_mut();
    }
}

macro_rules! resources {
    ($($kind:ident $(with $sealed:ident)? $(expires at $expires:path)? $(, withholds by $remove_data:path)?;)*) => {$(
        impl Resource for core::$kind {
            const DOCUMENT: Kind = Kind::$kind;

            fn indexes(&self) -> Vec<IndexEntry> {
                super::index::Indexed::entries(self)
            }

            $(fn token_ids(&mut self) -> Option<&mut dyn HasTokenIds> {
                Some($sealed(self))
            })?

            $(fn expires_at(&self) -> Option<UnixMillis> {
                $expires(self)
            })?

            $(fn remove_data(&mut self) {
                $remove_data(self);
            })?
        }
    )*};
}

resources! {
    Policy;
    IdentityProvider;
    Namespace;
    Group;
    User;
    Service;
    Credential with token_ids expires at domain::credential::recovery_until;
    Secret, withholds by super::secret::remove_data;
    Config;
    ClusterConfig;
    Session with token_ids expires at session_expiry;
    Device;
    Authenticator expires at authenticator_expiry;
    Region;
    Gateway;
}

/// A resource as read from the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    /// Immutable id.
    pub uid: Uid,
    /// The revision that was read.
    pub revision: Revision,
    /// Creation time.
    pub created_at: UnixMillis,
    /// The complete message.
    pub message: T,
}

/// Decodes a document without its token ids.
///
/// # Errors
/// Returns an error with [`prost::DecodeError`] as its source if the body is not an encoded `T`.
pub fn decode<T: Resource>(document: &Document) -> Result<Stored<T>, StoreError> {
    let mut stored = decode_body::<T>(document)?;
    if let Some(message) = stored.message.token_ids() {
        // Earlier releases stored token ids in the body.
        drop(message.take_token_ids());
    }
    Ok(stored)
}

/// Decodes a document with its token ids, for code that authenticates.
///
/// # Errors
/// Returns an error with [`prost::DecodeError`] as its source if the body is not an encoded `T`, or the secret is not
/// an encoded [`TokenIds`].
pub fn decode_with_token_ids<T: Resource>(
    (document, secret): &WithSecret,
) -> Result<Stored<T>, StoreError> {
    let mut stored = decode_body::<T>(document)?;
    if let (Some(message), Some(secret)) = (stored.message.token_ids(), secret) {
        message.put_token_ids(TokenIds::from_secret(secret)?);
    }
    Ok(stored)
}

fn decode_body<T: Resource>(document: &Document) -> Result<Stored<T>, StoreError> {
    let mut message = T::decode(document.body.as_slice()).map_err(|error| StoreError {
        context: format!("decode {document:?}"),
        transient: false,
        source: Some(std::sync::Arc::new(error)),
    })?;
    message.remove_data();
    message.complete();
    let revision = document.revision.0;
    let metadata = message.metadata_mut();
    metadata.uid = document.uid.to_string();
    metadata.name.clone_from(&document.name);
    metadata.created_at = Some(document.created_at.to_proto());
    metadata.resource_version = revision.to_string();
    metadata.last_resource_version = match revision {
        0 | 1 => String::new(),
        later => (later - 1).to_string(),
    };
    Ok(Stored {
        uid: document.uid,
        revision: document.revision,
        created_at: document.created_at,
        message,
    })
}

/// Returns whether the error is a damaged document rather than a store that does not answer.
pub fn is_damaged_document(error: &StoreError) -> bool {
    let source = error.source.as_ref();
    source.is_some_and(|source| source.is::<prost::DecodeError>())
}

/// Encodes a message as a document. Token ids go into the sealed secret. A message without token ids keeps the stored
/// ones.
pub fn encode<T: Resource>(
    uid: Uid,
    created_at: UnixMillis,
    message: &T,
    secret: SecretWrite,
) -> NewDocument {
    let mut body = message.clone();
    let secret = match body.token_ids() {
        Some(message) => message.take_token_ids().to_secret().unwrap_or(secret),
        None => secret,
    };
    NewDocument {
        kind: T::DOCUMENT,
        uid,
        name: message.name().to_owned(),
        created_at,
        expires_at: message.expires_at(),
        body: body.encode_to_vec(),
        indexes: message.indexes(),
        secret,
    }
}

/// Decodes a document of any kind. Returns `None` for an internal kind.
///
/// # Errors
/// Returns an error with [`prost::DecodeError`] as its source if the body does not match the kind.
pub fn decode_any(document: &Document) -> Result<Option<AnyResource>, StoreError> {
    macro_rules! decode {
        ($($kind:ident),*) => {
            match document.kind {
                $(Kind::$kind => decode::<core::$kind>(document)?.message.into_resource(),)*
                Kind::SigningKey
                | Kind::Certificate
                | Kind::SecondFactors
                | Kind::AuthenticatorMetadata
                | Kind::RevokedToken
                | Kind::Enrollment => return Ok(None),
            }
        };
    }
    Ok(Some(decode!(
        Policy,
        IdentityProvider,
        Namespace,
        Group,
        User,
        Service,
        Credential,
        Secret,
        Config,
        ClusterConfig,
        Session,
        Device,
        Authenticator,
        Region,
        Gateway
    )))
}

fn token_ids<T: HasTokenIds>(message: &mut T) -> &mut dyn HasTokenIds {
    message
}

/// An Authenticator that is never registered expires.
fn authenticator_expiry(authenticator: &core::Authenticator) -> Option<UnixMillis> {
    let status = authenticator.status.as_ref();
    if status.is_some_and(|status| status.is_registered) {
        return None;
    }
    let created_at = authenticator.metadata.as_ref()?.created_at.as_ref()?;
    Some(UnixMillis::from_proto(created_at).saturating_add(REGISTRATION))
}

fn session_expiry(session: &core::Session) -> Option<UnixMillis> {
    let expires_at = session.spec.as_ref()?.expires_at.as_ref()?;
    Some(UnixMillis::from_proto(expires_at))
}
