//! Stored document ↔ message.
//!
//! The body of a document is the encoded wire message. What the store knows better than the body (uid, name,
//! creation, revision) is filled in from the document at each reading.

use std::time::Duration;

use api::{core_v1 as core, platform_v1::Resource as AnyResource, resource::Object};
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use store::{Document, IndexEntry, NewDocument, Revision, SecretWrite, StoreError};

/// The most encoded bytes of a resource, so that any reply with one object, and a page of a list, fits into what gRPC
/// libraries read by default (4 MiB).
pub const MOST_BYTES: usize = 3 << 20;

/// For how long the registration of an Authenticator may take.
const REGISTRATION: Duration = Duration::from_hours(1);

/// A kind of resource, as the store has it.
pub trait Resource: Object {
    /// Which kind.
    const DOCUMENT: Kind;

    /// By which declared keys it is found; see [`super::index`].
    fn indexes(&self) -> Vec<IndexEntry>;

    /// When it drops out of reads by itself.
    fn expires_at(&self) -> Option<UnixMillis> {
        None
    }

    /// Puts in `apiVersion`, `kind`, and whatever is missing of metadata, spec and status: clients dereference
    /// them.
    fn complete(&mut self) {
        self.stamp();
        self.metadata_mut();
        self.spec_mut();
        self.status_mut();
    }
}

macro_rules! resources {
    ($($kind:ident $(expires at $expires:path)?;)*) => {$(
        impl Resource for core::$kind {
            const DOCUMENT: Kind = Kind::$kind;

            fn indexes(&self) -> Vec<IndexEntry> {
                super::index::Indexed::entries(self)
            }

            $(fn expires_at(&self) -> Option<UnixMillis> {
                $expires(self)
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
    Credential;
    Secret;
    Config;
    ClusterConfig;
    Session expires at session_expiry;
    Device;
    Authenticator expires at authenticator_expiry;
    Region;
    Gateway;
}

/// A resource as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    /// Its immutable id.
    pub uid: Uid,
    /// The revision that was read.
    pub revision: Revision,
    /// When it was created.
    pub created_at: UnixMillis,
    /// The message, complete.
    pub message: T,
}

/// Reads a document.
///
/// # Errors
/// Where the body is not an encoded `T`: the store is damaged.
pub fn decode<T: Resource>(document: &Document) -> Result<Stored<T>, StoreError> {
    let mut message = T::decode(document.body.as_slice()).map_err(|error| StoreError {
        context: format!("decode {document:?}"),
        transient: false,
        source: Some(std::sync::Arc::new(error)),
    })?;
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

/// Whether what failed is that a document is damaged, and not that the store does not answer.
pub fn is_damage(error: &StoreError) -> bool {
    let source = error.source.as_ref();
    source.is_some_and(|source| source.is::<prost::DecodeError>())
}

/// The document to be written for a message.
pub fn encode<T: Resource>(
    uid: Uid,
    created_at: UnixMillis,
    message: &T,
    secret: SecretWrite,
) -> NewDocument {
    NewDocument {
        kind: T::DOCUMENT,
        uid,
        name: message.name().to_owned(),
        created_at,
        expires_at: message.expires_at(),
        body: message.encode_to_vec(),
        indexes: message.indexes(),
        secret,
    }
}

/// Reads a document of any kind; `None` for a kind that is no resource.
///
/// # Errors
/// As [`decode`].
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

/// One that is never registered is forgotten.
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
