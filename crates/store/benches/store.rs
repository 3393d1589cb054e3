//! Benchmarks of the stores: `cargo bench -p store [-- --users 1000000] [-- --backend sqlite|postgres]`.
//!
//! Prints one line of JSON per measurement. A login is the work of a one-time authentication, in a durable transaction:
//! it creates a Session, updates its Credential by compare-and-set, checks the limit of Sessions per User and appends
//! an audit event. SQLite flushes to the disk of the temporary directory; the temporary PostgreSQL server does not
//! flush.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "a benchmark fails by panicking and prints its results"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use api::{meta_v1::ObjectReference, platform_v1::AuditEvent};
use domain::{clock::UnixMillis, id::Uid, kind::Kind, rng::SystemRng};
use store::{
    Expected, IndexEntry, NewDocument, Operation, Order, Query, Revision, SecretWrite, Store,
    Transaction, testing,
};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const CONCURRENCY: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value_of = |flag: &str| {
        let place = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(place + 1).cloned()
    };
    let users: Vec<usize> = match value_of("--users") {
        Some(users) => vec![users.parse().unwrap()],
        None => vec![1_000, 100_000],
    };
    let backend = value_of("--backend");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for users in users {
        for name in ["sqlite", "postgres"] {
            if backend.as_deref().is_none_or(|backend| backend == name) {
                runtime.block_on(measure(name, users));
            }
        }
    }
}

async fn measure(backend: &'static str, users: usize) {
    let store = match backend {
        "sqlite" => testing::sqlite(),
        _ => testing::postgres().await,
    };
    let report = |what: &str, count: usize, elapsed: Duration| {
        let per_second = count as f64 / elapsed.as_secs_f64();
        println!(
            r#"{{"backend":"{backend}","users":{users},"what":"{what}","count":{count},"seconds":{:.3},"per_second":{per_second:.0}}}"#,
            elapsed.as_secs_f64()
        );
    };
    let begun = Instant::now();
    let identities: Arc<Vec<(Uid, Uid)>> = Arc::new(fill(&store, users).await);
    report("fill", users * 2, begun.elapsed());

    let logins = 20_000.min(users * 100);
    report(
        "login",
        logins,
        run(logins, {
            let (store, identities) = (Arc::clone(&store), Arc::clone(&identities));
            let used: Arc<Vec<AtomicUsize>> =
                Arc::new((0..users).map(|_| AtomicUsize::new(1)).collect());
            move |number| {
                let (store, identities, used) = (
                    Arc::clone(&store),
                    Arc::clone(&identities),
                    Arc::clone(&used),
                );
                async move {
                    // Spread over the Users: each is used again only after all others.
                    let index = number.wrapping_mul(7919) % users;
                    let revision = used[index].fetch_add(1, Ordering::Relaxed);
                    login(&store, identities[index], revision).await;
                }
            }
        })
        .await,
    );

    let reads = 100_000;
    report(
        "get by uid",
        reads,
        run(reads, {
            let (store, identities) = (Arc::clone(&store), Arc::clone(&identities));
            move |number| {
                let (store, identities) = (Arc::clone(&store), Arc::clone(&identities));
                async move {
                    let (user, _) = identities[number.wrapping_mul(7919) % users];
                    assert!(store.get(Kind::User, user, NOW).await.unwrap().is_some());
                }
            }
        })
        .await,
    );
    report(
        "get by name",
        reads,
        run(reads, {
            let store = Arc::clone(&store);
            move |number| {
                let store = Arc::clone(&store);
                async move {
                    let name = format!("user-{}", number.wrapping_mul(7919) % users);
                    assert!(
                        store
                            .get_by_name(Kind::User, &name, NOW)
                            .await
                            .unwrap()
                            .is_some()
                    );
                }
            }
        })
        .await,
    );
    let lists = 5_000;
    report(
        "list by index",
        lists,
        run(lists, {
            let (store, identities) = (Arc::clone(&store), Arc::clone(&identities));
            move |number| {
                let (store, identities) = (Arc::clone(&store), Arc::clone(&identities));
                async move {
                    let (user, _) = identities[number.wrapping_mul(7919) % users];
                    let query = Query {
                        kind: Kind::Credential,
                        index: Some(("user", user.to_string())),
                        order: Order::Created,
                        offset: 0,
                        limit: 10,
                        now: NOW,
                    };
                    assert_eq!(store.list(query).await.unwrap().total, 1);
                }
            }
        })
        .await,
    );
    report(
        "count",
        5_000,
        run(5_000, {
            let store = Arc::clone(&store);
            move |number| {
                let store = Arc::clone(&store);
                async move {
                    let key = format!("login/{}", number % 1000);
                    store
                        .count(&key, Duration::from_mins(1), NOW)
                        .await
                        .unwrap();
                }
            }
        })
        .await,
    );
}

