//! An authenticated client of a Cluster: finds and refreshes the access token, makes calls, and retries safe ones.

use std::{sync::Arc, time::Duration};

use api::{
    auth_v1::{
        AuthenticateWithAssertionRequest, AuthenticateWithAuthenticationTokenRequest,
        AuthenticateWithRefreshTokenRequest, LogoutRequest, SessionToken,
    },
    config_v1::state::Domain,
    meta_v1::ObjectReference,
};
use domain::{
    clock::{Clock as _, SystemClock, UnixMillis},
    id::Uid,
};
use http::StatusCode;
use rustls::ClientConfig;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tonic::{Code, Response, Status, transport::Channel};

use crate::{
    assertion::Source,
    cluster::Cluster,
    connection,
    context::Context,
    endpoint,
    environment::Environment,
    failure::{self, Failure},
    rpc::{self, Auth, Rpc},
    state::{Locked, StateStore},
    tls,
};

pub(crate) mod authenticators;
mod freshness;

use freshness::TokenState;

/// Delays between the attempts of a safe call while the Cluster is unavailable.
const BACKOFF: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// Timeout of a logout. It is short so that a logout does not delay the command.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(3);

/// Reason of the refusal if a Session can only be refreshed with an Authenticator.
const NEEDS_AUTHENTICATOR: &str = "AUTHENTICATOR_REQUIRED";

/// The idempotence of a call. Only safe calls are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    Safe,
    Unsafe,
}

/// A connection to a Cluster and the credentials to authenticate with.
pub(crate) struct Client {
    cluster: Cluster,
    channel: Channel,
    /// TLS configuration for the Cluster's own host.
    pages_tls: Arc<ClientConfig>,
    store: StateStore,
    /// Access token from `OCTELIUM_ACCESS_TOKEN`, used without refresh.
    fixed: Option<SecretString>,
    /// Authentication token from `OCTELIUM_AUTH_TOKEN`, used to create a Session if none exists.
    authentication_token: Option<SecretString>,
    /// Assertion from `OCTELIUM_AUTH_ASSERTION`, used to create a Session if none exists.
    assertion: Option<Source>,
    environment: Environment,
}

/// An approval from the browser, with the secret that redeems it.
pub(crate) struct Approved {
    /// Single-use authentication token.
    pub(crate) token: SecretString,
    /// Secret whose hash the Cluster received with the request.
    pub(crate) verifier: [u8; 32],
}

/// A credential that creates a Session.
pub(crate) enum Proof {
    Token(SecretString),
    /// A token of the platform that the program runs on.
    Assertion(Source),
    /// A login that a User approved in a browser.
    Approved(Approved),
}

impl Client {
    /// Connects to the Cluster that the command line or the environment names.
    ///
    /// # Errors
    /// Returns a failure if no Cluster is named or it cannot be reached.
    pub(crate) async fn connect(context: &Context) -> Result<Self, Failure> {
        let environment = &context.environment;
        if environment.get("OCTELIUM_AUTH_PROXY_SOCKET").is_some() {
            return Err(Failure::usage(
                "OCTELIUM_AUTH_PROXY_SOCKET: authentication through a socket is not supported yet",
            )
            .hint("unset it and log in, or set OCTELIUM_AUTH_TOKEN"));
        }
        let cluster = Cluster::from_environment(context.domain.as_deref(), environment)?;
        let store = StateStore::open(context.homedir.as_deref(), environment)?;
        let tls = tls::config(environment, &context.terminal)?;
        let mut pages_tls = tls.clone();
        pages_tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let secret = |name| {
            environment
                .get(name)
                .map(|token| SecretString::from(token.trim()))
        };
        Ok(Self {
            channel: connection::open(&cluster, tls).await?,
            cluster,
            pages_tls: Arc::new(pages_tls),
            store,
            fixed: secret("OCTELIUM_ACCESS_TOKEN"),
            authentication_token: secret("OCTELIUM_AUTH_TOKEN"),
            assertion: environment
                .get("OCTELIUM_AUTH_ASSERTION")
                .map(Source::parse)
                .transpose()?,
            environment: environment.clone(),
        })
    }

    /// Returns the domain of the Cluster, `host[:port]`.
    pub(crate) fn domain(&self) -> &str {
        &self.cluster.domain
    }

