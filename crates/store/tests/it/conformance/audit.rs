use api::{meta_v1::ObjectReference, platform_v1::AuditEvent};
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use store::{AuditQuery, Expected, Listing, Operation, Pages};

use crate::fixture::{Fixture, NOW, commit, create, document, uid};

fn event(event_type: &str, at: i64, user: Option<Uid>, resource: Option<Uid>) -> AuditEvent {
    let reference = |uid: Uid| ObjectReference {
        uid: uid.to_string(),
        ..ObjectReference::default()
    };
    AuditEvent {
        uid: uid().to_string(),
        at: Some(UnixMillis(at).to_proto()),
        r#type: event_type.to_owned(),
        user_ref: user.map(reference),
        resource_ref: resource.map(reference),
        count: 1,
        ..AuditEvent::default()
    }
}

pub(super) async fn audit_events_are_found_newest_first(cluster: Fixture) {
    let (alice, session) = (uid(), uid());
    let events = vec![
        event("user.created", 1000, None, Some(alice)),
        event("session.created", 2000, Some(alice), Some(session)),
        event("login.refused", 3000, Some(alice), None),
        event("login.refused", 3000, None, None),
        event("session.deleted", 4000, Some(uid()), Some(session)),
    ];
    cluster.store.append_audit(events.clone()).await.unwrap();
    cluster.store.append_audit(Vec::new()).await.unwrap();
    let find = async |query: AuditQuery| {
        let limit = if query.limit == 0 { 100 } else { query.limit };
        let (found, total) = cluster
            .replica
            .audit(AuditQuery { limit, ..query })
            .await
            .unwrap();
        let places: Vec<usize> = found
            .iter()
            .map(|found| events.iter().position(|event| event == found).unwrap())
            .collect();
        (places, total)
    };
    let all = AuditQuery::default;
    assert_eq!(find(all()).await, (vec![4, 3, 2, 1, 0], 5));
    assert_eq!(
        find(AuditQuery {
            offset: 1,
            limit: 2,
            ..all()
        })
        .await,
        (vec![3, 2], 5)
    );
    assert_eq!(
        find(AuditQuery {
            user: Some(alice),
            ..all()
        })
        .await,
        (vec![2, 1], 2)
    );
    assert_eq!(
        find(AuditQuery {
            resource: Some(session),
            ..all()
        })
        .await,
        (vec![4, 1], 2)
    );
    let refused = Some("login.refused".to_owned());
    assert_eq!(
        find(AuditQuery {
            event_type: refused.clone(),
            ..all()
        })
        .await,
        (vec![3, 2], 2)
    );
    let by_both = AuditQuery {
        event_type: refused,
        user: Some(alice),
        ..all()
    };
    assert_eq!(find(by_both).await, (vec![2], 1));
    let between = AuditQuery {
        since: Some(UnixMillis(2000)),
        until: Some(UnixMillis(4000)),
        ..all()
    };
    assert_eq!(find(between).await, (vec![3, 2, 1], 3));
    assert_eq!(
        find(AuditQuery {
            user: Some(uid()),
            ..all()
        })
        .await,
        (vec![], 0)
    );
}

pub(super) async fn an_audit_event_is_committed_with_its_transaction_or_not_at_all(
    cluster: Fixture,
) {
    let store = &cluster.store;
    let user = document(Kind::User, "alice");
    let with_event = |document| {
        vec![
            Operation::Audit(event("user.created", NOW.0, None, Some(user.uid))),
            Operation::Put(document, Expected::Absent),
        ]
    };
    commit(store, with_event(user.clone())).await.unwrap();
    commit(store, with_event(user.clone())).await.unwrap_err();
    create(store, user.clone()).await.unwrap_err();
    let query = AuditQuery {
        limit: 10,
        ..AuditQuery::default()
    };
    assert_eq!(store.audit(query).await.unwrap().1, 1);
}

pub(super) async fn old_audit_events_are_removed_s06(cluster: Fixture) {
    let store = &cluster.store;
    for at in [1000, 2000, 3000] {
        let events = vec![event("login.refused", at, None, None); 700];
        store.append_audit(events).await.unwrap();
    }
    assert_eq!(store.trim_audit(UnixMillis(2000)).await.unwrap(), 700);
    assert_eq!(store.trim_audit(UnixMillis(2000)).await.unwrap(), 0);
    let all = AuditQuery {
        limit: 1,
        ..AuditQuery::default()
    };
    assert_eq!(cluster.replica.audit(all).await.unwrap().1, 1400);
}

pub(super) async fn a_page_of_audit_events_is_bounded_by_bytes_g5(cluster: Fixture) {
    // Newest first: the last one is the longest.
    let events = (0..4_i64).map(|number| AuditEvent {
        user_agent: "x".repeat(1000 * usize::try_from(number + 1).unwrap()),
        ..event("user.created", 1000 + number, None, None)
    });
    cluster.store.append_audit(events.collect()).await.unwrap();
    let bounds = async |until, page| {
        let query = AuditQuery {
            until,
            ..AuditQuery::default()
        };
        let pages = Pages {
            page,
            items: 10,
            bytes: 3700,
        };
        let listing = Listing::Audit(query);
        let bounds = cluster.replica.bounds(listing, pages).await.unwrap();
        (bounds.offset, bounds.limit)
    };
    for (page, expected) in (0..).zip([(0, 1), (1, 1), (2, 2), (4, 0)]) {
        assert_eq!(bounds(None, page).await, expected);
    }
    assert_eq!(bounds(Some(UnixMillis(1003)), 1).await, (1, 2));
}
