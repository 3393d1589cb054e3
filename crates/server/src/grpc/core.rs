//! `octelium.api.main.core.v1.MainService`: the resources.

use api::{
    core_v1::{self as core, main_service_server::MainService},
    meta_v1::{DeleteOptions, GetOptions, OperationResult},
    resource::Listed,
};
use tonic::{Request, Response, Status, metadata::AsciiMetadataValue};

use super::{actor, author, credential_ref_missing};
use crate::{
    Context,
    authentication::issue,
    document::index,
    resource::{
        cluster_config::{self, UpdateClusterConfig},
        read::{self, Readable},
        write::{Create, Delete, Managed, Update, transact},
    },
};

/// Response metadata with a warning about the written object. It can occur several times.
const WARNING: &str = "x-octelium-warning";

/// The gRPC service for resources.
#[derive(Clone)]
pub struct Core(Context);

impl Core {
    /// Creates the service.
    pub fn new(context: Context) -> Self {
        Self(context)
    }

    async fn create<T: Managed>(
        &self,
        request: Request<T>,
        operation: &str,
    ) -> Result<Response<T>, Status> {
        let author = author(&request, operation)?;
        let created = transact(&self.0, &author, &Create(request.into_inner())).await?;
        Ok(written(created))
    }

    async fn update<T: Managed>(
        &self,
        request: Request<T>,
        operation: &str,
    ) -> Result<Response<T>, Status> {
        let author = author(&request, operation)?;
        let updated = transact(&self.0, &author, &Update(request.into_inner())).await?;
        Ok(written(updated))
    }

    async fn delete<T: Managed>(
        &self,
        request: Request<DeleteOptions>,
        operation: &str,
    ) -> Result<Response<OperationResult>, Status> {
        let author = author(&request, operation)?;
        transact(&self.0, &author, &Delete::<T>::new(request.into_inner())).await?;
        Ok(Response::new(OperationResult {}))
    }

    async fn get<T: Readable>(&self, request: Request<GetOptions>) -> Result<Response<T>, Status> {
        let found = read::get(&self.0, request.get_ref()).await?;
        Ok(Response::new(found))
    }

