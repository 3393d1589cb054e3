use std::time::Duration;

use domain::{clock::UnixMillis, kind::Kind};
use store::{
    CommitError, Expected, Listing, Operation, Order, Pages, Query, Revision, SecretWrite,
};
use zeroize::Zeroizing;

use crate::fixture::{Fixture, NOW, commit, commit_at, create, document, entry, uid, update};

pub(super) async fn a_document_is_read_as_it_was_written(cluster: Fixture) {
    let mut new = document(Kind::User, "alice");
    new.body = (0..=255).collect();
    new.expires_at = Some(UnixMillis(NOW.0 + 1));
    assert_eq!(
        create(&cluster.store, new.clone()).await.unwrap(),
        Revision(1)
    );
    for store in [&cluster.store, &cluster.replica] {
        let read = store.get(Kind::User, new.uid, NOW).await.unwrap().unwrap();
        assert_eq!(read.kind, Kind::User);
        assert_eq!(read.uid, new.uid);
        assert_eq!(read.name, "alice");
        assert_eq!(read.revision, Revision(1));
        assert_eq!(read.created_at, NOW);
        assert_eq!(read.expires_at, new.expires_at);
        assert_eq!(read.body, new.body);
        let by_name = store.get_by_name(Kind::User, "alice", NOW).await.unwrap();
        assert_eq!(by_name, Some(read));
        assert_eq!(store.get(Kind::Group, new.uid, NOW).await.unwrap(), None);
        assert_eq!(
            store.get_by_name(Kind::Group, "alice", NOW).await.unwrap(),
            None
        );
    }
}

pub(super) async fn e01_an_update_needs_the_present_revision(cluster: Fixture) {
    let mut user = document(Kind::User, "alice");
    let first = create(&cluster.store, user.clone()).await.unwrap();
    user.body = b"second".to_vec();
    let second = update(&cluster.store, user.clone(), first).await.unwrap();
    assert_eq!(second, Revision(2));
    user.body = b"lost".to_vec();
    for stale in [first, Revision(3), Revision(0)] {
        let refused = update(&cluster.replica, user.clone(), stale).await;
        assert!(matches!(refused, Err(CommitError::Conflict { uid, .. }) if uid == user.uid));
    }
    let read = cluster
        .store
        .get(Kind::User, user.uid, NOW)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (read.body.as_slice(), read.revision),
        (b"second".as_slice(), second)
    );
    let refused = commit(
        &cluster.store,
        vec![Operation::Delete(Kind::User, user.uid, Some(first))],
    )
    .await;
    assert!(matches!(refused, Err(CommitError::Conflict { .. })));
    commit(
        &cluster.store,
        vec![Operation::Delete(Kind::User, user.uid, Some(second))],
    )
    .await
    .unwrap();
}

pub(super) async fn w06_an_update_after_a_delete_resurrects_nothing(cluster: Fixture) {
    let user = document(Kind::User, "alice");
    let revision = create(&cluster.store, user.clone()).await.unwrap();
    let delete = || vec![Operation::Delete(Kind::User, user.uid, None)];
    commit(&cluster.store, delete()).await.unwrap();
    let refused = update(&cluster.replica, user.clone(), revision).await;
    assert!(matches!(refused, Err(CommitError::Conflict { .. })));
    let refused = commit(&cluster.store, delete()).await;
    assert!(matches!(refused, Err(CommitError::Conflict { .. })));
    assert_eq!(
        cluster.store.get(Kind::User, user.uid, NOW).await.unwrap(),
        None
    );
    assert_eq!(
        cluster
            .store
            .get_by_name(Kind::User, "alice", NOW)
            .await
            .unwrap(),
        None
    );
    assert_eq!(create(&cluster.store, user).await.unwrap(), Revision(1));
}

