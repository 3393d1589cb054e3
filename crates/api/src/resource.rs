//! What all resources have in common: `apiVersion`, `kind`, `metadata`, `spec` and `status`.

use prost::{DecodeError, Message, Name};

use crate::{
    core_v1,
    meta_v1::{ListResponseMeta, Metadata, ObjectReference},
    platform_v1::{Resource, resource::Resource as Body},
    reflect,
};

/// The `apiVersion` of every resource.
pub const API_VERSION: &str = "core/v1";

/// A message that is a resource.
pub trait Object: Name + Default + Clone + PartialEq + Send + Sync + 'static {
    /// What the user asks for.
    type Spec: Message + Name + Default + Clone + PartialEq;
    /// What the Cluster reports.
    type Status: Message + Name + Default + Clone + PartialEq;

    /// The name of the kind, as in `kind:` of a document.
    const KIND: &'static str;

    /// Name, uid, labels and the like.
    fn metadata(&self) -> Option<&Metadata>;
    /// The metadata, made where it is absent.
    fn metadata_mut(&mut self) -> &mut Metadata;
    /// The spec.
    fn spec(&self) -> Option<&Self::Spec>;
    /// The spec, made where it is absent.
    fn spec_mut(&mut self) -> &mut Self::Spec;
    /// The status.
    fn status(&self) -> Option<&Self::Status>;
    /// The status, made where it is absent.
    fn status_mut(&mut self) -> &mut Self::Status;
    /// Replaces or drops the whole status.
    fn set_status(&mut self, status: Option<Self::Status>);
    /// Sets `apiVersion` and `kind`.
    fn stamp(&mut self);
    /// As one of any kind.
    fn into_resource(self) -> Resource;
    /// `None` where the resource is of another kind or absent.
    fn from_resource(resource: Resource) -> Option<Self>;

    /// `metadata.name`, empty where absent.
    fn name(&self) -> &str {
        self.metadata().map_or("", |metadata| &metadata.name)
    }

    /// `metadata.uid`, empty where absent.
    fn uid(&self) -> &str {
        self.metadata().map_or("", |metadata| &metadata.uid)
    }

    /// A reference by name and uid, with `resourceVersion`.
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
    /// The message of a page.
    type List: Name + Default + Clone + PartialEq + Send + Sync + 'static;

    /// A page, with `apiVersion` and `kind` set.
    fn list(items: Vec<Self>, meta: ListResponseMeta) -> Self::List;
    /// The objects of a page and what it says about itself.
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
            /// The kinds that a resource can be of.
            pub const KINDS: &'static [&'static str] = &[$(stringify!($kind),)*];

            /// The name of the kind; `None` where nothing is set.
            pub fn kind(&self) -> Option<&'static str> {
                match self.resource.as_ref()? {
                    $(Body::$kind(_) => Some(stringify!($kind)),)*
                }
            }

            /// Name, uid, labels and the like.
            pub fn metadata(&self) -> Option<&Metadata> {
                match self.resource.as_ref()? {
                    $(Body::$kind(object) => Object::metadata(object),)*
                }
            }

            /// The metadata, made where it is absent; `None` where nothing is set.
            pub fn metadata_mut(&mut self) -> Option<&mut Metadata> {
                match self.resource.as_mut()? {
                    $(Body::$kind(object) => Some(Object::metadata_mut(object)),)*
                }
            }

            /// Makes an absent spec an empty one.
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

            /// The object as a message whose fields can be walked by name.
            pub fn dynamic(&self) -> Option<prost_reflect::DynamicMessage> {
                match self.resource.as_ref()? {
                    $(Body::$kind(object) => reflect::dynamic(object),)*
                }
            }

            /// The object itself, encoded: what is stored.
            pub fn encode_object(&self) -> Vec<u8> {
                match &self.resource {
                    $(Some(Body::$kind(object)) => object.encode_to_vec(),)*
                    None => Vec::new(),
                }
            }

            /// Reads what [`Self::encode_object`] wrote. `None` where there is no such kind.
            ///
            /// # Errors
            /// The bytes are not a message of the kind.
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
    /// `metadata.name`, empty where absent.
    pub fn name(&self) -> &str {
        self.metadata().map_or("", |metadata| &metadata.name)
    }

    /// `metadata.uid`, empty where absent.
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
    fn an_object_of_another_kind_is_none() {
        let resource = core_v1::User::default().into_resource();
        assert_eq!(core_v1::Group::from_resource(resource.clone()), None);
        assert!(core_v1::User::from_resource(resource).is_some());
    }
}