    async fn list<T: Readable + Listed>(
        &self,
        common: Option<&api::meta_v1::CommonListOptions>,
        index: Option<(&'static str, String)>,
    ) -> Result<Response<T::List>, Status> {
        let list = read::list::<T>(&self.0, common, index).await?;
        Ok(Response::new(list))
    }
}

/// Returns the response to a write, with warnings about the object in its metadata.
fn written<T: Managed>(object: T) -> Response<T> {
    let warnings = object.warnings();
    let mut response = Response::new(object);
    for warning in warnings {
        if let Ok(warning) = AsciiMetadataValue::try_from(&warning) {
            response.metadata_mut().append(WARNING, warning);
        } else {
            tracing::error!(warning, "a warning is not ASCII");
        }
    }
    response
}

macro_rules! operation {
    ($verb:literal, $kind:ident) => {
        concat!(
            "/octelium.api.main.core.v1.MainService/",
            $verb,
            stringify!($kind)
        )
    };
}

/// Defines the methods of all kinds. For a list method, it also names the index that the options filter by.
macro_rules! core_service {
    (
        $(create $created:ident by $create:ident;)*
        $(update $updated:ident by $update:ident;)*
        $(delete $deleted:ident by $delete:ident;)*
        $(get $got:ident by $get:ident;)*
        $(list $listed:ident by $list:ident($options:ident) -> $page:ident
            $(, of $owner:ident by $reference:ident in $index:path)?;)*
    ) => {
        #[tonic::async_trait]
        impl MainService for Core {
            $(async fn $create(
                &self,
                request: Request<core::$created>,
            ) -> Result<Response<core::$created>, Status> {
                self.create(request, operation!("Create", $created)).await
            })*

            $(async fn $update(
                &self,
                request: Request<core::$updated>,
            ) -> Result<Response<core::$updated>, Status> {
                self.update(request, operation!("Update", $updated)).await
            })*

            $(async fn $delete(
                &self,
                request: Request<DeleteOptions>,
            ) -> Result<Response<OperationResult>, Status> {
                self.delete::<core::$deleted>(request, operation!("Delete", $deleted)).await
            })*

            $(async fn $get(
                &self,
                request: Request<GetOptions>,
            ) -> Result<Response<core::$got>, Status> {
                self.get(request).await
            })*

            $(async fn $list(
                &self,
                request: Request<core::$options>,
            ) -> Result<Response<core::$page>, Status> {
                let options = request.into_inner();
                #[allow(unused_mut, unused_assignments, reason = "not every list has a filter")]
                let mut index = None;
                $(
                    let reference = options.$reference.as_ref();
                    index = read::filter::<core::$owner>(&self.0, $index, reference).await?;
                )?
                self.list::<core::$listed>(options.common.as_ref(), index).await
            })*

            async fn list_service(
                &self,
                request: Request<core::ListServiceOptions>,
            ) -> Result<Response<core::ServiceList>, Status> {
                let options = request.into_inner();
                let namespace = options.namespace_ref.as_ref();
                let index = read::filter::<core::Namespace>(&self.0, index::NAMESPACE, namespace);
                let index = index.await?;
                // All Services are in the only Region, so the filter only checks that it exists.
                read::filter::<core::Region>(&self.0, "", options.region_ref.as_ref()).await?;
                self.list::<core::Service>(options.common.as_ref(), index).await
            }

            async fn list_gateway(
                &self,
                request: Request<core::ListGatewayOptions>,
            ) -> Result<Response<core::GatewayList>, Status> {
                let options = request.into_inner();
                read::filter::<core::Region>(&self.0, "", options.region_ref.as_ref()).await?;
                self.list::<core::Gateway>(options.common.as_ref(), None).await
            }

            async fn get_cluster_config(
                &self,
                _request: Request<core::GetClusterConfigRequest>,
            ) -> Result<Response<core::ClusterConfig>, Status> {
                let which = GetOptions {
                    name: cluster_config::NAME.to_owned(),
                    uid: String::new(),
                };
                self.get(Request::new(which)).await
            }

            async fn update_cluster_config(
                &self,
                request: Request<core::ClusterConfig>,
            ) -> Result<Response<core::ClusterConfig>, Status> {
                let author = author(&request, operation!("Update", ClusterConfig))?;
                let plan = UpdateClusterConfig(request.into_inner());
                Ok(Response::new(transact(&self.0, &author, &plan).await?))
            }

            async fn generate_credential_token(
                &self,
                request: Request<core::GenerateCredentialTokenRequest>,
            ) -> Result<Response<core::CredentialToken>, Status> {
                let actor = actor(&request)?;
                let credential = request.into_inner().credential_ref;
                let credential = credential.ok_or_else(credential_ref_missing)?;
                Ok(Response::new(issue::generate(&self.0, &actor, &credential).await?))
            }
        }
    };
}

core_service! {
    create Policy by create_policy;
    create User by create_user;
    create Namespace by create_namespace;
    create Service by create_service;
    create Secret by create_secret;
    create Group by create_group;
    create Credential by create_credential;
    create IdentityProvider by create_identity_provider;
    create Config by create_config;

    update Policy by update_policy;
    update User by update_user;
    update Namespace by update_namespace;
    update Service by update_service;
    update Session by update_session;
    update Secret by update_secret;
    update Group by update_group;
    update Device by update_device;
    update Credential by update_credential;
    update IdentityProvider by update_identity_provider;
    update Authenticator by update_authenticator;
    update Config by update_config;

    delete Policy by delete_policy;
    delete User by delete_user;
    delete Namespace by delete_namespace;
    delete Service by delete_service;
    delete Session by delete_session;
    delete Secret by delete_secret;
    delete Group by delete_group;
    delete Device by delete_device;
    delete Credential by delete_credential;
    delete IdentityProvider by delete_identity_provider;
    delete Authenticator by delete_authenticator;
    delete Config by delete_config;

    get Policy by get_policy;
    get User by get_user;
    get Namespace by get_namespace;
    get Service by get_service;
    get Session by get_session;
    get Secret by get_secret;
    get Group by get_group;
    get Device by get_device;
    get Credential by get_credential;
    get IdentityProvider by get_identity_provider;
    get Region by get_region;
    get Gateway by get_gateway;
    get Authenticator by get_authenticator;
    get Config by get_config;

    list Policy by list_policy(ListPolicyOptions) -> PolicyList;
    list User by list_user(ListUserOptions) -> UserList;
    list Namespace by list_namespace(ListNamespaceOptions) -> NamespaceList;
    list Secret by list_secret(ListSecretOptions) -> SecretList;
    list Group by list_group(ListGroupOptions) -> GroupList;
    list IdentityProvider by list_identity_provider(ListIdentityProviderOptions) -> IdentityProviderList;
    list Region by list_region(ListRegionOptions) -> RegionList;
    list Config by list_config(ListConfigOptions) -> ConfigList;
    list Session by list_session(ListSessionOptions) -> SessionList, of User by user_ref in index::USER;
    list Device by list_device(ListDeviceOptions) -> DeviceList, of User by user_ref in index::USER;
    list Credential by list_credential(ListCredentialOptions) -> CredentialList, of User by user_ref in index::USER;
    list Authenticator by list_authenticator(ListAuthenticatorOptions) -> AuthenticatorList,
        of User by user_ref in index::USER;
}
