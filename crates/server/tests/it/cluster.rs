//! A bootstrapped Cluster.

use std::{str::FromStr as _, sync::Arc};

use api::{
    core_v1::{Credential, CredentialToken, credential_token::Type},
    resource::Object as _,
};
use domain::{
    clock::{ManualClock, UnixMillis},
    rng::SystemRng,
    token::Token,
};
use server::{
    Actor, Caller, Context, Domain, Error,
    authentication::{Login, issue, with_authentication_token},
    bootstrap,
    directory::Limits,
    resource::{
        author::Author,
        write::{Create, Managed, Plan, transact},
    },
};
use store::Store;
use tokio_util::sync::CancellationToken;

/// 2026-11-22T00:00:00Z.
pub(crate) const START: UnixMillis = UnixMillis(1_795_305_600_000);

pub(crate) struct Cluster {
    pub(crate) context: Context,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) root_token: Option<Token>,
    stop: CancellationToken,
}

impl Cluster {
    /// Opens a replica on `store`. The first replica bootstraps the Cluster.
    pub(crate) async fn on(store: Arc<dyn Store>) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let context = Context::open(
            store,
            clock.clone(),
            Arc::new(SystemRng),
            Domain::from_str("localhost:8443").unwrap(),
            Limits::default(),
        );
        let context = context.await.unwrap();
        let begun = bootstrap::bootstrap(&context).await.unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(context.directory.clone().run(stop.clone()));
        Self {
            context,
            clock,
            root_token: begun.root_token,
            stop,
        }
    }

    /// Signs in the first administrator.
    pub(crate) async fn root(&self) -> Actor {
        self.log_in(self.root_token.as_ref().unwrap().expose())
            .await
            .unwrap()
    }

    /// Returns the access token of a new Session.
    pub(crate) async fn access_token(&self, token: &str) -> Result<String, Error> {
        let login = Login {
            token,
            scopes: &[],
            code_verifier: &[],
        };
        let caller = Caller {
            user_agent: "octelium-cli".to_owned(),
            ..Caller::default()
        };
        let tokens = with_authentication_token(&self.context, login, &caller).await?;
        Ok(tokens.access_token)
    }

    /// Signs in with an authentication token.
    pub(crate) async fn log_in(&self, token: &str) -> Result<Actor, Error> {
        let access_token = self.access_token(token).await?;
        let principal = self.context.directory.authenticate(&access_token).await;
        Ok(Actor {
            principal: principal.unwrap(),
            request_id: "request".to_owned(),
            ip: None,
            user_agent: "test".to_owned(),
        })
    }

    /// Executes a plan on behalf of `actor`.
    pub(crate) async fn run<P: Plan>(&self, actor: &Actor, plan: P) -> Result<P::Output, Error> {
        transact(&self.context, &Author::new(actor.clone(), "/test"), &plan).await
    }

    /// Creates a resource from YAML.
    pub(crate) async fn create<T: Managed>(&self, actor: &Actor, yaml: &str) -> Result<T, Error> {
        self.run(actor, Create(parse::<T>(yaml))).await
    }

    /// Creates a Credential and issues a token for it.
    pub(crate) async fn issue(&self, actor: &Actor, yaml: &str) -> (Credential, String) {
        let credential: Credential = self.create(actor, yaml).await.unwrap();
        let token = issue::generate(&self.context, actor, &credential.reference()).await;
        let Ok(CredentialToken {
            r#type: Some(Type::AuthenticationToken(token)),
        }) = token
        else {
            panic!("no authentication token: {token:?}");
        };
        (credential, token.authentication_token)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Parses a resource from YAML.
pub(crate) fn parse<T: Managed>(yaml: &str) -> T {
    let documents = api::document::parse("test", yaml.as_bytes()).unwrap();
    let (_, resource) = documents.into_iter().next().unwrap();
    T::from_resource(resource).unwrap()
}
