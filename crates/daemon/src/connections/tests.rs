use std::net::IpAddr;

use super::*;

fn client(address: &str) -> Holder {
    Holder::Client(address.parse::<IpAddr>().unwrap().into())
}

fn proxy(address: &str) -> Holder {
    Holder::Proxy(address.parse::<IpAddr>().unwrap().into())
}

fn bounds(total: usize, per_address: usize) -> Arc<Connections> {
    Connections::new("test", Bounds { total, per_address })
}

/// Returns true if the connection was asked to close. The request is consumed.
async fn is_closed(slot: &Slot) -> bool {
    let closing = slot.activity().closing();
    tokio::time::timeout(Duration::ZERO, closing).await.is_ok()
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

fn admit_many(connections: &Arc<Connections>, holder: Holder, count: usize) -> Vec<Slot> {
    let slots = (0..count).map(|_| connections.admit(holder).unwrap());
    slots.collect()
}

#[tokio::test(start_paused = true)]
async fn an_address_holds_no_more_than_its_share_s02() {
    let connections = bounds(100, 10);
    let mut slots = Vec::new();
    for host in 0..10 {
        slots.push(
            connections
                .admit(client(&format!("2001:db8::{host}")))
                .unwrap(),
        );
        pass(1).await;
    }
    let newest = connections.admit(client("2001:db8::ffff")).unwrap();
    assert_eq!(connections.open(), 10);
    assert!(is_closed(&slots[0]).await, "the longest idle one");
    for slot in &slots[1..] {
        assert!(!is_closed(slot).await);
    }
    assert!(!is_closed(&newest).await);
}

#[tokio::test(start_paused = true)]
async fn silent_connections_do_not_keep_others_out_s02() {
    let connections = bounds(50, 50);
    let silent = admit_many(&connections, client("127.0.0.1"), 50);
    let other = connections.admit(client("127.0.0.2")).unwrap();
    assert!(!is_closed(&other).await);
    assert_eq!(connections.open(), 50);
    let mut closed = 0;
    for slot in &silent {
        closed += usize::from(is_closed(slot).await);
    }
    assert_eq!(closed, 1);
    assert!(!connections.is_refusing());
}

#[tokio::test(start_paused = true)]
async fn the_address_that_holds_most_gives_first_s02() {
    let connections = bounds(4, 4);
    let single = connections.admit(client("192.0.2.1")).unwrap();
    pass(60).await;
    let many = admit_many(&connections, client("192.0.2.2"), 3);
    pass(60).await;
    connections.admit(client("192.0.2.3")).unwrap();
    assert!(!is_closed(&single).await, "idle for longer, but alone");
    let mut closed = 0;
    for slot in &many {
        closed += usize::from(is_closed(slot).await);
    }
    assert_eq!(closed, 1);
}

#[tokio::test(start_paused = true)]
async fn connections_without_a_request_go_before_kept_ones_s02() {
    let connections = bounds(3, 3);
    let kept = connections.admit(client("192.0.2.1")).unwrap();
    drop(kept.activity().open());
    pass(60).await;
    let silent = connections.admit(client("192.0.2.2")).unwrap();
    pass(3).await;
    let young = connections.admit(client("192.0.2.3")).unwrap();
    let first = connections.admit(client("192.0.2.4")).unwrap();
    assert!(is_closed(&silent).await);
    assert!(!is_closed(&kept).await && !is_closed(&young).await);
    let second = connections.admit(client("192.0.2.5")).unwrap();
    assert!(is_closed(&kept).await, "handshakes have some time");
    for slot in [&young, &first, &second] {
        assert!(!is_closed(slot).await);
    }
}

#[tokio::test(start_paused = true)]
async fn connections_of_a_proxy_have_no_share_and_go_last() {
    let connections = bounds(4, 1);
    let behind = admit_many(&connections, proxy("10.0.0.1"), 3);
    pass(60).await;
    let direct = connections.admit(client("192.0.2.1")).unwrap();
    let other = connections.admit(client("192.0.2.2")).unwrap();
    assert!(is_closed(&direct).await);
    drop(other);
    for slot in &behind {
        assert!(!is_closed(slot).await);
    }
    let moved = connections.admit(proxy("10.0.0.1")).unwrap();
    let moved = moved.held_by(client("192.0.2.9")).unwrap();
    assert_eq!(connections.open(), 4);
    drop(moved);
    assert_eq!(connections.open(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_is_refused_only_if_every_connection_has_a_request_s02() {
    let connections = bounds(2, 2);
    let slots = admit_many(&connections, client("192.0.2.1"), 2);
    let requests: Vec<_> = slots.iter().map(|slot| slot.activity().open()).collect();
    assert!(connections.admit(client("192.0.2.1")).is_none());
    assert!(!connections.is_refusing(), "its own share");
    assert!(connections.admit(client("192.0.2.2")).is_none());
    assert!(connections.is_refusing());
    pass(REFUSAL_SHOWS.as_secs()).await;
    assert!(!connections.is_refusing());
    drop((slots, requests));
    assert!(connections.admit(client("192.0.2.2")).is_some());
}

#[tokio::test(start_paused = true)]
async fn connections_that_end_slowly_are_bounded_s02() {
    let connections = bounds(8, 8);
    let mut slots = Vec::new();
    while let Some(slot) = connections.admit(client("192.0.2.1")) {
        slots.push(slot);
        assert!(slots.len() < 1000);
    }
    assert_eq!(connections.open(), 8);
    drop(slots);
    assert_eq!(connections.open(), 0);
    pass(1).await;
    assert!(connections.admit(client("192.0.2.1")).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_addresses_is_searched_in_bounded_time() {
    let connections = bounds(20_000, 5_000);
    let mut slots = Vec::new();
    for index in 0..21_000_u32 {
        let address = IpAddr::from(index.to_be_bytes());
        let slot = connections.admit(Holder::Client(address.into())).unwrap();
        slots.push(slot);
        if index >= 20_000 {
            // The client closes a connection when it is asked to.
            slots.swap_remove(0);
        }
    }
    assert!(connections.open() <= 20_000);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_make_room_when_file_descriptors_are_out_s02() {
    let connections = bounds(100, 100);
    let slots = admit_many(&connections, client("192.0.2.1"), 40);
    let request = slots[0].activity().open();
    connections.not_accepted(&io::ErrorKind::ConnectionAborted.into());
    assert_eq!(connections.open(), 40);
    connections.not_accepted(&io::Error::from_raw_os_error(24));
    assert_eq!(connections.open(), 24);
    assert!(!is_closed(&slots[0]).await);
    drop((slots, request));
    assert_eq!(connections.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn unread_streams_are_freed_for_others_s02() {
    let connections = bounds(10, 10);
    let greedy: Vec<_> = (1..=5)
        .map(|host| {
            connections
                .admit(client(&format!("127.0.0.{host}")))
                .unwrap()
        })
        .collect();
    let mut streams = Vec::new();
    for slot in &greedy {
        while let Ok(stream) = slot.share().begin() {
            streams.push(stream);
        }
    }
    assert_eq!(streams.len(), 10 * STREAMS_PER_CONNECTION);
    pass(10).await;
    let other = connections.admit(client("127.0.0.6")).unwrap();
    assert!(matches!(other.share().begin(), Err(Limit::Streams)));
    let mut closed = 0;
    for slot in &greedy {
        closed += usize::from(is_closed(slot).await);
    }
    assert_eq!(closed, 1);
    assert!(!is_closed(&other).await);
}
