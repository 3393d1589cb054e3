//! The common fields of all resources: `apiVersion`, `kind`, `metadata`, `spec` and `status`.

use prost::{DecodeError, Message, Name};

use crate::{
    core_v1,
    meta_v1::{ListResponseMeta, Metadata, ObjectReference},
    platform_v1::{Resource, resource::Resource as Body},
    reflect,
};

/// The `apiVersion` of every resource.
pub const API_VERSION: &str = "core/v1";

/// A resource message.
pub trait Object: Name + Default + Clone + PartialEq + Send + Sync + 'static {
    /// The desired state, which the user sets.
    type Spec: Message + Name + Default + Clone + PartialEq;
    /// The observed state, which the Cluster reports.
    type Status: Message + Name + Default + Clone + PartialEq;

    /// The name of the kind, as in `kind:` of a document.
    const KIND: &'static str;

    /// Returns the metadata: name, uid, labels and so on.
    fn metadata(&self) -> Option<&Metadata>;
    /// Returns the metadata, creating it if it is absent.
    fn metadata_mut(&mut self) -> &mut Metadata;
    /// Returns the spec.
    fn spec(&self) -> Option<&Self::Spec>;
    /// Returns the spec, creating it if it is absent.
    fn spec_mut(&mut self) -> &mut Self::Spec;
    /// Returns the status.
    fn status(&self) -> Option<&Self::Status>;
    /// Returns the status, creating it if it is absent.
    fn status_mut(&mut self) -> &mut Self::Status;
    /// Replaces the status, or removes it if `None`.
    fn set_status(&mut self, status: Option<Self::Status>);
    /// Sets `apiVersion` and `kind`.
    fn stamp(&mut self);
    /// Wraps the object in a [`Resource`].
    fn into_resource(self) -> Resource;
    /// Unwraps the object, or returns `None` if the resource is empty or of another kind.
    fn from_resource(resource: Resource) -> Option<Self>;

    /// Returns `metadata.name`, or an empty text if it is absent.
    fn name(&self) -> &str {
        self.metadata().map_or("", |metadata| &metadata.name)
    }

    /// Returns `metadata.uid`, or an empty text if it is absent.
    fn uid(&self) -> &str {
        self.metadata().map_or("", |metadata| &metadata.uid)
    }

    /// Returns a reference with name, uid and `resourceVersion`.
    fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: API_VERSION.to_owned(),
            kind: Self::KIND.to_owned(),
            uid: self.uid().to_owned(),
            name: self.name().to_owned(),
            resource_version: self
                .metadata()
                .map(|metadata| metadata.resource_version.clone())
                .unwrap_or_default(),
        }
    }
}

/// A resource that the API lists.
pub trait Listed: Object {
    /// The message of a list page.
    type List: Name + Default + Clone + PartialEq + Send + Sync + 'static;

    /// Creates a page, with `apiVersion` and `kind` set.
    fn list(items: Vec<Self>, meta: ListResponseMeta) -> Self::List;
    /// Splits a page into its objects and its metadata.
    fn items(list: Self::List) -> (Vec<Self>, ListResponseMeta);
}

