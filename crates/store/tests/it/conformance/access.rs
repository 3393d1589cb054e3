use api::{
    meta_v1::ObjectReference,
    platform_v1::{AccessEvent, AuditEvent, access_event::Decision},
};
use domain::{clock::UnixMillis, id::Uid};
use store::{
    ACCESS_BYTES_ANONYMOUS, ACCESS_KEPT, ACCESS_KEPT_ANONYMOUS, ACCESS_KEPT_FOR, AccessQuery,
    EVENT_TEXT_BYTES, Listing, Operation, Pages, Transaction,
};

use crate::fixture::{Fixture, NOW, uid};

fn event(at: i64, decision: Decision, user: Option<Uid>, service: Option<Uid>) -> AccessEvent {
    let reference = |uid: Uid| ObjectReference {
        uid: uid.to_string(),
        ..ObjectReference::default()
    };
    AccessEvent {
        request_id: uid().to_string(),
        at: Some(UnixMillis(at).to_proto()),
        decision: decision.into(),
        user_ref: user.map(reference),
        service_ref: service.map(reference),
        count: 1,
        ..AccessEvent::default()
    }
}

pub(super) async fn access_events_are_found_newest_first(cluster: Fixture) {
    let (alice, web) = (uid(), uid());
    let events = vec![
        event(1000, Decision::Allowed, Some(alice), Some(web)),
        event(2000, Decision::Denied, Some(alice), Some(uid())),
        event(3000, Decision::Refused, None, Some(web)),
        event(3000, Decision::Denied, Some(uid()), Some(web)),
        event(4000, Decision::Refused, None, None),
    ];
    cluster.store.append_access(events.clone()).await.unwrap();
    cluster.store.append_access(Vec::new()).await.unwrap();
    let find = async |query: AccessQuery| {
        let limit = if query.limit == 0 { 100 } else { query.limit };
        let query = AccessQuery { limit, ..query };
        let (found, total) = cluster.replica.access(query).await.unwrap();
        let places: Vec<usize> = found
            .iter()
            .map(|found| events.iter().position(|event| event == found).unwrap())
            .collect();
        (places, total)
    };
    let all = AccessQuery::default;
    assert_eq!(find(all()).await, (vec![4, 3, 2, 1, 0], 5));
    let part = AccessQuery {
        offset: 1,
        limit: 2,
        ..all()
    };
    assert_eq!(find(part).await, (vec![3, 2], 5));
    let of_alice = AccessQuery {
        user: Some(alice),
        ..all()
    };
    assert_eq!(find(of_alice.clone()).await, (vec![1, 0], 2));
    let of_web = AccessQuery {
        service: Some(web),
        ..all()
    };
    assert_eq!(find(of_web.clone()).await, (vec![3, 2, 0], 3));
    let denied = Some(Decision::Denied);
    let denied_web = AccessQuery {
        decision: denied,
        ..of_web
    };
    assert_eq!(find(denied_web).await, (vec![3], 1));
    let early = AccessQuery {
        until: Some(UnixMillis(2000)),
        ..of_alice
    };
    assert_eq!(find(early).await, (vec![0], 1));
    let late = AccessQuery {
        since: Some(UnixMillis(3000)),
        ..all()
    };
    assert_eq!(find(late).await, (vec![4, 3, 2], 3));
}

pub(super) async fn of_access_events_the_newest_are_kept(cluster: Fixture) {
    let (store, alice) = (&cluster.store, Some(uid()));
    let old = NOW.saturating_sub(ACCESS_KEPT_FOR).0;
    store
        .append_access(vec![event(old - 1, Decision::Allowed, alice, None)])
        .await
        .unwrap();
    store
        .append_access(vec![event(old, Decision::Denied, alice, None)])
        .await
        .unwrap();
    store.collect(NOW).await.unwrap();
    let query = AccessQuery {
        limit: 10,
        ..AccessQuery::default()
    };
    let (found, total) = store.access(query.clone()).await.unwrap();
    assert_eq!(total, 1);
    assert_eq!(found[0].decision(), Decision::Denied);

    // One more than the limit.
    for _ in 0..ACCESS_KEPT / 1000 {
        let events = vec![event(NOW.0, Decision::Allowed, alice, None); 1000];
        store.append_access(events).await.unwrap();
    }
    assert_eq!(
        store.access(query.clone()).await.unwrap().1,
        u64::from(ACCESS_KEPT) + 1
    );
    store.collect(NOW).await.unwrap();
    assert_eq!(
        store.access(query.clone()).await.unwrap().1,
        u64::from(ACCESS_KEPT)
    );
    let denied = AccessQuery {
        decision: Some(Decision::Denied),
        ..query
    };
    assert_eq!(store.access(denied).await.unwrap().1, 0);
}

