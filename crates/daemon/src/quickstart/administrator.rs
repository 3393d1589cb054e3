//! The administrator that creates the demo's resources, through the API like any other client.

use anyhow::{anyhow, ensure};
use api::{
    auth_v1::{self, AuthenticateWithAuthenticationTokenRequest, LogoutRequest},
    core_v1::{self, CredentialToken, GenerateCredentialTokenRequest, credential_token},
    meta_v1::ObjectReference,
    platform_v1::{self, ApplyRequest, Resource},
};
use http::Uri;
use hyper::client::conn::http2::SendRequest;
use tonic::{Request, metadata::AsciiMetadataValue};
use tower::service_fn;

use super::connection::Connector;
use crate::names::Names;

/// An API client with the administrator's Session.
pub(crate) struct Administrator {
    sender: SendRequest<tonic::body::Body>,
    origin: Uri,
    access_token: AsciiMetadataValue,
    refresh_token: AsciiMetadataValue,
}

/// The client id and the secret of an OAuth2 Credential.
pub(crate) struct Client {
    /// In the form `xxxx-xxxx`.
    pub(crate) id: String,
    pub(crate) secret: String,
}

macro_rules! client {
    ($self:expr, $package:ident) => {{
        let sender = $self.sender.clone();
        let service = service_fn(move |request| {
            let mut sender = sender.clone();
            async move {
                sender.ready().await?;
                sender.send_request(request).await
            }
        });
        $package::main_service_client::MainServiceClient::with_origin(service, $self.origin.clone())
    }};
}

impl Administrator {
    /// Authenticates with an authentication token.
    ///
    /// # Errors
    ///
    /// Returns an error if authentication fails.
    pub(crate) async fn log_in(
        connector: &Connector,
        names: &Names,
        token: &str,
    ) -> anyhow::Result<Self> {
        let host = format!("octelium-api.{}", names.domain().host());
        let origin = Uri::try_from(format!("https://{}", names.below("octelium-api")))?;
        let mut session = Self {
            sender: connector.connect(&host).await?,
            origin,
            access_token: AsciiMetadataValue::from_static(""),
            refresh_token: AsciiMetadataValue::from_static(""),
        };
        let request = AuthenticateWithAuthenticationTokenRequest {
            authentication_token: token.to_owned(),
            ..AuthenticateWithAuthenticationTokenRequest::default()
        };
        let reply = client!(session, auth_v1)
            .authenticate_with_authentication_token(request)
            .await
            .map_err(|status| refused("login", &status))?
            .into_inner();
        session.access_token = reply.access_token.parse()?;
        session.refresh_token = reply.refresh_token.parse()?;
        Ok(session)
    }

    /// Applies the resources in one transaction.
    ///
    /// # Errors
    ///
    /// Returns an error if the API refuses them.
    pub(crate) async fn apply(&self, resources: Vec<Resource>) -> anyhow::Result<()> {
        let request = self.authorized(ApplyRequest {
            resources,
            ..ApplyRequest::default()
        });
        let reply = client!(self, platform_v1)
            .apply(request)
            .await
            .map_err(|status| refused("apply", &status))?
            .into_inner();
        let problems: Vec<String> = reply
            .problems
            .iter()
            .map(|problem| format!("{} {}: {}", problem.kind, problem.name, problem.message))
            .collect();
        ensure!(problems.is_empty(), "{}", problems.join("; "));
        Ok(())
    }

    /// Generates the secret of the OAuth2 client. A previous secret is revoked.
    ///
    /// # Errors
    ///
    /// Returns an error if the API refuses the call.
    pub(crate) async fn generate_client(&self, credential: &str) -> anyhow::Result<Client> {
        let request = self.authorized(GenerateCredentialTokenRequest {
            credential_ref: Some(ObjectReference {
                name: credential.to_owned(),
                ..ObjectReference::default()
            }),
        });
        let reply: CredentialToken = client!(self, core_v1)
            .generate_credential_token(request)
            .await
            .map_err(|status| refused("secret", &status))?
            .into_inner();
        match reply.r#type {
            Some(credential_token::Type::Oauth2Credentials(client)) => Ok(Client {
                id: client.client_id,
                secret: client.client_secret,
            }),
            _ => Err(anyhow!("the reply contains no OAuth2 client")),
        }
    }

    /// Ends the Session.
    ///
    /// # Errors
    ///
    /// Returns an error if the API refuses the call.
    pub(crate) async fn log_out(self) -> anyhow::Result<()> {
        let mut request = Request::new(LogoutRequest::default());
        request
            .metadata_mut()
            .insert("x-octelium-refresh-token", self.refresh_token.clone());
        client!(self, auth_v1)
            .logout(request)
            .await
            .map_err(|status| refused("logout", &status))?;
        Ok(())
    }

    fn authorized<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("x-octelium-auth", self.access_token.clone());
        request
    }
}

fn refused(what: &str, status: &tonic::Status) -> anyhow::Error {
    anyhow!("{what}: {:?}: {}", status.code(), status.message())
}