macro_rules! objects {
    ($($kind:ident $module:ident $(=> $list:ident)?,)*) => {
        $(
            impl Object for core_v1::$kind {
                type Spec = core_v1::$module::Spec;
                type Status = core_v1::$module::Status;

                const KIND: &'static str = stringify!($kind);

                fn metadata(&self) -> Option<&Metadata> {
                    self.metadata.as_ref()
                }

                fn metadata_mut(&mut self) -> &mut Metadata {
                    self.metadata.get_or_insert_default()
                }

                fn spec(&self) -> Option<&Self::Spec> {
                    self.spec.as_ref()
                }

                fn spec_mut(&mut self) -> &mut Self::Spec {
                    self.spec.get_or_insert_default()
                }

                fn status(&self) -> Option<&Self::Status> {
                    self.status.as_ref()
                }

                fn status_mut(&mut self) -> &mut Self::Status {
                    self.status.get_or_insert_default()
                }

                fn set_status(&mut self, status: Option<Self::Status>) {
                    self.status = status;
                }

                fn stamp(&mut self) {
                    API_VERSION.clone_into(&mut self.api_version);
                    Self::KIND.clone_into(&mut self.kind);
                }

                fn into_resource(self) -> Resource {
                    Resource { resource: Some(Body::$kind(self)) }
                }

                fn from_resource(resource: Resource) -> Option<Self> {
                    match resource.resource {
                        Some(Body::$kind(object)) => Some(object),
                        _ => None,
                    }
                }
            }

            impl From<core_v1::$kind> for Resource {
                fn from(object: core_v1::$kind) -> Self {
                    object.into_resource()
                }
            }

            $(
                impl Listed for core_v1::$kind {
                    type List = core_v1::$list;

                    fn list(items: Vec<Self>, meta: ListResponseMeta) -> Self::List {
                        core_v1::$list {
                            api_version: API_VERSION.to_owned(),
                            kind: stringify!($list).to_owned(),
                            items,
                            list_response_meta: Some(meta),
                        }
                    }

                    fn items(list: Self::List) -> (Vec<Self>, ListResponseMeta) {
                        (list.items, list.list_response_meta.unwrap_or_default())
                    }
                }
            )?
        )*

        impl Resource {
            /// The kinds of resources.
            pub const KINDS: &'static [&'static str] = &[$(stringify!($kind),)*];

            /// Returns the name of the kind, or `None` if the resource is empty.
            pub fn kind(&self) -> Option<&'static str> {
                match self.resource.as_ref()? {
                    $(Body::$kind(_) => Some(stringify!($kind)),)*
                }
            }

            /// Returns the metadata: name, uid, labels and so on.
            pub fn metadata(&self) -> Option<&Metadata> {
                match self.resource.as_ref()? {
                    $(Body::$kind(object) => Object::metadata(object),)*
                }
            }

            /// Returns the metadata, creating it if it is absent. Returns `None` if the resource is empty.
            pub fn metadata_mut(&mut self) -> Option<&mut Metadata> {
                match self.resource.as_mut()? {
                    $(Body::$kind(object) => Some(Object::metadata_mut(object)),)*
                }
            }

            /// Replaces an absent spec with an empty one.
            pub fn ensure_spec(&mut self) {
                match &mut self.resource {
                    $(Some(Body::$kind(object)) => { object.spec_mut(); })*
                    None => {}
                }
            }

            /// Sets `apiVersion` and `kind` of the object.
            pub fn stamp(&mut self) {
                match &mut self.resource {
                    $(Some(Body::$kind(object)) => object.stamp(),)*
                    None => {}
                }
            }

            /// Converts to a dynamic message, whose fields are accessible by name.
            pub fn dynamic(&self) -> Option<prost_reflect::DynamicMessage> {
                match self.resource.as_ref()? {
                    $(Body::$kind(object) => reflect::dynamic(object),)*
                }
            }

            /// Encodes the object without the wrapper, for the store.
            pub fn encode_object(&self) -> Vec<u8> {
                match &self.resource {
                    $(Some(Body::$kind(object)) => object.encode_to_vec(),)*
                    None => Vec::new(),
                }
            }

            /// Decodes the result of [`Self::encode_object`]. Returns `None` for an unknown kind.
            ///
            /// # Errors
            /// Returns an error if the bytes are not a message of the kind.
            pub fn decode_object(kind: &str, bytes: &[u8]) -> Option<Result<Self, DecodeError>> {
                match kind {
                    $(stringify!($kind) => Some(
                        core_v1::$kind::decode(bytes).map(Object::into_resource),
                    ),)*
                    _ => None,
                }
            }
        }
    };
}

objects! {
    Policy policy => PolicyList,
    IdentityProvider identity_provider => IdentityProviderList,
    Namespace namespace => NamespaceList,
    Group group => GroupList,
    User user => UserList,
    Service service => ServiceList,
    Credential credential => CredentialList,
    Secret secret => SecretList,
    Config config => ConfigList,
    ClusterConfig cluster_config,
    Session session => SessionList,
    Device device => DeviceList,
    Authenticator authenticator => AuthenticatorList,
    Region region => RegionList,
    Gateway gateway => GatewayList,
}

impl Resource {
    /// Returns `metadata.name`, or an empty text if it is absent.
    pub fn name(&self) -> &str {
        self.metadata().map_or("", |metadata| &metadata.name)
    }

    /// Returns `metadata.uid`, or an empty text if it is absent.
    pub fn uid(&self) -> &str {
        self.metadata().map_or("", |metadata| &metadata.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_of_each_kind_survives_storage() {
        for kind in Resource::KINDS {
            let mut resource = Resource::decode_object(kind, &[]).unwrap().unwrap();
            resource.stamp();
            resource.metadata_mut().unwrap().name = "one".to_owned();
            resource.ensure_spec();
            let bytes = resource.encode_object();
            let read = Resource::decode_object(kind, &bytes).unwrap().unwrap();
            assert_eq!(read, resource);
            assert_eq!((read.kind(), read.name()), (Some(*kind), "one"));
            let dynamic = read.dynamic().unwrap();
            assert!(dynamic.has_field_by_name("spec"), "{kind}");
        }
    }

    #[test]
    fn decoding_an_object_of_another_kind_returns_none() {
        let resource = core_v1::User::default().into_resource();
        assert_eq!(core_v1::Group::from_resource(resource.clone()), None);
        assert!(core_v1::User::from_resource(resource).is_some());
    }
}
