//! The Cluster as a logged-in User sees it: finds a token, keeps it fresh, calls, and calls again where that
//! is safe.

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
    command::login::browser::Approved,
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

use freshness::Standing;

/// How often a safe call is made where the Cluster is not available, and how long to wait between.
const BACKOFF: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// Logging out must not keep anybody waiting.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a Session cannot be refreshed that goes on by an Authenticator alone.
const NEEDS_AUTHENTICATOR: &str = "AUTHENTICATOR_REQUIRED";

/// Whether making a call twice does the same as making it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It does.
    Safe,
    /// It may not.
    Unsafe,
}

/// A connection to a Cluster and what authenticates it.
pub(crate) struct Client {
    cluster: Cluster,
    channel: Channel,
    /// For the Cluster's own host.
    pages_tls: Arc<ClientConfig>,
    store: StateStore,
    /// `OCTELIUM_ACCESS_TOKEN`: used as it is.
    fixed: Option<SecretString>,
    /// `OCTELIUM_AUTH_TOKEN`: makes a Session where there is none.
    authentication_token: Option<SecretString>,
    /// `OCTELIUM_AUTH_ASSERTION`: the same for a workload.
    assertion: Option<Source>,
    environment: Environment,
}

/// What makes a Session.
pub(crate) enum Proof {
    /// An authentication token.
    Token(SecretString),
    /// A token of the platform that this runs on.
    Assertion(Source),
    /// Somebody has let this client in with a browser.
    Approved(Approved),
}

impl Client {
    /// Connects to the Cluster that the command line or the environment names.
    ///
    /// # Errors
    /// None is named, or it cannot be reached.
    pub(crate) async fn connect(context: &Context) -> Result<Self, Failure> {
        let environment = &context.environment;
        if environment.get("OCTELIUM_AUTH_PROXY_SOCKET").is_some() {
            return Err(Failure::usage(
                "OCTELIUM_AUTH_PROXY_SOCKET: authenticating through a socket is not served yet",
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

    /// The domain of the Cluster, `host[:port]`.
    pub(crate) fn domain(&self) -> &str {
        &self.cluster.domain
    }

    /// Calls with a valid token. A call that was refused as unauthenticated is made once more with a new token;
    /// a call that is safe to repeat is made up to three times where the Cluster is not available.
    ///
    /// # Errors
    /// There is no way to authenticate, or the call failed.
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

    /// Calls the authentication API as whoever has the Session.
    ///
    /// # Errors
    /// There is no Session, or the call failed.
    pub(crate) async fn call_auth<T>(
        &self,
        call: impl AsyncFn(Auth) -> Result<Response<T>, Status>,
    ) -> Result<T, Failure> {
        if self.fixed.is_some() {
            return Err(Failure::usage(
                "OCTELIUM_ACCESS_TOKEN is set, which cannot manage a Session",
            )
            .hint("unset it, and log in"));
        }
        // Begins one where the environment says by what.
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

    /// Raises the Session by the TPM that it has to be raised by, where there is one.
    ///
    /// # Errors
    /// The TPM refuses, or its answer is not accepted.
    pub(crate) async fn raise_by_main(&self) -> Result<(), Failure> {
        let locked = self.store.lock().await?;
        let entry = locked.get(&self.cluster.domain)?;
        let Some(token) = entry.as_ref().and_then(refresh_token) else {
            return Ok(());
        };
        let auth = rpc::auth(self.channel.clone(), Some(&token))?;
        if let Some(raised) = authenticators::by_main(auth, &self.environment).await? {
            self.keep(&locked, raised)?;
        }
        Ok(())
    }

    /// Keeps the tokens of the Session, which an Authenticator has raised.
    ///
    /// # Errors
    /// The local state cannot be changed.
    pub(crate) async fn keep_raised(&self, token: SessionToken) -> Result<(), Failure> {
        let locked = self.store.lock().await?;
        self.keep(&locked, token).map(|_| ())
    }

    /// Makes a Session, in place of the one that there may be, which is ended.
    ///
    /// # Errors
    /// The proof is not accepted.
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
    /// See [`endpoint::post`].
    pub(crate) async fn post(
        &self,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<(StatusCode, Value), Failure> {
        endpoint::post(&self.cluster, self.pages_tls.clone(), path, form).await
    }

    /// Keeps the tokens of a Session that has begun, in place of the one that there may be, which is ended.
    ///
    /// # Errors
    /// The local state cannot be changed.
    pub(crate) async fn take_over(&self, token: SessionToken) -> Result<(), Failure> {
        let locked = self.store.lock().await?;
        let before = locked.get(&self.cluster.domain)?;
        self.keep(&locked, token)?;
        if let Some(refresh_token) = before.as_ref().and_then(refresh_token) {
            self.end_session(&refresh_token).await;
        }
        Ok(())
    }

    /// Ends the Session and forgets it. `false` where there was none.
    ///
    /// # Errors
    /// The local state cannot be changed.
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

    /// A token that is accepted as far as this machine knows, and not `refused`.
    async fn token(&self, refused: Option<&SecretString>) -> Result<SecretString, Failure> {
        if let Some(token) = &self.fixed {
            return Ok(token.clone());
        }
        if refused.is_none()
            && let Some(entry) = self.store.get(&self.cluster.domain)?
            && let Standing::Fresh(token) = freshness::standing(&entry, now())
        {
            return Ok(token);
        }
        // Whoever comes second finds what the first has fetched.
        let locked = self.store.lock().await?;
        let entry = locked.get(&self.cluster.domain)?;
        let standing = match &entry {
            Some(entry) => freshness::standing(entry, now()),
            None => Standing::Gone,
        };
        match standing {
            Standing::Fresh(token)
                if refused.is_none_or(|old| old.expose_secret() != token.expose_secret()) =>
            {
                Ok(token)
            }
            Standing::Fresh(token) => self.refresh(&locked, entry.as_ref(), token, true).await,
            Standing::Due(token) => self.refresh(&locked, entry.as_ref(), token, false).await,
            Standing::Gone => {
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
            // Too soon: what we have is still good.
            Err(status) if status.code() == Code::AlreadyExists && !refused => Ok(current),
            Err(status) if status.code() == Code::AlreadyExists => Err(Failure::unauthenticated(
                "the Cluster refuses the access token that it has just issued",
            )
            .hint("octelium logout, then log in again")),
            Err(status) if status.code() == Code::Unauthenticated => {
                locked.set(&self.cluster.domain, None)?;
                self.authenticate_by_environment(locked, true).await
            }
            // A Session that a TPM has raised goes on by that TPM.
            Err(status) if failure::reason_of(&status).as_deref() == Some(NEEDS_AUTHENTICATOR) => {
                let auth = rpc::auth(self.channel.clone(), Some(&refresh_token))?;
                match authenticators::by_main(auth, &self.environment).await? {
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
                        "the authentication token is not accepted: it may have been rotated, used up, disabled, or be of another Cluster; `octeliumctl create cred --rotate NAME` makes a new one",
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
                        "the assertion is not accepted: it may be used up, expired, for another audience, of an issuer that no IdentityProvider has, or of nobody; `octeliumctl get audit` tells administrators which",
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

    /// Failing is no reason to keep anything.
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