pub(super) async fn access_events_without_a_user_never_evict_those_of_users_s06(cluster: Fixture) {
    let (store, alice) = (&cluster.store, Some(uid()));
    let count = async |decision| {
        let query = AccessQuery {
            decision: Some(decision),
            limit: 1,
            ..AccessQuery::default()
        };
        store.access(query).await.unwrap().1
    };
    let of_alice = event(NOW.0, Decision::Allowed, alice, None);
    store.append_access(vec![of_alice]).await.unwrap();
    for _ in 0..=ACCESS_KEPT_ANONYMOUS / 1000 {
        let events = vec![event(NOW.0, Decision::Refused, None, None); 1000];
        store.append_access(events).await.unwrap();
    }
    store.collect(NOW).await.unwrap();
    let kept = u64::from(ACCESS_KEPT_ANONYMOUS);
    assert_eq!(count(Decision::Refused).await, kept);
    assert_eq!(count(Decision::Allowed).await, 1);

    // Long events are evicted by their size in bytes.
    let noise: String = (0..1000).map(|_| uid().to_string()).collect();
    let long = |number: usize| AccessEvent {
        path: noise[number..number + EVENT_TEXT_BYTES].to_owned(),
        ..event(NOW.0, Decision::Denied, None, None)
    };
    let number = 2 * ACCESS_BYTES_ANONYMOUS / 2048;
    for _ in 0..number / 512 {
        let events = (0..512).map(long).collect();
        store.append_access(events).await.unwrap();
    }
    let number = u64::from(number);
    assert_eq!(count(Decision::Denied).await, number);
    store.collect(NOW).await.unwrap();
    let left = count(Decision::Denied).await;
    assert!(left < number, "{left}");
    assert!(left > number / 4, "{left}");
    assert_eq!(count(Decision::Refused).await, 0, "older ones");
    assert_eq!(count(Decision::Allowed).await, 1);
}

pub(super) async fn texts_of_events_are_cut_s06(cluster: Fixture) {
    // A two-byte character crosses the limit.
    let long = format!("x{}", "\u{e9}".repeat(EVENT_TEXT_BYTES));
    let kept = format!("x{}", "\u{e9}".repeat((EVENT_TEXT_BYTES - 1) / 2));
    let access = AccessEvent {
        path: long.clone(),
        host: long.clone(),
        ..event(NOW.0, Decision::Refused, None, None)
    };
    cluster.store.append_access(vec![access]).await.unwrap();
    let audit = AuditEvent {
        uid: uid().to_string(),
        at: Some(NOW.to_proto()),
        user_agent: long.clone(),
        attrs: [("identifier".to_owned(), long)].into(),
        ..AuditEvent::default()
    };
    cluster
        .store
        .append_audit(vec![audit.clone()])
        .await
        .unwrap();
    let mut transaction = Transaction::at(NOW);
    transaction.push(Operation::Audit(audit));
    cluster.store.commit(transaction).await.unwrap();

    let query = AccessQuery {
        limit: 10,
        ..AccessQuery::default()
    };
    let (found, _) = cluster.store.access(query).await.unwrap();
    assert_eq!((&found[0].path, &found[0].host), (&kept, &kept));
    let query = store::AuditQuery {
        limit: 10,
        ..store::AuditQuery::default()
    };
    let (found, _) = cluster.store.audit(query).await.unwrap();
    assert_eq!(found.len(), 2);
    for event in found {
        assert_eq!(
            (&event.user_agent, &event.attrs["identifier"]),
            (&kept, &kept)
        );
    }
}

pub(super) async fn a_page_of_access_events_is_bounded_by_bytes_g5(cluster: Fixture) {
    let alice = uid();
    let user = |number: i64| (number != 2).then_some(alice);
    // Newest first: the last one is the longest.
    let events = (0..4_i64).map(|number| AccessEvent {
        path: "x".repeat(1000 * usize::try_from(number + 1).unwrap()),
        ..event(1000 + number, Decision::Denied, user(number), None)
    });
    cluster.store.append_access(events.collect()).await.unwrap();
    let bounds = async |user, page| {
        let query = AccessQuery {
            user,
            ..AccessQuery::default()
        };
        let pages = Pages {
            page,
            items: 10,
            bytes: 3700,
        };
        let listing = Listing::Access(query);
        let bounds = cluster.replica.bounds(listing, pages).await.unwrap();
        (bounds.offset, bounds.limit)
    };
    for (page, expected) in (0..).zip([(0, 1), (1, 1), (2, 2), (4, 0)]) {
        assert_eq!(bounds(None, page).await, expected);
    }
    assert_eq!(bounds(Some(alice), 1).await, (1, 2));
}
