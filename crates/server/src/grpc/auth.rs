//! `octelium.api.main.auth.v1.MainService`: login, refresh, logout, registration of Devices.
//!
//! The caller is known by the metadata `x-octelium-refresh-token`, or by what the call itself proves; access tokens
//! are of no use here.

use std::pin::Pin;

use api::{
    auth_v1::{
        self as auth, AuthenticateWithAuthenticationTokenRequest,
        AuthenticateWithRefreshTokenRequest, GetAvailableAuthenticatorRequest,
        GetAvailableAuthenticatorResponse, LogoutRequest, LogoutResponse,
        RegisterDeviceBeginRequest, RegisterDeviceBeginResponse, RegisterDeviceFinishRequest,
        RegisterDeviceFinishResponse, SessionToken, main_service_server::MainService,
    },
    meta_v1::{DeleteOptions, GetOptions, OperationResult},
};
use tonic::{Request, Response, Status};

use crate::{
    Caller, Context, Error, ErrorKind,
    authentication::{self, AssertionLogin, Login, UNAUTHENTICATED, device},
};

const REFRESH_TOKEN: &str = "x-octelium-refresh-token";

/// Serves login, refresh, logout and the registration of Devices.
#[derive(Clone)]
pub struct Auth(Context);

impl Auth {
    /// With everything that its methods need.
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

/// Says which method it is, rather than pretending to have done anything.
macro_rules! unserved {
    ($($name:ident($request:ty) -> $reply:ty: $what:literal;)*) => {$(
        // As `async_trait` has it, which does not look into macros.
        fn $name<'life0, 'async_trait>(
            &'life0 self,
            _request: Request<$request>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<$reply>, Status>> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async {
                let public = concat!("This Cluster does not serve ", $what, " yet");
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
        // A refresh token that comes along is of a former Session, and says nothing.
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
        authentication::check_refresh_token(&self.0, refresh_token(&request)?).await?;
        Ok(Response::new(GetAvailableAuthenticatorResponse::default()))
    }

    async fn list_authenticator(
        &self,
        request: Request<auth::ListAuthenticatorOptions>,
    ) -> Result<Response<auth::AuthenticatorList>, Status> {
        authentication::check_refresh_token(&self.0, refresh_token(&request)?).await?;
        Ok(Response::new(auth::AuthenticatorList {
            api_version: "auth/v1".to_owned(),
            kind: "AuthenticatorList".to_owned(),
            items: Vec::new(),
            list_response_meta: Some(api::meta_v1::ListResponseMeta::default()),
        }))
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

    unserved! {
        authenticate_with_authenticator(auth::AuthenticateWithAuthenticatorRequest) -> SessionToken: "Authenticators";
        get_authenticator(GetOptions) -> auth::Authenticator: "Authenticators";
        create_authenticator(auth::CreateAuthenticatorRequest) -> auth::Authenticator: "Authenticators";
        update_authenticator(auth::Authenticator) -> auth::Authenticator: "Authenticators";
        delete_authenticator(DeleteOptions) -> OperationResult: "Authenticators";
        register_authenticator_begin(auth::RegisterAuthenticatorBeginRequest) -> auth::RegisterAuthenticatorBeginResponse: "Authenticators";
        register_authenticator_finish(auth::RegisterAuthenticatorFinishRequest) -> auth::RegisterAuthenticatorFinishResponse: "Authenticators";
        authenticate_authenticator_begin(auth::AuthenticateAuthenticatorBeginRequest) -> auth::AuthenticateAuthenticatorBeginResponse: "Authenticators";
        authenticate_with_passkey_begin(auth::AuthenticateWithPasskeyBeginRequest) -> auth::AuthenticateWithPasskeyBeginResponse: "passkeys";
        authenticate_with_passkey(auth::AuthenticateWithPasskeyRequest) -> SessionToken: "passkeys";
        run_device_probe_begin(auth::RunDeviceProbeBeginRequest) -> auth::RunDeviceProbeBeginResponse: "device probes";
        run_device_probe_finish(auth::RunDeviceProbeFinishRequest) -> auth::RunDeviceProbeFinishResponse: "device probes";
    }
}