pub(super) async fn a_failed_transaction_leaves_nothing_behind(cluster: Fixture) {
    let taken = document(Kind::User, "taken");
    create(&cluster.store, taken.clone()).await.unwrap();
    let mut user = document(Kind::User, "alice");
    user.indexes = vec![entry("email", "a@example.com", true)];
    let record = Operation::Record {
        kind: "code",
        key: b"k".to_vec(),
        value: Vec::new(),
        expires_at: UnixMillis(NOW.0 + 1000),
    };
    let refused = commit(
        &cluster.store,
        vec![
            Operation::Put(user.clone(), Expected::Absent),
            Operation::Delete(Kind::User, taken.uid, None),
            record,
            Operation::Put(document(Kind::User, "alice"), Expected::Absent),
        ],
    )
    .await;
    assert!(matches!(refused, Err(CommitError::NameTaken { name, .. }) if name == "alice"));
    assert_eq!(
        cluster.store.get(Kind::User, user.uid, NOW).await.unwrap(),
        None
    );
    assert!(
        cluster
            .store
            .get(Kind::User, taken.uid, NOW)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(cluster.store.take("code", b"k", NOW).await.unwrap(), None);
    create(&cluster.store, user).await.unwrap();
}

pub(super) async fn a_name_is_taken_once_per_kind(cluster: Fixture) {
    create(&cluster.store, document(Kind::User, "alice"))
        .await
        .unwrap();
    let refused = create(&cluster.store, document(Kind::User, "alice")).await;
    assert!(matches!(
        refused,
        Err(CommitError::NameTaken {
            kind: Kind::User,
            ..
        })
    ));
    create(&cluster.store, document(Kind::Group, "alice"))
        .await
        .unwrap();
    let mut bob = document(Kind::User, "bob");
    let revision = create(&cluster.store, bob.clone()).await.unwrap();
    "alice".clone_into(&mut bob.name);
    let refused = update(&cluster.store, bob.clone(), revision).await;
    assert!(matches!(refused, Err(CommitError::NameTaken { name, .. }) if name == "alice"));
    "robert".clone_into(&mut bob.name);
    update(&cluster.store, bob, revision).await.unwrap();
    assert_eq!(
        cluster
            .store
            .get_by_name(Kind::User, "bob", NOW)
            .await
            .unwrap(),
        None
    );
}

pub(super) async fn a_uid_is_taken_once(cluster: Fixture) {
    let alice = document(Kind::User, "alice");
    create(&cluster.store, alice.clone()).await.unwrap();
    let mut other = document(Kind::User, "other");
    other.uid = alice.uid;
    let refused = create(&cluster.store, other).await;
    assert!(matches!(refused, Err(CommitError::Conflict { uid, .. }) if uid == alice.uid));
}

pub(super) async fn a_unique_index_value_is_taken_once_per_kind(cluster: Fixture) {
    let with_email = |name: &str, email: &str| {
        let mut user = document(Kind::User, name);
        user.indexes = vec![entry("email", email, true), entry("group", "staff", false)];
        user
    };
    create(&cluster.store, with_email("alice", "a@example.com"))
        .await
        .unwrap();
    let refused = create(&cluster.store, with_email("mallory", "a@example.com")).await;
    assert!(matches!(
        refused,
        Err(CommitError::IndexTaken { index: "email", .. })
    ));
    let bob = with_email("bob", "b@example.com");
    let revision = create(&cluster.store, bob.clone()).await.unwrap();
    let mut stolen = bob.clone();
    stolen.indexes = vec![entry("email", "a@example.com", true)];
    let refused = update(&cluster.store, stolen, revision).await;
    assert!(matches!(
        refused,
        Err(CommitError::IndexTaken { index: "email", .. })
    ));
    let mut group = document(Kind::Group, "group");
    group.indexes = vec![entry("email", "a@example.com", true)];
    create(&cluster.store, group).await.unwrap();
    // Longer than an index entry of PostgreSQL allows, and different only in the last byte.
    let long = "x".repeat(4000);
    create(&cluster.store, with_email("long1", &format!("{long}1")))
        .await
        .unwrap();
    create(&cluster.store, with_email("long2", &format!("{long}2")))
        .await
        .unwrap();
    let refused = create(&cluster.store, with_email("long3", &format!("{long}2"))).await;
    assert!(matches!(
        refused,
        Err(CommitError::IndexTaken { index: "email", .. })
    ));
}

pub(super) async fn index_entries_follow_the_document(cluster: Fixture) {
    let by = |value: &str| Query {
        kind: Kind::Session,
        index: Some(("user", value.to_owned())),
        order: Order::Created,
        offset: 0,
        limit: 10,
        now: NOW,
    };
    let mut session = document(Kind::Session, "one");
    session.indexes = vec![
        entry("user", "with\0nul", false),
        entry("device", "d", false),
        entry("user", "with\0nul", false),
    ];
    let revision = create(&cluster.store, session.clone()).await.unwrap();
    assert_eq!(
        cluster.replica.list(by("with\0nul")).await.unwrap().total,
        1
    );
    assert_eq!(cluster.replica.list(by("with")).await.unwrap().total, 0);
    session.indexes = vec![entry("user", "other", false)];
    let revision = update(&cluster.store, session.clone(), revision)
        .await
        .unwrap();
    assert_eq!(
        cluster.replica.list(by("with\0nul")).await.unwrap().total,
        0
    );
    let page = cluster.replica.list(by("other")).await.unwrap();
    assert_eq!(page.documents[0].uid, session.uid);
    commit(
        &cluster.store,
        vec![Operation::Delete(
            Kind::Session,
            session.uid,
            Some(revision),
        )],
    )
    .await
    .unwrap();
    assert_eq!(cluster.replica.list(by("other")).await.unwrap().total, 0);
}

pub(super) async fn an_expired_document_is_gone(cluster: Fixture) {
    let mut session = document(Kind::Session, "one");
    session.expires_at = Some(UnixMillis(NOW.0 + 1000));
    session.indexes = vec![entry("user", "alice", false)];
    create(&cluster.store, session.clone()).await.unwrap();
    let store = &cluster.store;
    let query = |now| Query {
        kind: Kind::Session,
        index: None,
        order: Order::Created,
        offset: 0,
        limit: 10,
        now,
    };
    let by_user = |now| Query {
        index: Some(("user", "alice".to_owned())),
        ..query(now)
    };
    let before = UnixMillis(NOW.0 + 999);
    let after = UnixMillis(NOW.0 + 1000);
    assert!(
        store
            .get(Kind::Session, session.uid, before)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(store.list(query(before)).await.unwrap().total, 1);
    assert_eq!(store.list(by_user(before)).await.unwrap().total, 1);
    assert_eq!(
        store.get(Kind::Session, session.uid, after).await.unwrap(),
        None
    );
    assert_eq!(
        store
            .get_by_name(Kind::Session, "one", after)
            .await
            .unwrap(),
        None
    );
    assert_eq!(store.list(query(after)).await.unwrap().total, 0);
    assert_eq!(store.list(by_user(after)).await.unwrap().total, 0);
    assert_eq!(
        store.scan(Kind::Session, None, 10, after).await.unwrap(),
        []
    );
    for operation in [
        Operation::Put(session.clone(), Expected::Revision(Revision(1))),
        Operation::Delete(Kind::Session, session.uid, None),
        Operation::Unchanged(Kind::Session, session.uid, Revision(1)),
    ] {
        let refused = commit_at(store, after, vec![operation]).await;
        assert!(matches!(refused, Err(CommitError::Conflict { .. })));
    }
    // A later expiry also extends that of the index entries.
    session.expires_at = Some(UnixMillis(NOW.0 + 5000));
    update(store, session.clone(), Revision(1)).await.unwrap();
    assert_eq!(store.list(by_user(after)).await.unwrap().total, 1);
    let limit = Operation::Limit {
        kind: Kind::Session,
        index: "user",
        value: "alice".to_owned(),
        below: 1,
    };
    let refused = commit_at(store, after, vec![limit.clone()]).await;
    assert!(matches!(
        refused,
        Err(CommitError::LimitReached { index: "user", .. })
    ));
    commit_at(store, UnixMillis(NOW.0 + 5000), vec![limit])
        .await
        .unwrap();
}

pub(super) async fn an_expired_document_causes_no_conflict(cluster: Fixture) {
    let store = &cluster.store;
    let after = NOW.saturating_add(Duration::from_secs(10));
    let expiring = |name: &str, email: &str| {
        let mut user = document(Kind::User, name);
        user.expires_at = Some(UnixMillis(NOW.0 + 1000));
        user.indexes = vec![entry("email", email, true)];
        user
    };
    let same_uid = expiring("same-uid", "1");
    for user in [
        same_uid.clone(),
        expiring("same-name", "2"),
        expiring("same-email", "3"),
        expiring("renamed", "4"),
    ] {
        create(store, user).await.unwrap();
    }
    let mut again = expiring("again", "5");
    again.uid = same_uid.uid;
    for mut user in [again, expiring("same-name", "6"), expiring("third", "3")] {
        user.expires_at = None;
        commit_at(store, after, vec![Operation::Put(user, Expected::Absent)])
            .await
            .unwrap();
    }
    let mut last = document(Kind::User, "last");
    create(store, last.clone()).await.unwrap();
    "renamed".clone_into(&mut last.name);
    last.indexes = vec![entry("email", "4", true)];
    let put = Operation::Put(last, Expected::Revision(Revision(1)));
    commit_at(store, after, vec![put]).await.unwrap();
    assert_eq!(
        store.scan(Kind::User, None, 10, after).await.unwrap().len(),
        4
    );
    assert_eq!(
        store.collect(after).await.unwrap(),
        0,
        "each was removed with its entries"
    );
}

pub(super) async fn a_list_is_ordered_paged_and_counted(cluster: Fixture) {
    for (name, created) in [("b", 3), ("a", 1), ("d", 2), ("c", 4)] {
        let mut user = document(Kind::User, name);
        user.created_at = UnixMillis(created);
        user.indexes = vec![entry(
            "group",
            if created < 4 { "staff" } else { "other" },
            false,
        )];
        create(&cluster.store, user).await.unwrap();
    }
    create(&cluster.store, document(Kind::Group, "group"))
        .await
        .unwrap();
    let list = async |index: Option<&str>, order, offset, limit| {
        let page = cluster
            .replica
            .list(Query {
                kind: Kind::User,
                index: index.map(|group| ("group", group.to_owned())),
                order,
                offset,
                limit,
                now: NOW,
            })
            .await
            .unwrap();
        let names: String = page
            .documents
            .iter()
            .map(|user| user.name.as_str())
            .collect();
        (names, page.total)
    };
    let expect = |names: &str, total| (names.to_owned(), total);
    assert_eq!(list(None, Order::Created, 0, 10).await, expect("adbc", 4));
    assert_eq!(
        list(None, Order::CreatedDescending, 0, 10).await,
        expect("cbda", 4)
    );
    assert_eq!(list(None, Order::Name, 0, 10).await, expect("abcd", 4));
    assert_eq!(
        list(None, Order::NameDescending, 0, 10).await,
        expect("dcba", 4)
    );
    assert_eq!(list(None, Order::Created, 1, 2).await, expect("db", 4));
    assert_eq!(list(None, Order::Created, 3, 2).await, expect("c", 4));
    assert_eq!(list(None, Order::Created, 9, 2).await, expect("", 4));
    assert_eq!(list(None, Order::Created, 0, 0).await, expect("", 4));
    assert_eq!(
        list(Some("staff"), Order::Created, 0, 2).await,
        expect("ad", 3)
    );
    assert_eq!(
        list(Some("staff"), Order::NameDescending, 0, 10).await,
        expect("dba", 3)
    );
    assert_eq!(
        list(Some("none"), Order::Created, 0, 10).await,
        expect("", 0)
    );
}

pub(super) async fn a_scan_reads_each_document_once(cluster: Fixture) {
    let mut expected = Vec::new();
    for index in 0..25 {
        let user = document(Kind::User, &format!("user-{index}"));
        expected.push(user.uid);
        create(&cluster.store, user).await.unwrap();
    }
    expected.sort_unstable();
    let mut read = Vec::new();
    loop {
        let page = cluster
            .replica
            .scan(Kind::User, read.last().copied(), 10, NOW)
            .await
            .unwrap();
        let is_last = page.len() < 10;
        read.extend(page.into_iter().map(|user| user.uid));
        if is_last {
            break;
        }
    }
    assert_eq!(read, expected);
}

pub(super) async fn a_secret_is_kept_replaced_and_opened(cluster: Fixture) {
    let store = &cluster.store;
    let secret = async |uid| {
        cluster
            .replica
            .secret(Kind::Secret, uid)
            .await
            .unwrap()
            .map(|secret| secret.to_vec())
    };
    let mut document = document(Kind::Secret, "password");
    let first = create(store, document.clone()).await.unwrap();
    assert_eq!(secret(document.uid).await, None);
    document.secret = SecretWrite::Set(Zeroizing::new(b"hunter2".to_vec()));
    let second = update(store, document.clone(), first).await.unwrap();
    assert_eq!(secret(document.uid).await, Some(b"hunter2".to_vec()));
    document.secret = SecretWrite::Keep;
    let third = update(store, document.clone(), second).await.unwrap();
    assert_eq!(secret(document.uid).await, Some(b"hunter2".to_vec()));
    document.secret = SecretWrite::Set(Zeroizing::new(Vec::new()));
    update(store, document.clone(), third).await.unwrap();
    assert_eq!(secret(document.uid).await, Some(Vec::new()));
    assert_eq!(secret(uid()).await, None);
    assert!(!format!("{document:?}").contains("hunter2"));
}

pub(super) async fn unchanged_holds_at_the_present_revision_only(cluster: Fixture) {
    let store = &cluster.store;
    let user = document(Kind::User, "alice");
    let revision = create(store, user.clone()).await.unwrap();
    let session = |name: &str, revision| {
        vec![
            Operation::Unchanged(Kind::User, user.uid, revision),
            Operation::Put(document(Kind::Session, name), Expected::Absent),
        ]
    };
    commit(store, session("first", revision)).await.unwrap();
    update(store, user.clone(), revision).await.unwrap();
    let refused = commit(store, session("second", revision)).await;
    assert!(
        matches!(refused, Err(CommitError::Conflict { kind: Kind::User, uid }) if uid == user.uid)
    );
    assert_eq!(
        store
            .get_by_name(Kind::Session, "second", NOW)
            .await
            .unwrap(),
        None
    );
}

pub(super) async fn a_page_of_documents_is_bounded_by_bytes_g5(cluster: Fixture) {
    // In the order of creation: 100, 200, ... bytes. The even ones are indexed.
    for number in 1..=6_i64 {
        let mut user = document(Kind::User, &format!("user{number}"));
        user.created_at = UnixMillis(NOW.0 + number);
        user.body = vec![7; 100 * usize::try_from(number).unwrap()];
        if number % 2 == 0 {
            user.indexes = vec![entry("group", "even", false)];
        }
        create(&cluster.store, user).await.unwrap();
    }
    let bounds = async |index: Option<&str>, order, page, items, bytes| {
        let query = Query {
            kind: Kind::User,
            index: index.map(|group| ("group", group.to_owned())),
            order,
            // Ignored.
            offset: 4,
            limit: 1,
            now: NOW,
        };
        let pages = Pages { page, items, bytes };
        let listing = Listing::Documents(query);
        let bounds = cluster.replica.bounds(listing, pages).await.unwrap();
        (bounds.offset, bounds.limit)
    };
    // The pages are 100 + 200 + 300, 400, 500, 600.
    for (page, expected) in (0..).zip([(0, 3), (3, 1), (4, 1), (5, 1), (6, 0), (6, 0)]) {
        assert_eq!(bounds(None, Order::Created, page, 10, 600).await, expected);
    }
    // Limited only by count, the offset is page times items.
    assert_eq!(bounds(None, Order::Created, 1, 2, 10_000).await, (2, 2));
    // The pages are 200 + 400, 600; then in descending order.
    assert_eq!(
        bounds(Some("even"), Order::Created, 0, 10, 600).await,
        (0, 2)
    );
    assert_eq!(
        bounds(Some("even"), Order::Created, 1, 10, 600).await,
        (2, 1)
    );
    let backwards = Order::CreatedDescending;
    assert_eq!(bounds(Some("even"), backwards, 1, 10, 600).await, (1, 2));
    assert_eq!(
        bounds(Some("odd"), Order::Created, 0, 10, 600).await,
        (0, 0)
    );
}