    /// Makes a call with a valid access token.
    ///
    /// If the call is not authenticated, repeats it once with a new token. If the Cluster is unavailable, makes a safe
    /// call up to three times.
    ///
    /// # Errors
    /// Returns a failure if no credential is available, or if the call fails.
    pub(crate) async fn call<T>(
        &self,
        repeat: Repeat,
        call: impl AsyncFn(Rpc) -> Result<T, Status>,
    ) -> Result<T, Failure> {
        let mut backoff = BACKOFF.iter();
        let mut token = self.token(None).await?;
        let mut renewed = false;
        loop {
            let rpc = Rpc::with_access_token(self.channel.clone(), &token)?;
            let status = match call(rpc).await {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            match status.code() {
                Code::Unauthenticated if !renewed && self.fixed.is_none() => {
                    renewed = true;
                    token = self.token(Some(&token)).await?;
                }
                Code::Unavailable if repeat == Repeat::Safe => match backoff.next() {
                    Some(pause) => tokio::time::sleep(*pause).await,
                    None => return Err(self.failure(&status)),
                },
                _ => return Err(self.failure(&status)),
            }
        }
    }

    /// Calls the authentication API with the refresh token of the Session.
    ///
    /// # Errors
    /// Returns a failure if no Session exists, or if the call fails.
    pub(crate) async fn call_auth<T>(
        &self,
        call: impl AsyncFn(Auth) -> Result<Response<T>, Status>,
    ) -> Result<T, Failure> {
        if self.fixed.is_some() {
            return Err(Failure::usage(
                "OCTELIUM_ACCESS_TOKEN is set; an access token cannot manage a Session",
            )
            .hint("unset it, and log in"));
        }
        // Creates a Session if the environment has a credential.
        self.token(None).await?;
        let entry = self.store.get(&self.cluster.domain)?;
        let token = entry.as_ref().and_then(refresh_token).ok_or_else(|| {
            Failure::unauthenticated("this Session has no refresh token").hint("octelium login")
        })?;
        let auth = rpc::auth(self.channel.clone(), Some(&token))?;
        match call(auth).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => Err(self.failure(&status)),
        }
    }

    /// Performs the step-up with the TPM that the Session requires, if it requires one.
    ///
    /// # Errors
    /// Returns a failure if the TPM refuses or the Cluster rejects its answer.
    pub(crate) async fn step_up_with_main_authenticator(&self) -> Result<(), Failure> {
        let locked = self.store.lock().await?;
        let entry = locked.get(&self.cluster.domain)?;
        let Some(token) = entry.as_ref().and_then(refresh_token) else {
            return Ok(());
        };
        let auth = rpc::auth(self.channel.clone(), Some(&token))?;
        if let Some(raised) =
            authenticators::authenticate_with_main(auth, &self.environment).await?
        {
            self.keep(&locked, raised)?;
        }
        Ok(())
    }

    /// Saves the tokens of the Session after a step-up.
    ///
    /// # Errors
    /// Returns a failure if the local state cannot be written.
    pub(crate) async fn save_step_up_tokens(&self, token: SessionToken) -> Result<(), Failure> {
        let locked = self.store.lock().await?;
        self.keep(&locked, token).map(|_| ())
    }

    /// Creates a Session and ends the previous one.
    ///
    /// # Errors
    /// Returns a failure if the Cluster rejects the proof.
    pub(crate) async fn log_in(&self, proof: &Proof, scopes: Vec<String>) -> Result<(), Failure> {
        let locked = self.store.lock().await?;
        let before = locked.get(&self.cluster.domain)?;
        match proof {
            Proof::Token(token) => self.authenticate(&locked, token, &[], scopes).await?,
            Proof::Assertion(source) => self.assert(&locked, source, scopes).await?,
            Proof::Approved(approved) => {
                let Approved { token, verifier } = approved;
                self.authenticate(&locked, token, verifier, scopes).await?
            }
        };
        if let Some(refresh_token) = before.as_ref().and_then(refresh_token) {
            self.end_session(&refresh_token).await;
        }
        Ok(())
    }

