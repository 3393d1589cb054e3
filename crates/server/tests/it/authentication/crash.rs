//! Interrupted logins: the process ends or a connection breaks.

use std::{collections::BTreeSet, fs, sync::Arc};

use api::{
    core_v1::{Credential, Session, User},
    resource::Object as _,
};
use server::{
    Context,
    document::{index, load},
};
use store::{Backend, Store, testing};
use tokio::task::JoinSet;

use crate::{
    cluster::Cluster,
    replicas::{Replicas, log_in},
};

/// A quarter of a frame of the log, so each frame is cut at its end and in between.
const STEP: usize = 4120 / 4;

/// Returns the number of Sessions of the User and the recorded uses of the Credential.
async fn counts(ctx: &Context, user: &User, credential: &Credential) -> (usize, u32) {
    let now = ctx.now();
    let (sessions, _) = load::by_index::<Session>(&*ctx.store, index::USER, user.uid(), 10, now)
        .await
        .unwrap();
    let uid = credential.uid().parse().unwrap();
    let stored = load::by_uid::<Credential>(&*ctx.store, uid, now).await;
    let redeemed = stored.unwrap().unwrap().message.status.unwrap();
    (sessions.len(), redeemed.total_authentications)
}

/// The embedded store only appends transactions to its log. A killed process therefore leaves a prefix of the log.
#[tokio::test(flavor = "multi_thread")]
async fn a01_an_interrupted_one_time_login_is_atomic() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join(store::sqlite::DATABASE_FILE);
    let log = directory
        .path()
        .join(format!("{}-wal", store::sqlite::DATABASE_FILE));
    let replicas = Replicas::on(vec![Arc::new(testing::sqlite_in(directory.path()))]).await;
    let user = replicas.workload("ci").await;
    let credential = replicas
        .credential("AUTH_TOKEN", "ci", "maxAuthentications: 1")
        .await;
    let token = replicas.issue(&credential).await;
    let before = fs::read(&log).unwrap().len();
    log_in(replicas.context(0), &token).await.unwrap();
    let log = fs::read(&log).unwrap();
    let database = fs::read(&database).unwrap();

    let mut seen = Vec::new();
    for end in (before..log.len()).step_by(STEP).chain([log.len()]) {
        let left = tempfile::tempdir().unwrap();
        let path = left.path().join(store::sqlite::DATABASE_FILE);
        fs::write(&path, &database).unwrap();
        fs::write(path.with_extension("db-wal"), &log[..end]).unwrap();
        let store = Arc::new(testing::sqlite_in(left.path()));
        assert_eq!(Backend::Sqlite(store.clone()).check().await.unwrap(), []);
        let cluster = Cluster::on(store).await;
        let ctx = &cluster.context;

        let (sessions, redeemed) = counts(ctx, &user, &credential).await;
        assert_eq!(u32::try_from(sessions).unwrap(), redeemed, "cut at {end}");
        seen.push(sessions);
        let again = log_in(ctx, &token).await;
        assert_eq!(again.is_ok(), sessions == 0, "cut at {end}: {again:?}");
        assert_eq!(counts(ctx, &user, &credential).await, (1, 1));
    }
    assert!(seen.len() > 8, "{seen:?}");
    assert!(seen.is_sorted());
    assert_eq!(BTreeSet::from_iter(seen), BTreeSet::from([0, 1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a01_one_time_logins_with_killed_connections_are_atomic() {
    const LOGINS: usize = 48;
    let url = testing::postgres_database().await;
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    for _ in 0..2 {
        stores.push(Arc::new(testing::postgres_at(&url).await));
    }
    let replicas = Replicas::on(stores).await;
    let mut all = Vec::new();
    for number in 0..LOGINS {
        let name = format!("ci-{number}");
        let user = replicas.workload(&name).await;
        let credential = replicas
            .credential("AUTH_TOKEN", &name, "maxAuthentications: 1")
            .await;
        let token = replicas.issue(&credential).await;
        all.push((user, credential, token));
    }
    let mut logins = JoinSet::new();
    for (number, (.., token)) in all.iter().enumerate() {
        let (ctx, token) = (replicas.context(number).clone(), token.clone());
        logins.spawn(async move { (number, log_in(&ctx, &token).await.is_ok()) });
    }
    let killer = testing::postgres_client(&url).await;
    let mut acknowledged = BTreeSet::new();
    while let Some(outcome) = logins.join_next().await {
        let (number, is_ok) = outcome.unwrap();
        if is_ok {
            acknowledged.insert(number);
        }
        if number % 4 == 0 {
            killer
                .batch_execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()",
                )
                .await
                .unwrap();
        }
    }
    for (number, (user, credential, token)) in all.iter().enumerate() {
        let ctx = replicas.context(number);
        let (sessions, redeemed) = counts(ctx, user, credential).await;
        assert!(sessions <= 1);
        assert_eq!(u32::try_from(sessions).unwrap(), redeemed, "login {number}");
        if acknowledged.contains(&number) {
            assert_eq!(sessions, 1, "login {number} was acknowledged and is lost");
        }
        assert_eq!(log_in(ctx, token).await.is_ok(), sessions == 0);
        assert_eq!(counts(ctx, user, credential).await, (1, 1));
    }
}
