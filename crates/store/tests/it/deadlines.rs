//! Tests with a database that hangs: it does not answer, and its connections stay open.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use api::platform_v1::AuditEvent;
use domain::kind::Kind;
use store::{
    AuditQuery, CommitError, Cursor, DatabaseUrl, Order, Query, Store, StoreError, Usage,
    testing::{self, Relay, Server},
};
use tokio::time::timeout;

use crate::fixture::{NOW, create, document, uid};

/// The limit for a read or a single statement, with a margin for a busy machine.
const OPERATION: Duration = Duration::from_secs(7);
/// The limit for a write.
const WRITE: Duration = Duration::from_secs(9);
/// The limit until everything works again.
const RECOVERED_WITHIN: Duration = Duration::from_secs(15);

fn url(relays: &[&Relay], database: &str) -> DatabaseUrl {
    let hosts: Vec<_> = relays
        .iter()
        .map(|relay| relay.address().to_string())
        .collect();
    DatabaseUrl::new(format!(
        "postgres://postgres@{}/{database}",
        hosts.join(",")
    ))
}

async fn server() -> (Server, String) {
    let server = Server::start_separate().await;
    let url = server.database().await;
    let database = url.expose().rsplit('/').next().unwrap().to_owned();
    (server, database)
}

async fn writes_again(store: &Arc<dyn Store>) {
    let writes = async {
        while let Err(error) = create(store, document(Kind::User, &uid().to_string())).await {
            assert!(
                matches!(&error, CommitError::Store(error) if error.transient),
                "{error}"
            );
        }
    };
    timeout(RECOVERED_WITHIN, writes)
        .await
        .expect("writes go on");
}

async fn works_again(store: &Arc<dyn Store>) {
    writes_again(store).await;
    let reads = async {
        while store.get_by_name(Kind::User, "alice", NOW).await.is_err() {}
        while store.ping().await.is_err() {}
        let mut feed = store.feed();
        feed.wait_for(|state| state.confirmed.elapsed() < Duration::from_secs(1))
            .await
            .unwrap();
    };
    timeout(RECOVERED_WITHIN, reads).await.expect("reads go on");
}

/// Asserts that the operation fails in time with a transient error.
async fn fails<T>(
    what: &str,
    limit: Duration,
    operation: impl Future<Output = Result<T, StoreError>>,
) {
    let began = Instant::now();
    let result = timeout(limit, operation).await;
    let result = result.unwrap_or_else(|_| panic!("{what} still waits"));
    let error = result
        .err()
        .unwrap_or_else(|| panic!("{what} was answered"));
    assert!(error.transient, "{what}: {error}");
    assert!(began.elapsed() < limit);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_of_a_frozen_database_fails_in_time_d2() {
    let (server, database) = server().await;
    let relay = Relay::to(&server).await;
    let store: Arc<dyn Store> = Arc::new(testing::postgres_at(&url(&[&relay], &database)).await);
    create(&store, document(Kind::User, "alice")).await.unwrap();

    relay.freeze();
    let query = Query {
        kind: Kind::User,
        index: None,
        order: Order::Created,
        offset: 0,
        limit: 10,
        now: NOW,
    };
    let usage = BTreeMap::from([(uid(), Usage::default())]);
    let unknown = [uid()];
    let window = Duration::from_secs(1);
    let writing = async {
        match create(&store, document(Kind::User, "bob")).await {
            Ok(_) => Ok(()),
            Err(CommitError::Store(error)) => Err(error),
            Err(error) => panic!("{error}"),
        }
    };
    tokio::join!(
        fails("commit", WRITE, writing),
        fails("ping", OPERATION, store.ping()),
        fails("get", OPERATION, store.get(Kind::User, uid(), NOW)),
        fails(
            "get_by_name",
            OPERATION,
            store.get_by_name(Kind::User, "alice", NOW)
        ),
        fails("list", OPERATION, store.list(query)),
        fails("scan", OPERATION, store.scan(Kind::User, None, 10, NOW)),
        fails("secret", OPERATION, store.secret(Kind::User, uid())),
        fails("take", OPERATION, store.take("code", b"key", NOW)),
        fails("count", OPERATION, store.count("key", window, NOW)),
        fails("counter", OPERATION, store.counter("key", NOW)),
        fails("reset_counter", OPERATION, store.reset_counter("key")),
        fails("add_usage", OPERATION, store.add_usage(usage)),
        fails("usage", OPERATION, store.usage(&unknown)),
        fails("changes", OPERATION, store.changes(Cursor(0), 10)),
        fails(
            "append_audit",
            OPERATION,
            store.append_audit(vec![AuditEvent::default()])
        ),
        fails("audit", OPERATION, store.audit(AuditQuery::default())),
        fails("collect", OPERATION, store.collect(NOW)),
    );
    assert!(
        store.feed().borrow().confirmed.elapsed() > Duration::from_secs(4),
        "nothing was confirmed meanwhile"
    );

    relay.repair();
    works_again(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_that_moves_only_new_connections_d2() {
    let (server, database) = server().await;
    let relay = Relay::to(&server).await;
    let store: Arc<dyn Store> = Arc::new(testing::postgres_at(&url(&[&relay], &database)).await);
    create(&store, document(Kind::User, "alice")).await.unwrap();
    for _ in 0..2 {
        relay.freeze_open();
        works_again(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_is_passed_over_d2() {
    let (server, database) = server().await;
    let (first, second) = (Relay::to(&server).await, Relay::to(&server).await);
    let url = url(&[&first, &second], &database);
    first.freeze();
    let connecting = testing::postgres_at(&url);
    let store = timeout(RECOVERED_WITHIN, connecting).await;
    let store: Arc<dyn Store> = Arc::new(store.expect("the second host answers"));
    create(&store, document(Kind::User, "alice")).await.unwrap();
    // Fail over to the first host, which answers again, and then back to the second.
    first.repair();
    second.freeze();
    works_again(&store).await;
    second.repair();
    first.freeze();
    works_again(&store).await;
}
