//! API clients for administrators and workloads.

use std::sync::Arc;

use api::{
    auth_v1::{
        self, AuthenticateWithAuthenticationTokenRequest, AuthenticateWithAuthenticatorRequest,
        ChallengeResponse, CreateAuthenticatorRequest, RegisterAuthenticatorBeginRequest,
        RegisterAuthenticatorFinishRequest, SessionToken, authenticator,
        challenge_response::{self, Totp},
        register_authenticator_begin_response::challenge_request,
    },
    core_v1::{
        self, Credential, CredentialToken, GenerateCredentialTokenRequest, User, credential,
        credential_token::Type, session, user,
    },
    meta_v1::{Metadata, ObjectReference},
    platform_v1::{self, ApplyRequest, Resource, resource},
    user_v1::{self, GetStatusRequest},
};
use domain::clock::{Clock as _, SystemClock, UnixMillis};
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
    refresh_token: Option<Arc<AsciiMetadataValue>>,
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
        if let Some(token) = &$self.refresh_token {
            request
                .metadata_mut()
                .insert("x-octelium-refresh-token", AsciiMetadataValue::clone(token));
        }
        $package::main_service_client::MainServiceClient::with_origin(service, $self.origin.clone())
            .$method(request)
            .await
            .unwrap()
            .into_inner()
    }};
}

impl Api {
    /// Connects without authentication.
    pub(crate) async fn connect(replica: &Replica, target: &Target) -> Self {
        Self {
            sender: target.http2("octelium-api.localhost").await,
            origin: format!("https://octelium-api.{}", replica.domain())
                .parse()
                .unwrap(),
            access_token: None,
            refresh_token: None,
        }
    }

    /// Connects as User `root`.
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

    /// Registers an authenticator app with the Session of `tokens`. Returns the Authenticator's reference and the
    /// `otpauth:` URL.
    pub(crate) async fn add_app(&self, tokens: &SessionToken) -> (ObjectReference, String) {
        let holder = self.holding(tokens);
        let made = call!(
            holder,
            auth_v1,
            create_authenticator,
            CreateAuthenticatorRequest {
                r#type: authenticator::status::Type::Totp.into(),
                ..Default::default()
            }
        );
        let reference = ObjectReference {
            uid: made.metadata.expect("metadata").uid,
            ..Default::default()
        };
        let authenticator_ref = Some(reference.clone());
        let begun = call!(
            holder,
            auth_v1,
            register_authenticator_begin,
            RegisterAuthenticatorBeginRequest {
                authenticator_ref: authenticator_ref.clone(),
                pre_challenge: None,
            }
        );
        let Some(challenge_request::Type::Totp(challenge)) =
            begun.challenge_request.and_then(|one| one.r#type)
        else {
            panic!("no app was asked for");
        };
        let response = code(&challenge.url, 0);
        call!(
            holder,
            auth_v1,
            register_authenticator_finish,
            RegisterAuthenticatorFinishRequest {
                authenticator_ref,
                challenge_response: Some(by_code(response)),
            }
        );
        (reference, challenge.url)
    }

    /// Raises the Session of `tokens` with a code.
    pub(crate) async fn step_up(
        &self,
        tokens: &SessionToken,
        authenticator: &ObjectReference,
        code: String,
    ) {
        let holder = self.holding(tokens);
        call!(
            holder,
            auth_v1,
            authenticate_with_authenticator,
            AuthenticateWithAuthenticatorRequest {
                authenticator_ref: Some(authenticator.clone()),
                challenge_response: Some(by_code(code)),
            }
        );
    }

    fn holding(&self, tokens: &SessionToken) -> Self {
        let mut holder = self.clone();
        holder.refresh_token = Some(Arc::new(tokens.refresh_token.parse().unwrap()));
        holder
    }

    /// Calls `GetStatus` with an access token.
    pub(crate) async fn status(&self, access_token: &str) {
        let mut api = self.clone();
        api.access_token = Some(Arc::new(access_token.parse().unwrap()));
        call!(api, user_v1, get_status, GetStatusRequest::default());
    }

    /// Applies a file of documents.
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

    /// Applies resources.
    pub(crate) async fn apply(&self, resources: Vec<Resource>) {
        let request = ApplyRequest {
            resources,
            ..ApplyRequest::default()
        };
        let reply = call!(self, platform_v1, apply, request);
        assert!(reply.problems.is_empty(), "{:?}", reply.problems);
    }

    /// Creates workload Users, and a Credential of the same name for each.
    pub(crate) async fn make_workloads(&self, names: &[String], spec: &credential::Spec) {
        self.make_users(names, user::spec::Type::Workload, spec)
            .await;
    }

    /// Creates human Users, like [`Self::make_workloads`].
    pub(crate) async fn make_people(&self, names: &[String], spec: &credential::Spec) {
        self.make_users(names, user::spec::Type::Human, spec).await;
    }

    async fn make_users(
        &self,
        names: &[String],
        r#type: user::spec::Type,
        spec: &credential::Spec,
    ) {
        for names in names.chunks(200) {
            let mut resources: Vec<_> = names.iter().map(|name| user(name, r#type)).collect();
            resources.extend(names.iter().map(|name| credential(name, spec)));
            self.apply(resources).await;
        }
    }

    /// Generates the secret of a Credential.
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

/// Returns the code that an app shows `steps` time steps from now.
pub(crate) fn code(url: &str, steps: i64) -> String {
    let now = SystemClock.now();
    authn::totp::code(url, UnixMillis(now.0 + steps * 30_000)).expect("an otpauth URL")
}

fn by_code(response: String) -> ChallengeResponse {
    ChallengeResponse {
        r#type: Some(challenge_response::Type::Totp(Totp { response })),
    }
}

/// The secret of a Credential.
#[derive(Clone)]
pub(crate) struct Secret {
    /// The id of an OAuth2 client.
    pub(crate) id: String,
    /// The token, or the client secret.
    pub(crate) secret: String,
}

/// Builds the spec of a Credential of this type.
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

fn user(name: &str, r#type: user::spec::Type) -> Resource {
    let spec = user::Spec {
        r#type: r#type.into(),
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
