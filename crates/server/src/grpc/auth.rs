//! `octelium.api.main.auth.v1.MainService`: login, refresh, logout, Authenticators and registration of Devices.
//!
//! The metadata `x-octelium-refresh-token` or the message itself authenticates the caller. Access tokens are not
//! accepted.

use std::pin::Pin;

use api::{
    auth_v1::{
        self as auth, AuthenticateWithAuthenticationTokenRequest,
        AuthenticateWithRefreshTokenRequest, GetAvailableAuthenticatorRequest,
        GetAvailableAuthenticatorResponse, LogoutRequest, LogoutResponse,
        RegisterDeviceBeginRequest, RegisterDeviceBeginResponse, RegisterDeviceFinishRequest,
        RegisterDeviceFinishResponse, SessionToken, authenticator::status::Type as AuthType,
        main_service_server::MainService,
    },
    core_v1::{self as core, authenticator::status::Type},
    meta_v1::{DeleteOptions, GetOptions, ListResponseMeta, Metadata, OperationResult},
};
use domain::authenticator::MAX_PER_USER;
use tonic::{Request, Response, Status};

use crate::{
    Caller, Context, Error, ErrorKind,
    authentication::{
        self, AssertionLogin, Login, UNAUTHENTICATED,
        authenticator::{AuthenticatorSelector, Holder, ceremony, manage},
        device,
    },
};

const API_VERSION: &str = "auth/v1";
const REFRESH_TOKEN: &str = "x-octelium-refresh-token";

/// The gRPC service for login, refresh, logout, Authenticators and registration of Devices.
#[derive(Clone)]
pub struct Auth(Context);

impl Auth {
    /// Creates the service.
    pub fn new(context: Context) -> Self {
        Self(context)
    }
}

fn caller<T>(request: &Request<T>) -> Caller {
    request
        .extensions()
        .get::<Caller>()
        .cloned()
        .unwrap_or_default()
}

fn refresh_token<T>(request: &Request<T>) -> Result<&str, Status> {
    let mut tokens = request.metadata().get_all(REFRESH_TOKEN).iter();
    let token = tokens.next().filter(|_| tokens.next().is_none());
    let token = token.and_then(|token| token.to_str().ok());
    token.ok_or_else(|| {
        Error::new(ErrorKind::Unauthenticated, UNAUTHENTICATED)
            .because("token_missing")
            .into()
    })
}

/// Returns an Authenticator as its User sees it.
fn shown(authenticator: core::Authenticator) -> auth::Authenticator {
    let metadata = authenticator.metadata.unwrap_or_default();
    let spec = authenticator.spec.unwrap_or_default();
    let status = authenticator.status.unwrap_or_default();
    let r#type = match status.r#type() {
        Type::Unknown => AuthType::Unknown,
        Type::Fido => AuthType::Fido,
        Type::Totp => AuthType::Totp,
        Type::Tpm => AuthType::Tpm,
    };
    auth::Authenticator {
        api_version: API_VERSION.to_owned(),
        kind: "Authenticator".to_owned(),
        metadata: Some(Metadata {
            uid: metadata.uid,
            name: metadata.name,
            created_at: metadata.created_at,
            updated_at: metadata.updated_at,
            ..Metadata::default()
        }),
        spec: Some(auth::authenticator::Spec {
            display_name: spec.display_name,
        }),
        status: Some(auth::authenticator::Status {
            is_registered: status.is_registered,
            r#type: r#type.into(),
            description: status.description,
        }),
    }
}

/// Defines methods that fail with `Unimplemented` and name the missing feature.
macro_rules! unserved {
    ($($name:ident($request:ty) -> $reply:ty: $what:literal;)*) => {$(
        // The expanded signature of `async_trait`, which does not transform code in macros.
        fn $name<'life0, 'async_trait>(
            &'life0 self,
            _request: Request<$request>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<$reply>, Status>> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async {
                let public = concat!("This Cluster does not support ", $what, " yet");
                Err(Error::new(ErrorKind::Unimplemented, public).into())
            })
        }
    )*};
}

#[tonic::async_trait]
impl MainService for Auth {
    async fn authenticate_with_authentication_token(
        &self,
        request: Request<AuthenticateWithAuthenticationTokenRequest>,
    ) -> Result<Response<SessionToken>, Status> {
        let caller = caller(&request);
        // A refresh token sent along belongs to a former Session and is ignored.
        let request = request.into_inner();
        let login = Login {
            token: &request.authentication_token,
            scopes: &request.scopes,
            code_verifier: &request.code_verifier,
        };
        let tokens = authentication::with_authentication_token(&self.0, login, &caller).await?;
        Ok(Response::new(tokens))
    }