/// Runs `work` for each number below `count`, [`CONCURRENCY`] at a time.
async fn run<F>(count: usize, work: impl Fn(usize) -> F + Send + Sync + 'static) -> Duration
where
    F: Future<Output = ()> + Send,
{
    let begun = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let work = Arc::new(work);
    let tasks: Vec<_> = (0..CONCURRENCY)
        .map(|_| {
            let (next, work) = (Arc::clone(&next), Arc::clone(&work));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    work(number).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    begun.elapsed()
}

async fn fill(store: &Arc<dyn Store>, users: usize) -> Vec<(Uid, Uid)> {
    let mut identities = Vec::with_capacity(users);
    let mut transaction = Transaction::at(NOW);
    for number in 0..users {
        let user = document(
            Kind::User,
            Uid::random(&SystemRng),
            &format!("user-{number}"),
            300,
            Vec::new(),
        );
        let credential = credential(Uid::random(&SystemRng), user.uid);
        identities.push((user.uid, credential.uid));
        transaction.push(Operation::Put(user, Expected::Absent));
        transaction.push(Operation::Put(credential, Expected::Absent));
        if transaction.operations.len() == 1000 {
            store
                .commit(std::mem::replace(&mut transaction, Transaction::at(NOW)))
                .await
                .unwrap();
        }
    }
    store.commit(transaction).await.unwrap();
    identities
}

async fn login(store: &Arc<dyn Store>, (user, credential_uid): (Uid, Uid), revision: usize) {
    let session = Uid::random(&SystemRng);
    let indexes = vec![entry("user", user), entry("credential", credential_uid)];
    let mut session = document(
        Kind::Session,
        session,
        &format!("session-{session}"),
        900,
        indexes,
    );
    session.expires_at = Some(UnixMillis(NOW.0 + 1_000_000));
    let reference = |uid: Uid| ObjectReference {
        uid: uid.to_string(),
        ..ObjectReference::default()
    };
    let event = AuditEvent {
        uid: session.uid.to_string(),
        at: Some(NOW.to_proto()),
        r#type: "session.created".to_owned(),
        user_ref: Some(reference(user)),
        resource_ref: Some(reference(session.uid)),
        ip_address: "192.0.2.1".to_owned(),
        count: 1,
        ..AuditEvent::default()
    };
    let mut transaction = Transaction::at(NOW);
    transaction
        .push(Operation::Unchanged(Kind::User, user, Revision(1)))
        .push(Operation::Limit {
            kind: Kind::Session,
            index: "user",
            value: user.to_string(),
            below: 128,
        })
        .push(Operation::Put(session, Expected::Absent))
        .push(Operation::Put(
            credential(credential_uid, user),
            Expected::Revision(Revision(u64::try_from(revision).unwrap())),
        ))
        .push(Operation::Audit(event));
    store.commit(transaction).await.unwrap();
}

fn credential(uid: Uid, user: Uid) -> NewDocument {
    document(
        Kind::Credential,
        uid,
        &format!("credential-{uid}"),
        500,
        vec![entry("user", user)],
    )
}

fn entry(index: &'static str, uid: Uid) -> IndexEntry {
    IndexEntry {
        index,
        value: uid.to_string(),
        unique: false,
    }
}

fn document(
    kind: Kind,
    uid: Uid,
    name: &str,
    size: usize,
    indexes: Vec<IndexEntry>,
) -> NewDocument {
    NewDocument {
        kind,
        uid,
        name: name.to_owned(),
        created_at: NOW,
        expires_at: None,
        body: vec![0x5a; size],
        indexes,
        secret: SecretWrite::Keep,
    }
}
