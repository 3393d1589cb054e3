//! Several replicas of one Cluster with a shared clock, on either store.

use std::{sync::Arc, time::Duration};

use api::{
    core_v1::{Credential, CredentialToken, Session, User, credential_token::Type},
    platform_v1::AuditEvent,
    resource::Object as _,
};
use domain::{id::Uid, kind::Kind};
use server::{
    Actor, Caller, Context, Error, Principal, Unauthenticated,
    authentication::{self, Login, issue},
    document::{
        codec::{self, Stored},
        index, load,
    },
};
use store::{AuditQuery, Expected, Operation, SecretWrite, Store, Transaction};

use crate::{cluster::Cluster, oauth2::Client};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// Replicas of one Cluster. On PostgreSQL each has its own connections; on SQLite they share one process.
pub(crate) struct Replicas {
    pub(crate) all: Vec<Cluster>,
    pub(crate) actor: Actor,
}

impl Replicas {
    pub(crate) async fn start(backend: Backend, count: usize) -> Self {
        let mut stores: Vec<Arc<dyn Store>> = Vec::new();
        match backend {
            Backend::Sqlite => {
                let store = store::testing::sqlite();
                stores.extend(std::iter::repeat_n(store, count));
            }
            Backend::Postgres => {
                let url = store::testing::postgres_database().await;
                for _ in 0..count {
                    stores.push(Arc::new(store::testing::postgres_at(&url).await));
                }
            }
        }
        Self::on(stores).await
    }

    pub(crate) async fn on(stores: Vec<Arc<dyn Store>>) -> Self {
        let mut all = Vec::new();
        for store in stores {
            all.push(Cluster::on(store).await);
        }
        let actor = all[0].root().await;
        Self { all, actor }
    }

    pub(crate) fn first(&self) -> &Cluster {
        &self.all[0]
    }

    pub(crate) fn context(&self, replica: usize) -> &Context {
        &self.all[replica % self.all.len()].context
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.all
            .iter()
            .for_each(|cluster| cluster.clock.advance(by));
    }

    pub(crate) async fn workload(&self, name: &str) -> User {
        self.user(name, "{ type: WORKLOAD }").await
    }

    pub(crate) async fn user(&self, name: &str, spec: &str) -> User {
        let yaml = format!("kind: User\nmetadata: {{ name: {name} }}\nspec: {spec}\n");
        self.first().create(&self.actor, &yaml).await.unwrap()
    }

    /// Creates a Credential. `spec` contains the fields other than type and user.
    pub(crate) async fn credential(&self, kind: &str, user: &str, spec: &str) -> Credential {
        let random = Uid::random(&domain::rng::SystemRng).to_string();
        let yaml = format!(
            "kind: Credential\nmetadata: {{ name: c{} }}\nspec: {{ type: {kind}, user: {user}{}{spec} }}\n",
            &random[..8],
            if spec.is_empty() { "" } else { ", " },
        );
        self.first().create(&self.actor, &yaml).await.unwrap()
    }

    /// Issues a new authentication token or access token of the Credential.
    pub(crate) async fn issue(&self, credential: &Credential) -> String {
        let token =
            issue::generate(&self.first().context, &self.actor, &credential.reference()).await;
        secret(token.unwrap())
    }

