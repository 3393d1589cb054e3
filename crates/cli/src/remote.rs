//! The calls of the core API, in one form for all kinds.

use api::{
    core_v1::{self, GetClusterConfigRequest},
    meta_v1::{CommonListOptions, DeleteOptions, GetOptions, ListResponseMeta, ObjectReference},
    platform_v1::{Resource, resource::Resource as Body},
    reflect,
    resource::{Listed as _, Object},
};
use prost_reflect::DynamicMessage;
use tonic::{Code, Response, Status};

use crate::{
    client::{Client, Repeat},
    failure::{Failure, Reason},
    kind::Kind,
    rpc::Rpc,
    terminal::Terminal,
    text::printable,
};

/// Metadata key of a reply with a warning about the object.
const WARNING: &str = "x-octelium-warning";

/// The objects of a kind to list.
#[derive(Debug, Default, Clone)]
pub(crate) struct Selection {
    /// Only objects of this User.
    pub(crate) user: Option<String>,
    /// Only objects in this Namespace.
    pub(crate) namespace: Option<String>,
    /// Page and order. Without a page, all pages are fetched.
    pub(crate) common: CommonListOptions,
    /// True if `common` requests one page.
    pub(crate) one_page: bool,
}

/// A list of objects of one kind.
pub(crate) struct Listing {
    pub(crate) items: Vec<Resource>,
    /// The objects as List message.
    pub(crate) message: Option<DynamicMessage>,
}

/// An object that was written, with the warnings of the Cluster.
pub(crate) struct Written {
    resource: Resource,
    warnings: Vec<String>,
}

impl Written {
    fn read<T: Object>(response: Response<T>) -> Self {
        let warnings = response.metadata().get_all(WARNING).iter();
        let warnings = warnings.filter_map(|warning| warning.to_str().ok());
        Self {
            warnings: warnings.map(printable).collect(),
            resource: response.into_inner().into_resource(),
        }
    }

    /// Prints the warnings and returns the object.
    pub(crate) fn warn(self, terminal: &Terminal) -> Resource {
        for warning in &self.warnings {
            terminal.warn(warning);
        }
        self.resource
    }
}

/// One page of a list.
struct Page {
    items: Vec<Resource>,
    meta: ListResponseMeta,
}

impl Selection {
    fn reference(name: Option<&String>) -> Option<ObjectReference> {
        name.map(|name| ObjectReference {
            name: name.clone(),
            ..ObjectReference::default()
        })
    }

    fn user_ref(&self) -> Option<ObjectReference> {
        Self::reference(self.user.as_ref())
    }

    fn namespace_ref(&self) -> Option<ObjectReference> {
        Self::reference(self.namespace.as_ref())
    }
}

/// Gets an object by name.
///
/// # Errors
/// Returns a failure if the object does not exist or the caller lacks access to it.
pub(crate) async fn get(client: &Client, kind: Kind, name: &str) -> Result<Resource, Failure> {
    let options = GetOptions {
        name: kind.full_name(name),
        uid: String::new(),
    };
    client
        .call(Repeat::Safe, async |rpc| {
            get_one(&rpc, kind, options.clone()).await
        })
        .await
}

/// Lists all objects of a kind, or one page of them.
///
/// # Errors
/// Returns a failure if the caller lacks access.
pub(crate) async fn list(
    client: &Client,
    kind: Kind,
    selection: &Selection,
) -> Result<Listing, Failure> {
    if kind.is_single() {
        let item = get(client, kind, "default").await?;
        let message = item.dynamic();
        return Ok(Listing {
            items: vec![item],
            message,
        });
    }
    let mut common = selection.common;
    let mut page = fetch(client, kind, selection, common).await?;
    if !selection.one_page {
        while page.meta.has_more {
            common.page += 1;
            match fetch(client, kind, selection, common).await {
                Ok(next) => {
                    page.items.extend(next.items);
                    page.meta.has_more = next.meta.has_more;
                    page.meta.total_count = next.meta.total_count;
                }
                // The page no longer exists because objects were deleted in the meantime.
                Err(failure) if failure.reason == Reason::NotFound => page.meta.has_more = false,
                Err(failure) => return Err(failure),
            }
        }
        page.meta.items_per_page = u32::try_from(page.items.len()).unwrap_or(u32::MAX);
        page.meta.total_count = page.meta.total_count.max(page.meta.items_per_page);
    }
    let message = list_message(kind, &page);
    Ok(Listing {
        items: page.items,
        message,
    })
}

async fn fetch(
    client: &Client,
    kind: Kind,
    selection: &Selection,
    common: CommonListOptions,
) -> Result<Page, Failure> {
    client
        .call(Repeat::Safe, async |rpc| {
            list_page(&rpc, kind, selection, common).await
        })
        .await
}

