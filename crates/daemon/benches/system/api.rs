//! The API as an administrator and as workloads use it.

use std::sync::Arc;

use api::{
    auth_v1::{self, AuthenticateWithAuthenticationTokenRequest, SessionToken},
    core_v1::{
        self, Credential, CredentialToken, GenerateCredentialTokenRequest, User, credential,
        credential_token::Type, session, user,
    },
    meta_v1::{Metadata, ObjectReference},
    platform_v1::{self, ApplyRequest, Resource, resource},
    user_v1::{self, GetStatusRequest},
};
use http::Uri;
use hyper::client::conn::http2::SendRequest;
use tonic::metadata::AsciiMetadataValue;

use super::{http::Target, replica::Replica};

/// A kept connection to the API.
#[derive(Clone)]
pub(crate) struct Api {
    sender: SendRequest<tonic::body::Body>,
    origin: Uri,
    access_token: Option<Arc<AsciiMetadataValue>>,
}

macro_rules! call {
    ($self:expr, $package:ident, $method:ident, $message:expr) => {{
        let sender = $self.sender.clone();
        let service = tower::service_fn(move |request| {
            let mut sender = sender.clone();
            async move {
                sender.ready().await?;
                sender.send_request(request).await
            }
        });
        let mut request = tonic::Request::new($message);
        if let Some(token) = &$self.access_token {
            request
                .metadata_mut()
                .insert("x-octelium-auth", AsciiMetadataValue::clone(token));
        }
        $package::main_service_client::MainServiceClient::with_origin(service, $self.origin.clone())
            .$method(request)
            .await
            .unwrap()
            .into_inner()
    }};
}

impl Api {
    /// Nobody yet.
    pub(crate) async fn connect(replica: &Replica, target: &Target) -> Self {
        Self {
            sender: target.http2("octelium-api.localhost").await,
            origin: format!("https://octelium-api.{}", replica.domain())
                .parse()
                .unwrap(),
            access_token: None,
        }
    }

    /// User `root`.
    pub(crate) async fn administrator(replica: &Replica, target: &Target) -> Self {
        let mut api = Self::connect(replica, target).await;
        let token = std::fs::read_to_string(replica.data_dir().join("root-token")).unwrap();
        let session = api.log_in(token.trim().to_owned()).await;
        api.access_token = Some(Arc::new(session.access_token.parse().unwrap()));
        api
    }

    /// Authenticates with an authentication token.
    pub(crate) async fn log_in(&self, token: String) -> SessionToken {
        call!(
            self,
            auth_v1,
            authenticate_with_authentication_token,
            AuthenticateWithAuthenticationTokenRequest {
                authentication_token: token,
                ..Default::default()
            }
        )
    }

    /// Asks who it is, as the holder of an access token.
    pub(crate) async fn status(&self, access_token: &str) {
        let mut api = self.clone();
        api.access_token = Some(Arc::new(access_token.parse().unwrap()));
        call!(api, user_v1, get_status, GetStatusRequest::default());
    }

    /// Makes everything in a file of documents.
    pub(crate) async fn apply_documents(&self, text: &str) {
        let resources = api::document::parse("bench", text.as_bytes()).expect("documents");
        self.apply(
            resources
                .into_iter()
                .map(|(_, resource)| resource)
                .collect(),
        )
        .await;
    }

    /// Makes resources.
    pub(crate) async fn apply(&self, resources: Vec<Resource>) {
        let request = ApplyRequest {
            resources,
            ..ApplyRequest::default()
        };
        let reply = call!(self, platform_v1, apply, request);
        assert!(reply.problems.is_empty(), "{:?}", reply.problems);
    }

    /// Makes Users and, for each, a Credential of the same name.
    pub(crate) async fn make_workloads(&self, names: &[String], spec: &credential::Spec) {
        for names in names.chunks(200) {
            let mut resources: Vec<_> = names.iter().map(|name| workload(name)).collect();
            resources.extend(names.iter().map(|name| credential(name, spec)));
            self.apply(resources).await;
        }
    }

    /// Makes the secret of a Credential.
    pub(crate) async fn secret(&self, credential: &str) -> Secret {
        let reply: CredentialToken = call!(
            self,
            core_v1,
            generate_credential_token,
            GenerateCredentialTokenRequest {
                credential_ref: Some(ObjectReference {
                    name: credential.to_owned(),
                    ..ObjectReference::default()
                }),
            }
        );
        match reply.r#type.expect("a token") {
            Type::AuthenticationToken(token) => Secret {
                id: String::new(),
                secret: token.authentication_token,
            },
            Type::Oauth2Credentials(client) => Secret {
                id: client.client_id,
                secret: client.client_secret,
            },
            Type::AccessToken(token) => Secret {
                id: String::new(),
                secret: token.access_token,
            },
        }
    }

    /// Disables a Credential.
    pub(crate) async fn disable(&self, name: &str, spec: &credential::Spec) {
        let spec = credential::Spec {
            is_disabled: true,
            user: name.to_owned(),
            ..spec.clone()
        };
        let message = Credential {
            metadata: Some(metadata(name)),
            spec: Some(spec),
            ..Credential::default()
        };
        call!(self, core_v1, update_credential, message);
    }
}

/// What a Credential gives.
#[derive(Clone)]
pub(crate) struct Secret {
    /// Of an OAuth2 client.
    pub(crate) id: String,
    /// The token or the client's secret.
    pub(crate) secret: String,
}

/// The spec of a Credential of a type.
pub(crate) fn spec(credential_type: credential::spec::Type, uses: u32) -> credential::Spec {
    let session_type = match credential_type {
        credential::spec::Type::Oauth2 => session::status::Type::Clientless,
        _ => session::status::Type::Client,
    };
    credential::Spec {
        r#type: credential_type.into(),
        max_authentications: uses,
        session_type: session_type.into(),
        ..credential::Spec::default()
    }
}

fn workload(name: &str) -> Resource {
    let spec = user::Spec {
        r#type: user::spec::Type::Workload.into(),
        session: Some(user::spec::Session {
            max_per_user: 10_000,
            ..Default::default()
        }),
        ..user::Spec::default()
    };
    Resource {
        resource: Some(resource::Resource::User(User {
            metadata: Some(metadata(name)),
            spec: Some(spec),
            ..User::default()
        })),
    }
}

fn credential(name: &str, spec: &credential::Spec) -> Resource {
    let spec = credential::Spec {
        user: name.to_owned(),
        ..spec.clone()
    };
    Resource {
        resource: Some(resource::Resource::Credential(Credential {
            metadata: Some(metadata(name)),
            spec: Some(spec),
            ..Credential::default()
        })),
    }
}

fn metadata(name: &str) -> Metadata {
    Metadata {
        name: name.to_owned(),
        ..Metadata::default()
    }
}