    async fn authenticate_with_assertion(
        &self,
        request: Request<auth::AuthenticateWithAssertionRequest>,
    ) -> Result<Response<SessionToken>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let login = AssertionLogin {
            assertion: &request.assertion,
            provider: request.identity_provider_ref.as_ref(),
            scopes: &request.scopes,
        };
        let tokens = authentication::with_assertion(&self.0, login, &caller).await?;
        Ok(Response::new(tokens))
    }

    async fn authenticate_with_refresh_token(
        &self,
        request: Request<AuthenticateWithRefreshTokenRequest>,
    ) -> Result<Response<SessionToken>, Status> {
        let token = refresh_token(&request)?;
        let tokens = authentication::with_refresh_token(&self.0, token, &caller(&request)).await?;
        Ok(Response::new(tokens))
    }

    async fn logout(
        &self,
        request: Request<LogoutRequest>,
    ) -> Result<Response<LogoutResponse>, Status> {
        authentication::logout(&self.0, refresh_token(&request)?, &caller(&request)).await?;
        Ok(Response::new(LogoutResponse {}))
    }

    async fn get_available_authenticator(
        &self,
        request: Request<GetAvailableAuthenticatorRequest>,
    ) -> Result<Response<GetAvailableAuthenticatorResponse>, Status> {
        let holder = Holder::of_token(&self.0, refresh_token(&request)?).await?;
        let available = manage::available(&self.0, &holder).await?;
        Ok(Response::new(GetAvailableAuthenticatorResponse {
            main_authenticator: available.main.map(|stored| shown(stored.message)),
            available_authenticators: available
                .all
                .into_iter()
                .map(|stored| shown(stored.message))
                .collect(),
        }))
    }

    async fn list_authenticator(
        &self,
        request: Request<auth::ListAuthenticatorOptions>,
    ) -> Result<Response<auth::AuthenticatorList>, Status> {
        let holder = Holder::of_token(&self.0, refresh_token(&request)?).await?;
        let all = holder.authenticators(&self.0, self.0.now()).await?;
        let options = request.get_ref();
        let total = u32::try_from(all.len()).unwrap_or(u32::MAX);
        // A User has at most as many Authenticators as one page contains.
        let per_page = match options.items_per_page {
            0 => MAX_PER_USER,
            wanted => wanted,
        };
        let first = u64::from(options.page).saturating_mul(per_page.into());
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let count = usize::try_from(per_page).unwrap_or(usize::MAX);
        let items = all.into_iter().map(|stored| shown(stored.message));
        let items: Vec<_> = items.skip(first).take(count).collect();
        let shown = first.saturating_add(items.len());
        Ok(Response::new(auth::AuthenticatorList {
            api_version: API_VERSION.to_owned(),
            kind: "AuthenticatorList".to_owned(),
            list_response_meta: Some(ListResponseMeta {
                page: options.page,
                items_per_page: per_page,
                total_count: total,
                has_more: shown < usize::try_from(total).unwrap_or(usize::MAX),
            }),
            items,
        }))
    }

    async fn get_authenticator(
        &self,
        request: Request<GetOptions>,
    ) -> Result<Response<auth::Authenticator>, Status> {
        let holder = Holder::of_token(&self.0, refresh_token(&request)?).await?;
        let which = AuthenticatorSelector {
            name: &request.get_ref().name,
            uid: &request.get_ref().uid,
        };
        let found = manage::find(&self.0, &holder, &which).await?;
        Ok(Response::new(shown(found.message)))
    }

    async fn create_authenticator(
        &self,
        request: Request<auth::CreateAuthenticatorRequest>,
    ) -> Result<Response<auth::Authenticator>, Status> {
        let caller = caller(&request);
        let holder = Holder::of_token(&self.0, refresh_token(&request)?).await?;
        let request = request.into_inner();
        let r#type = match request.r#type() {
            AuthType::Unknown => Type::Unknown,
            AuthType::Fido => Type::Fido,
            AuthType::Totp => Type::Totp,
            AuthType::Tpm => Type::Tpm,
        };
        let name = &request.display_name;
        let created = manage::create(&self.0, &holder, r#type, name, &caller).await?;
        Ok(Response::new(shown(created)))
    }

    async fn update_authenticator(
        &self,
        request: Request<auth::Authenticator>,
    ) -> Result<Response<auth::Authenticator>, Status> {
        let caller = caller(&request);
        let holder = Holder::of_token(&self.0, refresh_token(&request)?).await?;
        let request = request.into_inner();
        let metadata = request.metadata.unwrap_or_default();
        let which = AuthenticatorSelector {
            name: &metadata.name,
            uid: &metadata.uid,
        };
        let name = request.spec.unwrap_or_default().display_name;
        let renamed = manage::rename(&self.0, &holder, &which, &name, &caller).await?;
        Ok(Response::new(shown(renamed)))
    }

    async fn delete_authenticator(
        &self,
        request: Request<DeleteOptions>,
    ) -> Result<Response<OperationResult>, Status> {
        let holder = Holder::of_token(&self.0, refresh_token(&request)?).await?;
        let which = AuthenticatorSelector {
            name: &request.get_ref().name,
            uid: &request.get_ref().uid,
        };
        manage::delete(&self.0, &holder, &which, &caller(&request)).await?;
        Ok(Response::new(OperationResult::default()))
    }

    async fn register_authenticator_begin(
        &self,
        request: Request<auth::RegisterAuthenticatorBeginRequest>,
    ) -> Result<Response<auth::RegisterAuthenticatorBeginResponse>, Status> {
        let holder = Holder::of_token(&self.0, refresh_token(&request)?).await?;
        let reply = ceremony::begin_registration(&self.0, &holder, request.get_ref()).await?;
        Ok(Response::new(reply))
    }

    async fn register_authenticator_finish(
        &self,
        request: Request<auth::RegisterAuthenticatorFinishRequest>,
    ) -> Result<Response<auth::RegisterAuthenticatorFinishResponse>, Status> {
        let holder = Holder::of_token(&self.0, refresh_token(&request)?).await?;
        let caller = caller(&request);
        ceremony::finish_registration(&self.0, &holder, request.get_ref(), &caller).await?;
        Ok(Response::new(auth::RegisterAuthenticatorFinishResponse {}))
    }

    async fn authenticate_authenticator_begin(
        &self,
        request: Request<auth::AuthenticateAuthenticatorBeginRequest>,
    ) -> Result<Response<auth::AuthenticateAuthenticatorBeginResponse>, Status> {
        let holder = Holder::of_token(&self.0, refresh_token(&request)?).await?;
        let caller = caller(&request);
        let reply = ceremony::begin(&self.0, &holder, request.get_ref(), &caller).await?;
        Ok(Response::new(reply))
    }

    async fn authenticate_with_authenticator(
        &self,
        request: Request<auth::AuthenticateWithAuthenticatorRequest>,
    ) -> Result<Response<SessionToken>, Status> {
        let holder = Holder::of_token(&self.0, refresh_token(&request)?).await?;
        let caller = caller(&request);
        let tokens = ceremony::finish(&self.0, &holder, request.get_ref(), &caller).await?;
        Ok(Response::new(tokens))
    }

    async fn register_device_begin(
        &self,
        request: Request<RegisterDeviceBeginRequest>,
    ) -> Result<Response<RegisterDeviceBeginResponse>, Status> {
        let token = refresh_token(&request)?;
        let info = request.get_ref().info.as_ref();
        let begun = device::begin(&self.0, token, info, &caller(&request)).await?;
        Ok(Response::new(begun))
    }

    async fn register_device_finish(
        &self,
        request: Request<RegisterDeviceFinishRequest>,
    ) -> Result<Response<RegisterDeviceFinishResponse>, Status> {
        let token = refresh_token(&request)?;
        device::finish(&self.0, token, request.get_ref(), &caller(&request)).await?;
        Ok(Response::new(RegisterDeviceFinishResponse {}))
    }

    async fn authenticate_with_passkey_begin(
        &self,
        _request: Request<auth::AuthenticateWithPasskeyBeginRequest>,
    ) -> Result<Response<auth::AuthenticateWithPasskeyBeginResponse>, Status> {
        Err(ceremony::in_the_browser(&self.0).into())
    }

    async fn authenticate_with_passkey(
        &self,
        _request: Request<auth::AuthenticateWithPasskeyRequest>,
    ) -> Result<Response<SessionToken>, Status> {
        Err(ceremony::in_the_browser(&self.0).into())
    }

    unserved! {
        run_device_probe_begin(auth::RunDeviceProbeBeginRequest) -> auth::RunDeviceProbeBeginResponse: "device probes";
        run_device_probe_finish(auth::RunDeviceProbeFinishRequest) -> auth::RunDeviceProbeFinishResponse: "device probes";
    }
}