macro_rules! calls {
    (
        listed { $($kind:ident $options:ident [$($field:ident)*] $get:ident $list:ident,)* }
        deleted { $($deleted:ident $delete:ident,)* }
        created { $($created:ident $create:ident,)* }
        updated { $($updated:ident $update:ident,)* }
    ) => {
        async fn get_one(rpc: &Rpc, kind: Kind, options: GetOptions) -> Result<Resource, Status> {
            Ok(match kind {
                $(Kind::$kind => rpc.core().$get(options).await?.into_inner().into_resource(),)*
                Kind::ClusterConfig => rpc
                    .core()
                    .get_cluster_config(GetClusterConfigRequest::default())
                    .await?
                    .into_inner()
                    .into_resource(),
            })
        }

        async fn list_page(
            rpc: &Rpc,
            kind: Kind,
            selection: &Selection,
            common: CommonListOptions,
        ) -> Result<Page, Status> {
            match kind {
                $(Kind::$kind => {
                    #[allow(clippy::needless_update, reason = "only some kinds have more fields")]
                    let options = core_v1::$options {
                        common: Some(common),
                        $($field: selection.$field(),)*
                        ..core_v1::$options::default()
                    };
                    let list = rpc.core().$list(options).await?.into_inner();
                    let (items, meta) = core_v1::$kind::items(list);
                    let items = items.into_iter().map(Resource::from).collect();
                    Ok(Page { items, meta })
                })*
                Kind::ClusterConfig => Err(Status::unimplemented("there is only one ClusterConfig")),
            }
        }

        fn list_message(kind: Kind, page: &Page) -> Option<DynamicMessage> {
            match kind {
                $(Kind::$kind => {
                    let items = page.items.iter().cloned();
                    let items = items.filter_map(core_v1::$kind::from_resource).collect();
                    reflect::dynamic(&core_v1::$kind::list(items, page.meta))
                })*
                Kind::ClusterConfig => None,
            }
        }

        /// Deletes an object by name.
        ///
        /// # Errors
        /// Returns a failure if the object does not exist or cannot be deleted.
        pub(crate) async fn delete(client: &Client, kind: Kind, name: &str) -> Result<(), Failure> {
            let options = DeleteOptions { name: kind.full_name(name), uid: String::new() };
            client.call(Repeat::Unsafe, async |rpc| {
                let mut core = rpc.core();
                let options = options.clone();
                match kind {
                    $(Kind::$deleted => core.$delete(options).await.map(drop),)*
                    Kind::Region | Kind::Gateway | Kind::ClusterConfig => {
                        Err(Status::new(Code::Unimplemented, "this kind cannot be deleted"))
                    }
                }
            }).await
        }

        /// Creates an object.
        ///
        /// # Errors
        /// Returns a failure if the object exists already or is invalid.
        pub(crate) async fn create(client: &Client, resource: Resource) -> Result<Written, Failure> {
            client.call(Repeat::Unsafe, async |rpc| {
                let mut core = rpc.core();
                match resource.resource.clone() {
                    $(Some(Body::$created(object)) => {
                        Box::pin(core.$create(object)).await.map(Written::read)
                    })*
                    _ => Err(Status::new(Code::Unimplemented, "this kind cannot be created")),
                }
            }).await
        }

        /// Replaces the spec and the metadata that users set.
        ///
        /// `metadata.resourceVersion` must be the version that was read.
        ///
        /// # Errors
        /// Returns a failure if the object was changed in between or is invalid.
        pub(crate) async fn update(client: &Client, resource: Resource) -> Result<Written, Failure> {
            client.call(Repeat::Unsafe, async |rpc| {
                let mut core = rpc.core();
                match resource.resource.clone() {
                    $(Some(Body::$updated(object)) => {
                        Box::pin(core.$update(object)).await.map(Written::read)
                    })*
                    _ => Err(Status::new(Code::Unimplemented, "this kind cannot be updated")),
                }
            }).await
        }
    };
}

calls! {
    listed {
        User ListUserOptions [] get_user list_user,
        Group ListGroupOptions [] get_group list_group,
        Namespace ListNamespaceOptions [] get_namespace list_namespace,
        Service ListServiceOptions [namespace_ref] get_service list_service,
        Policy ListPolicyOptions [] get_policy list_policy,
        Credential ListCredentialOptions [user_ref] get_credential list_credential,
        Session ListSessionOptions [user_ref] get_session list_session,
        Secret ListSecretOptions [] get_secret list_secret,
        Config ListConfigOptions [] get_config list_config,
        Device ListDeviceOptions [user_ref] get_device list_device,
        Authenticator ListAuthenticatorOptions [user_ref] get_authenticator list_authenticator,
        IdentityProvider ListIdentityProviderOptions [] get_identity_provider list_identity_provider,
        Region ListRegionOptions [] get_region list_region,
        Gateway ListGatewayOptions [] get_gateway list_gateway,
    }
    deleted {
        User delete_user,
        Group delete_group,
        Namespace delete_namespace,
        Service delete_service,
        Policy delete_policy,
        Credential delete_credential,
        Session delete_session,
        Secret delete_secret,
        Config delete_config,
        Device delete_device,
        Authenticator delete_authenticator,
        IdentityProvider delete_identity_provider,
    }
    created {
        User create_user,
        Group create_group,
        Namespace create_namespace,
        Service create_service,
        Policy create_policy,
        Credential create_credential,
        Secret create_secret,
        Config create_config,
        IdentityProvider create_identity_provider,
    }
    updated {
        User update_user,
        Group update_group,
        Namespace update_namespace,
        Service update_service,
        Policy update_policy,
        Credential update_credential,
        Session update_session,
        Secret update_secret,
        Config update_config,
        Device update_device,
        Authenticator update_authenticator,
        IdentityProvider update_identity_provider,
        ClusterConfig update_cluster_config,
    }
}
