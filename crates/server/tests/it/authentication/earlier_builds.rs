//! Documents of earlier builds, which stored token ids unencrypted.

use api::{
    core_v1::{Credential, Session},
    resource::Object as _,
};
use domain::id::Uid;
use server::document::{
    codec::{self, Resource},
    load,
};
use store::{Expected, Operation, SecretWrite, Transaction};

use crate::{
    cluster::Cluster,
    replicas::{Backend, Replicas, authenticate, log_in, refresh},
};

/// Stores a document in the format of an earlier build. Returns its token ids.
async fn downgrade<T: Resource>(
    replicas: &Replicas,
    uid: Uid,
    ids: impl Fn(&T) -> Vec<String>,
) -> Vec<String> {
    let ctx = replicas.context(0);
    let stored = load::with_token_ids::<T>(&*ctx.store, uid, ctx.now()).await;
    let stored = stored.unwrap().unwrap();
    let mut document = codec::encode(uid, stored.created_at, &stored.message, SecretWrite::Keep);
    document.body = stored.message.encode_to_vec();
    document.secret = SecretWrite::Keep;
    let mut transaction = Transaction::at(ctx.now());
    transaction.push(Operation::Delete(T::DOCUMENT, uid, None));
    transaction.push(Operation::Put(document, Expected::Absent));
    ctx.store.commit(transaction).await.unwrap();
    let ids = ids(&stored.message);
    assert!(ids.iter().all(|id| !id.is_empty()));
    assert!(holds::<T>(replicas, uid, &ids).await);
    ids
}

/// Returns true if the stored body contains all of these texts, and false if it contains none. Panics otherwise.
async fn holds<T: Resource>(replicas: &Replicas, uid: Uid, texts: &[String]) -> bool {
    let ctx = replicas.context(0);
    let document = ctx.store.get(T::DOCUMENT, uid, ctx.now()).await;
    let body = document.unwrap().unwrap().body;
    let count = texts
        .iter()
        .filter(|text| {
            body.windows(text.len())
                .any(|window| window == text.as_bytes())
        })
        .count();
    assert!(count == 0 || count == texts.len());
    count > 0
}

async fn tokens_of_earlier_builds_work_after_an_upgrade(backend: Backend) {
    let replicas = Replicas::start(backend, 1).await;
    let user = replicas.workload("robot").await;
    let credential = replicas.credential("AUTH_TOKEN", "robot", "").await;
    let secret = replicas.issue(&credential).await;
    let tokens = log_in(replicas.context(0), &secret).await.unwrap();
    let tokens = refresh(replicas.context(0), &tokens.refresh_token)
        .await
        .unwrap();
    let session: Uid = replicas.sessions(&user).await[0].uid().parse().unwrap();
    let credential_uid: Uid = credential.uid().parse().unwrap();
    let credential_ids = downgrade::<Credential>(&replicas, credential_uid, |credential| {
        vec![credential.status.clone().unwrap().token_id]
    })
    .await;
    let session_ids = downgrade::<Session>(&replicas, session, |session| {
        let status = session.status.clone().unwrap();
        let all = status
            .authentication
            .into_iter()
            .chain(status.last_authentications);
        all.map(|authentication| authentication.token_id).collect()
    })
    .await;
    assert_eq!(session_ids.len(), 2);

    let upgraded = Cluster::on(replicas.context(0).store.clone()).await;
    assert!(!holds::<Credential>(&replicas, credential_uid, &credential_ids).await);
    assert!(!holds::<Session>(&replicas, session, &session_ids).await);
    // An update that does not read the sealed values keeps them.
    replicas
        .edit::<Credential>(&credential, |credential| {
            "edited".clone_into(&mut credential.metadata_mut().description);
        })
        .await;
    let ctx = &upgraded.context;
    authenticate(ctx, &tokens.access_token).await.unwrap();
    refresh(ctx, &tokens.refresh_token).await.unwrap();
    log_in(ctx, &secret).await.unwrap();

    // The next start has nothing to rewrite.
    let cursor = ctx.store.feed().borrow().cursor;
    let again = Cluster::on(replicas.context(0).store.clone()).await;
    assert_eq!(again.context.store.feed().borrow().cursor, cursor);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_earlier_builds_work_after_an_upgrade_s01() {
    tokens_of_earlier_builds_work_after_an_upgrade(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_earlier_builds_work_after_an_upgrade_on_postgres_s01() {
    tokens_of_earlier_builds_work_after_an_upgrade(Backend::Postgres).await;
}