    /// Creates an OAuth 2.0 client.
    pub(crate) async fn client(&self, user: &str, spec: &str) -> (Credential, Client) {
        let credential = self.credential("OAUTH2", user, spec).await;
        let token =
            issue::generate(&self.first().context, &self.actor, &credential.reference()).await;
        let Some(Type::Oauth2Credentials(issued)) = token.unwrap().r#type else {
            panic!("no client");
        };
        let client = Client {
            id: issued.client_id,
            secret: issued.client_secret,
        };
        (credential, client)
    }

    /// Replaces a stored resource with the result of `edit`.
    pub(crate) async fn edit<T: codec::Resource>(&self, object: &T, edit: impl Fn(&mut T)) {
        let ctx = &self.first().context;
        let uid: Uid = object.uid().parse().unwrap();
        let stored: Stored<T> = self.get(uid).await.unwrap();
        let mut message = stored.message;
        edit(&mut message);
        let mut transaction = Transaction::at(ctx.now());
        transaction.push(Operation::Put(
            codec::encode(uid, stored.created_at, &message, SecretWrite::Keep),
            Expected::Revision(stored.revision),
        ));
        ctx.store.commit(transaction).await.unwrap();
    }

    pub(crate) async fn delete(&self, kind: Kind, uid: &str) {
        let ctx = &self.first().context;
        let mut transaction = Transaction::at(ctx.now());
        transaction.push(Operation::Delete(kind, uid.parse().unwrap(), None));
        ctx.store.commit(transaction).await.unwrap();
    }

    pub(crate) async fn get<T: codec::Resource>(&self, uid: Uid) -> Option<Stored<T>> {
        let ctx = &self.first().context;
        load::by_uid::<T>(&*ctx.store, uid, ctx.now())
            .await
            .unwrap()
    }

    pub(crate) async fn sessions(&self, user: &User) -> Vec<Session> {
        let ctx = &self.first().context;
        let found =
            load::by_index::<Session>(&*ctx.store, index::USER, user.uid(), 10_000, ctx.now())
                .await;
        found
            .unwrap()
            .0
            .into_iter()
            .map(|stored| stored.message)
            .collect()
    }

    /// Stores `count` copies of a Session.
    pub(crate) async fn copy_session(&self, session: &Session, count: usize) {
        self.copy(session, count, |_, _| ()).await;
    }

    /// Stores `count` copies of a Credential.
    pub(crate) async fn copy_credential(&self, credential: &Credential, count: usize) {
        let set_id = |copy: &mut Credential, uid: Uid| copy.status_mut().id = uid.to_string();
        self.copy(credential, count, set_id).await;
    }

    /// Stores `count` copies of an object. `edit` makes the unique values of a copy differ.
    async fn copy<T: codec::Resource>(&self, object: &T, count: usize, edit: impl Fn(&mut T, Uid)) {
        let ctx = &self.first().context;
        let mut transaction = Transaction::at(ctx.now());
        for number in 0..count {
            let uid = ctx.new_uid();
            let mut copy = object.clone();
            copy.metadata_mut().uid = uid.to_string();
            copy.metadata_mut().name = format!("copy-{number}");
            edit(&mut copy, uid);
            transaction.push(Operation::Put(
                codec::encode(uid, ctx.now(), &copy, SecretWrite::Keep),
                Expected::Absent,
            ));
        }
        ctx.store.commit(transaction).await.unwrap();
    }

    /// Returns all audit events, including those that are still batched.
    pub(crate) async fn audit(&self) -> Vec<AuditEvent> {
        for cluster in &self.all {
            cluster.context.flush().await;
        }
        let query = AuditQuery {
            limit: 10_000,
            ..AuditQuery::default()
        };
        self.first().context.store.audit(query).await.unwrap().0
    }

    /// Waits until all replicas have applied all commits.
    pub(crate) async fn settle(&self) {
        for cluster in &self.all {
            let ctx = &cluster.context;
            let mut feed = ctx.store.feed();
            // Commits of other replicas arrive with the feed.
            let first = *feed.borrow_and_update();
            let _ = tokio::time::timeout(Duration::from_millis(600), feed.changed()).await;
            let cursor = feed.borrow().cursor.max(first.cursor);
            ctx.directory.catch_up(cursor).await;
        }
    }
}

/// Returns the secret in a response.
pub(crate) fn secret(token: CredentialToken) -> String {
    match token.r#type.unwrap() {
        Type::AuthenticationToken(token) => token.authentication_token,
        Type::Oauth2Credentials(credentials) => credentials.client_secret,
        Type::AccessToken(token) => token.access_token,
    }
}

pub(crate) fn caller() -> Caller {
    Caller {
        request_id: "request".to_owned(),
        ip: Some([192, 0, 2, 7].into()),
        user_agent: "octelium-cli/1.0 grpc-go/1.0".to_owned(),
    }
}

pub(crate) async fn log_in(
    ctx: &Context,
    token: &str,
) -> Result<api::auth_v1::SessionToken, Error> {
    log_in_with(ctx, token, &[], &[]).await
}

pub(crate) async fn log_in_with(
    ctx: &Context,
    token: &str,
    scopes: &[String],
    code_verifier: &[u8],
) -> Result<api::auth_v1::SessionToken, Error> {
    let login = Login {
        token,
        scopes,
        code_verifier,
    };
    authentication::with_authentication_token(ctx, login, &caller()).await
}

pub(crate) async fn refresh(
    ctx: &Context,
    token: &str,
) -> Result<api::auth_v1::SessionToken, Error> {
    authentication::with_refresh_token(ctx, token, &caller()).await
}

pub(crate) async fn authenticate(
    ctx: &Context,
    token: &str,
) -> Result<Arc<Principal>, Unauthenticated> {
    ctx.directory.authenticate(token).await
}

/// Waits longer than the published limit of half a second between replicas, to allow for a busy machine.
pub(crate) async fn is_cancelled(principal: &Principal) -> bool {
    let waited = tokio::time::timeout(Duration::from_secs(5), principal.revoked.cancelled()).await;
    waited.is_ok()
}

/// Waits until the token is refused.
pub(crate) async fn becomes_refused(ctx: &Context, token: &str) -> bool {
    for _ in 0..500 {
        if let Err(Unauthenticated::Refused { .. }) = authenticate(ctx, token).await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}
