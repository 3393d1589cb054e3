//! `octelium.api.main.user.v1.MainService`: status of the caller's Session and the Services that it can reach.

use api::{
    meta_v1::{GetOptions, Metadata},
    resource::Object as _,
    user_v1::{
        self as user, GetStatusResponse, get_status_response as response,
        main_service_server::MainService,
    },
};
use futures_util::stream::Empty;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use super::actor;
use crate::{Context, Error, access::FIRST_MESSAGE_PATIENCE, resource::visible};

/// The gRPC service for Users.
#[derive(Clone)]
pub struct User(Context);

impl User {
    /// Creates the service.
    pub fn new(context: Context) -> Self {
        Self(context)
    }
}

#[tonic::async_trait]
impl MainService for User {
    type ConnectStream = Empty<Result<user::ConnectResponse, Status>>;

    async fn get_status(
        &self,
        request: Request<user::GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let principal = actor(&request)?.principal;
        let user = principal.user();
        let spec = user.spec().cloned().unwrap_or_default();
        let session = principal.session();
        let status = session.status().cloned().unwrap_or_default();
        let cluster = Metadata {
            uid: self.0.cluster_uid.to_string(),
            name: self.0.domain.host().to_owned(),
            ..Metadata::default()
        };
        Ok(Response::new(GetStatusResponse {
            domain: self.0.domain.authority().to_owned(),
            cluster: Some(response::Cluster {
                metadata: Some(cluster),
            }),
            user: Some(response::User {
                metadata: Some(visible::shown(user.metadata())),
                spec: Some(response::user::Spec {
                    email: spec.email,
                    // Both enums have the same numbers.
                    r#type: spec.r#type,
                }),
                status: Some(response::user::Status::default()),
            }),
            session: Some(response::Session {
                metadata: Some(visible::shown(session.metadata())),
                spec: Some(response::session::Spec::default()),
                status: Some(response::session::Status {
                    // Both enums have the same numbers.
                    r#type: status.r#type,
                    is_connected: status.is_connected,
                }),
            }),
        }))
    }

    async fn list_service(
        &self,
        request: Request<user::ListServiceOptions>,
    ) -> Result<Response<user::ServiceList>, Status> {
        let list = visible::list_services(&self.0, request.get_ref()).await?;
        Ok(Response::new(list))
    }

    async fn list_namespace(
        &self,
        request: Request<user::ListNamespaceOptions>,
    ) -> Result<Response<user::NamespaceList>, Status> {
        let list = visible::list_namespaces(&self.0, request.get_ref()).await?;
        Ok(Response::new(list))
    }

    async fn get_service(
        &self,
        request: Request<GetOptions>,
    ) -> Result<Response<user::Service>, Status> {
        let service = visible::get_service(&self.0, request.get_ref()).await?;
        Ok(Response::new(service))
    }

    async fn set_service_configs(
        &self,
        request: Request<user::SetServiceConfigsRequest>,
    ) -> Result<Response<user::SetServiceConfigsResponse>, Status> {
        let which = GetOptions {
            name: request.into_inner().name,
            ..GetOptions::default()
        };
        visible::get_service(&self.0, &which).await?;
        // Public HTTP Services need no configuration of the client's host.
        Ok(Response::new(user::SetServiceConfigsResponse::default()))
    }

    async fn connect(
        &self,
        request: Request<Streaming<user::ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        // If the stream ends while the client still sends, the client sees EOF instead of the status and retries
        // forever.
        let mut requests = request.into_inner();
        let first = requests.message();
        if let Ok(received) = timeout(FIRST_MESSAGE_PATIENCE, first).await {
            received?;
        }
        Err(not_served("Connect"))
    }

    async fn disconnect(
        &self,
        _request: Request<user::DisconnectRequest>,
    ) -> Result<Response<user::DisconnectResponse>, Status> {
        Err(not_served("Disconnect"))
    }
}

/// Returns the best fitting status code among those that existing clients do not retry.
fn not_served(method: &str) -> Status {
    Error::invalid(format!(
        "{method} is not supported: this Cluster has no private network. Use the public Services"
    ))
    .into()
}
