//! Stored document ↔ message.
//!
//! The body of a document is the encoded wire message. What the store knows better than the body (uid, name,
//! creation, revision) is filled in from the document at each reading.

use api::{core_v1 as core, meta_v1 as meta, platform_v1 as platform};
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use prost::{Message, Name};
use store::{Document, IndexEntry, NewDocument, Revision, SecretWrite, StoreError};

/// The `apiVersion` of every resource.
pub const API_VERSION: &str = "core/v1";

/// A kind of resource as its message type.
pub trait Resource: Message + Name + Default + Clone + PartialEq + Send + Sync + 'static {
    /// Which kind.
    const KIND: Kind;
    /// Its `List` message.
    type List: Message + Default + Send + 'static;

    /// As it was sent; `None` where it was left out.
    fn metadata(&self) -> Option<&meta::Metadata>;
    /// An empty one is put in where there was none.
    fn metadata_mut(&mut self) -> &mut meta::Metadata;
    /// Whether there is a spec.
    fn has_spec(&self) -> bool;
    /// Whether both have the same spec.
    fn same_spec(&self, other: &Self) -> bool;
    /// Puts in `apiVersion`, `kind`, and an empty spec and status where there was none: clients dereference them.
    fn complete(&mut self);
    /// As one resource of any kind.
    fn into_resource(self) -> platform::Resource;
    /// One page of a list.
    fn list(items: Vec<Self>, meta: meta::ListResponseMeta) -> Self::List;
    /// By which declared keys it is found; see [`super::index`].
    fn indexes(&self) -> Vec<IndexEntry>;
    /// When it drops out of reads by itself.
    fn expires_at(&self) -> Option<UnixMillis> {
        None
    }

    /// The name; empty where there is none.
    fn name(&self) -> &str {
        self.metadata()
            .map_or("", |metadata| metadata.name.as_str())
    }

    /// A reference to it.
    fn reference(&self) -> meta::ObjectReference {
        let metadata = self.metadata();
        meta::ObjectReference {
            api_version: API_VERSION.to_owned(),
            kind: Self::KIND.as_str().to_owned(),
            uid: metadata.map(|m| m.uid.clone()).unwrap_or_default(),
            name: metadata.map(|m| m.name.clone()).unwrap_or_default(),
            resource_version: metadata
                .map(|m| m.resource_version.clone())
                .unwrap_or_default(),
        }
    }
}

macro_rules! resources {
    ($($kind:ident, $list:ident $(, expires: $expires:path)?;)*) => {$(
        impl Resource for core::$kind {
            const KIND: Kind = Kind::$kind;
            type List = core::$list;

            fn metadata(&self) -> Option<&meta::Metadata> {
                self.metadata.as_ref()
            }

            fn metadata_mut(&mut self) -> &mut meta::Metadata {
                self.metadata.get_or_insert_default()
            }

            fn has_spec(&self) -> bool {
                self.spec.is_some()
            }

            fn same_spec(&self, other: &Self) -> bool {
                self.spec == other.spec
            }

            fn complete(&mut self) {
                API_VERSION.clone_into(&mut self.api_version);
                stringify!($kind).clone_into(&mut self.kind);
                self.metadata.get_or_insert_default();
                self.spec.get_or_insert_default();
                self.status.get_or_insert_default();
            }

            fn into_resource(self) -> platform::Resource {
                platform::Resource {
                    resource: Some(platform::resource::Resource::$kind(self)),
                }
            }

            fn list(items: Vec<Self>, meta: meta::ListResponseMeta) -> Self::List {
                core::$list {
                    api_version: API_VERSION.to_owned(),
                    kind: stringify!($list).to_owned(),
                    items,
                    list_response_meta: Some(meta),
                }
            }

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
    Policy, PolicyList;
    IdentityProvider, IdentityProviderList;
    Namespace, NamespaceList;
    Group, GroupList;
    User, UserList;
    Service, ServiceList;
    Credential, CredentialList;
    Secret, SecretList;
    Config, ConfigList;
    Session, SessionList, expires: session_expiry;
    Device, DeviceList;
    Authenticator, AuthenticatorList;
    Region, RegionList;
    Gateway, GatewayList;
}

impl Resource for core::ClusterConfig {
    const KIND: Kind = Kind::ClusterConfig;
    // There is one of it and no list of it on the wire.
    type List = core::ClusterConfig;

    fn metadata(&self) -> Option<&meta::Metadata> {
        self.metadata.as_ref()
    }

    fn metadata_mut(&mut self) -> &mut meta::Metadata {
        self.metadata.get_or_insert_default()
    }

    fn has_spec(&self) -> bool {
        self.spec.is_some()
    }

    fn same_spec(&self, other: &Self) -> bool {
        self.spec == other.spec
    }

    fn complete(&mut self) {
        API_VERSION.clone_into(&mut self.api_version);
        Kind::ClusterConfig.as_str().clone_into(&mut self.kind);
        self.metadata.get_or_insert_default();
        self.spec.get_or_insert_default();
        self.status.get_or_insert_default();
    }

    fn into_resource(self) -> platform::Resource {
        platform::Resource {
            resource: Some(platform::resource::Resource::ClusterConfig(self)),
        }
    }

    fn list(items: Vec<Self>, _: meta::ListResponseMeta) -> Self::List {
        items.into_iter().next().unwrap_or_default()
    }

    fn indexes(&self) -> Vec<IndexEntry> {
        Vec::new()
    }
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

/// The document to be written for a message.
pub fn encode<T: Resource>(
    uid: Uid,
    created_at: UnixMillis,
    message: &T,
    secret: SecretWrite,
) -> NewDocument {
    NewDocument {
        kind: T::KIND,
        uid,
        name: message.name().to_owned(),
        created_at,
        expires_at: message.expires_at(),
        body: message.encode_to_vec(),
        indexes: message.indexes(),
        secret,
    }
}

fn session_expiry(session: &core::Session) -> Option<UnixMillis> {
    let expires_at = session.spec.as_ref()?.expires_at.as_ref()?;
    Some(UnixMillis::from_proto(expires_at))
}