    /// Sends a form to the Cluster's own host.
    ///
    /// # Errors
    /// Returns a failure if the request fails, as [`endpoint::post`] does.
    pub(crate) async fn post(
        &self,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<(StatusCode, Value), Failure> {
        endpoint::post(&self.cluster, self.pages_tls.clone(), path, form).await
    }

    /// Saves the tokens of a new Session and ends the previous one.
    ///
    /// # Errors
    /// Returns a failure if the local state cannot be written.
    pub(crate) async fn take_over(&self, token: SessionToken) -> Result<(), Failure> {
        let locked = self.store.lock().await?;
        let before = locked.get(&self.cluster.domain)?;
        self.keep(&locked, token)?;
        if let Some(refresh_token) = before.as_ref().and_then(refresh_token) {
            self.end_session(&refresh_token).await;
        }
        Ok(())
    }

    /// Ends the Session and deletes its tokens. Returns `false` if no Session existed.
    ///
    /// # Errors
    /// Returns a failure if the local state cannot be written.
    pub(crate) async fn log_out(&self) -> Result<bool, Failure> {
        let locked = self.store.lock().await?;
        let Some(entry) = locked.get(&self.cluster.domain)? else {
            return Ok(false);
        };
        if let Some(refresh_token) = refresh_token(&entry) {
            self.end_session(&refresh_token).await;
        }
        locked.set(&self.cluster.domain, None)?;
        Ok(true)
    }

    /// Returns an access token that has not expired by the local clock and that is not `refused`.
    async fn token(&self, refused: Option<&SecretString>) -> Result<SecretString, Failure> {
        if let Some(token) = &self.fixed {
            return Ok(token.clone());
        }
        if refused.is_none()
            && let Some(entry) = self.store.get(&self.cluster.domain)?
            && let TokenState::Fresh(token) = freshness::token_state(&entry, now())
        {
            return Ok(token);
        }
        // Another process may have refreshed the token while this one waited for the lock.
        let locked = self.store.lock().await?;
        let entry = locked.get(&self.cluster.domain)?;
        let token_state = match &entry {
            Some(entry) => freshness::token_state(entry, now()),
            None => TokenState::LoginRequired,
        };
        match token_state {
            TokenState::Fresh(token)
                if refused.is_none_or(|old| old.expose_secret() != token.expose_secret()) =>
            {
                Ok(token)
            }
            TokenState::Fresh(token) => self.refresh(&locked, entry.as_ref(), token, true).await,
            TokenState::Due(token) => self.refresh(&locked, entry.as_ref(), token, false).await,
            TokenState::LoginRequired => {
                self.authenticate_by_environment(&locked, entry.is_some())
                    .await
            }
        }
    }

    async fn refresh(
        &self,
        locked: &Locked<'_>,
        entry: Option<&Domain>,
        current: SecretString,
        refused: bool,
    ) -> Result<SecretString, Failure> {
        let refresh_token = entry.and_then(refresh_token).unwrap_or_default();
        let answer = rpc::auth(self.channel.clone(), Some(&refresh_token))?
            .authenticate_with_refresh_token(AuthenticateWithRefreshTokenRequest::default())
            .await;
        match answer {
            Ok(answer) => self.keep(locked, answer.into_inner()),
            // The Cluster refuses because the token was refreshed too recently: the current one is still valid.
            Err(status) if status.code() == Code::AlreadyExists && !refused => Ok(current),
            Err(status) if status.code() == Code::AlreadyExists => Err(Failure::unauthenticated(
                "the Cluster refuses the access token that it just issued",
            )
            .hint("run `octelium logout`, then log in again")),
            Err(status) if status.code() == Code::Unauthenticated => {
                locked.set(&self.cluster.domain, None)?;
                self.authenticate_by_environment(locked, true).await
            }
            // A Session that a TPM has stepped up is refreshed with that TPM.
            Err(status) if failure::reason_of(&status).as_deref() == Some(NEEDS_AUTHENTICATOR) => {
                let auth = rpc::auth(self.channel.clone(), Some(&refresh_token))?;
                match authenticators::authenticate_with_main(auth, &self.environment).await? {
                    Some(token) => self.keep(locked, token),
                    None => Err(self.failure(&status)),
                }
            }
            Err(status) => Err(self.failure(&status)),
        }
    }

    async fn authenticate_by_environment(
        &self,
        locked: &Locked<'_>,
        ended: bool,
    ) -> Result<SecretString, Failure> {
        if let Some(token) = &self.authentication_token {
            return self.authenticate(locked, token, &[], Vec::new()).await;
        }
        if let Some(source) = &self.assertion {
            return self.assert(locked, source, Vec::new()).await;
        }
        let domain = &self.cluster.domain;
        let what = if ended {
            format!("your Session at {domain} has ended")
        } else {
            format!("you are not logged in to {domain}")
        };
        Err(Failure::unauthenticated(what).hint(format!(
            "octelium login --domain {domain} --auth-token - (reads the token from standard input), or set OCTELIUM_AUTH_TOKEN"
        )))
    }

    async fn authenticate(
        &self,
        locked: &Locked<'_>,
        token: &SecretString,
        code_verifier: &[u8],
        scopes: Vec<String>,
    ) -> Result<SecretString, Failure> {
        let answer = rpc::auth(self.channel.clone(), None)?
            .authenticate_with_authentication_token(AuthenticateWithAuthenticationTokenRequest {
                authentication_token: token.expose_secret().to_owned(),
                scopes,
                code_verifier: code_verifier.to_vec(),
            })
            .await
            .map_err(|status| {
                let failure = self.failure(&status);
                if status.code() == Code::Unauthenticated {
                    failure.hint(
                        "the authentication token is not accepted: it may be rotated, used up or disabled, or belong \
                         to another Cluster; `octeliumctl create cred --rotate NAME` makes a new one",
                    )
                } else {
                    failure
                }
            })?;
        self.keep(locked, answer.into_inner())
    }

    async fn assert(
        &self,
        locked: &Locked<'_>,
        source: &Source,
        scopes: Vec<String>,
    ) -> Result<SecretString, Failure> {
        let assertion = source
            .fetch(&self.cluster.domain, &self.environment)
            .await?;
        let provider = source.provider.as_ref().map(|provider| {
            let is_uid = provider.parse::<Uid>().is_ok();
            let (uid, name) = if is_uid {
                (provider.clone(), String::new())
            } else {
                (String::new(), provider.clone())
            };
            ObjectReference {
                uid,
                name,
                ..ObjectReference::default()
            }
        });
        let answer = rpc::auth(self.channel.clone(), None)?
            .authenticate_with_assertion(AuthenticateWithAssertionRequest {
                identity_provider_ref: provider,
                assertion: assertion.expose_secret().to_owned(),
                scopes,
            })
            .await
            .map_err(|status| {
                let failure = self.failure(&status);
                if status.code() == Code::Unauthenticated {
                    failure.hint(
                        "the assertion is not accepted: it may be used up or expired, have another audience, or match \
                         no IdentityProvider or no User; administrators find the reason with `octeliumctl get audit`",
                    )
                } else {
                    failure
                }
            })?;
        self.keep(locked, answer.into_inner())
    }

    fn keep(&self, locked: &Locked<'_>, token: SessionToken) -> Result<SecretString, Failure> {
        let access_token = SecretString::from(token.access_token.as_str());
        let entry = Domain {
            session_token: Some(token),
            session_token_set_at: Some(now().to_proto()),
        };
        locked.set(&self.cluster.domain, Some(entry))?;
        Ok(access_token)
    }

    /// Ends a Session on a best-effort basis. The local tokens are deleted even if the call fails.
    async fn end_session(&self, refresh_token: &SecretString) {
        if let Ok(mut auth) = rpc::auth(self.channel.clone(), Some(refresh_token)) {
            let call = auth.logout(LogoutRequest::default());
            tokio::time::timeout(LOGOUT_TIMEOUT, call).await.ok();
        }
    }

    fn failure(&self, status: &Status) -> Failure {
        let failure = Failure::of_status(status);
        match (status.code(), &self.fixed) {
            (Code::Unauthenticated, Some(_)) => failure
                .hint("the token in OCTELIUM_ACCESS_TOKEN is not accepted; it may have expired"),
            _ => failure,
        }
    }
}

fn refresh_token(entry: &Domain) -> Option<SecretString> {
    let token = &entry.session_token.as_ref()?.refresh_token;
    (!token.is_empty()).then(|| SecretString::from(token.as_str()))
}

fn now() -> UnixMillis {
    SystemClock.now()
}
