//! Metadata that is valid, invalid, outdated, large or missing, on both stores.

use std::{path::Path, str::FromStr as _};

use authn::mds::testing::Publisher;
use domain::{clock::ManualClock, rng::SystemRng};
use rstest::rstest;
use serde_json::{Value, json};
use store::{Store, testing};

use super::*;
use crate::{Context, Domain, directory::Limits};

/// 2026-01-01 00:00 UTC.
const START: UnixMillis = UnixMillis(1_767_225_600_000);
const MODEL: &str = "84c6ccb9-ab1d-b374-750b-2367ff6f3a1f";

fn document(no: u64, status: &str) -> Value {
    json!({
        "no": no,
        "nextUpdate": "2026-02-01",
        "entries": [{
            "aaguid": MODEL,
            "metadataStatement": {"description": "Key 5", "keyProtection": ["hardware", "tee"]},
            "statusReports": [{"status": status}],
        }],
    })
}

/// A replica that reads the metadata of `publisher` from a file.
struct Replica {
    ctx: Context,
    clock: Arc<ManualClock>,
}

impl Replica {
    async fn on(store: Arc<dyn Store>, publisher: &Publisher, path: Option<&Path>) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let ctx = Context::open(
            store,
            clock.clone(),
            Arc::new(SystemRng),
            Domain::from_str("localhost").unwrap(),
            Limits::default(),
        );
        let ctx = ctx.await.unwrap().with_metadata(Source {
            location: path.map(|path| Location::File(path.to_owned())),
            anchors: vec![publisher.root.clone()],
            ..Source::default()
        });
        Self { ctx, clock }
    }

    async fn check_for_update(&self) -> MetadataServiceState {
        self.ctx
            .metadata
            .check_for_update(self.ctx.metadata_ports())
            .await;
        self.ctx.metadata.state(self.ctx.now())
    }

    /// Like [`Self::check_for_update`], after the time of the next attempt has come.
    async fn check_again(&self) -> MetadataServiceState {
        self.clock.advance(ASK);
        self.check_for_update().await
    }

    fn is_compromised(&self) -> bool {
        let model = AttestedModel::Aaguid(MODEL.parse().unwrap());
        self.ctx.metadata.verdict(&model, self.ctx.now()) == Verdict::Compromised
    }
}

#[tokio::test]
async fn w39c_metadata_read_by_one_replica_are_used_by_all_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blob.jwt");
    let publisher = Publisher::fido();
    let store = testing::sqlite();
    let reads = Replica::on(store.clone(), &publisher, Some(&path)).await;
    // The file does not exist. The replica reports this and has no metadata.
    let state = reads.check_for_update().await;
    assert_eq!(state.state(), State::None);
    assert!(
        state.last_error.contains("blob.jwt"),
        "{}",
        state.last_error
    );
    std::fs::write(&path, publisher.publish(&document(7, "FIDO_CERTIFIED"))).unwrap();
    let state = reads.check_again().await;
    assert_eq!(
        (state.state(), state.number, state.entries),
        (State::Current, 7, 1)
    );
    assert_eq!(state.last_error, "");
    // Another replica reads no file. A restarted replica finds that the file is gone. Both use the stored metadata.
    let other = Replica::on(store.clone(), &publisher, None).await;
    assert_eq!(other.check_for_update().await.number, 7);
    std::fs::remove_file(&path).unwrap();
    let restarted = Replica::on(store, &publisher, Some(&path)).await;
    let state = restarted.check_for_update().await;
    assert_eq!((state.state(), state.number), (State::Current, 7));
    assert!(!state.last_error.is_empty());
    // A replica that trusts another authority does not use the stored metadata.
    let distrusts = Replica::on(restarted.ctx.store.clone(), &Publisher::fido(), None).await;
    let state = distrusts.check_for_update().await;
    assert_eq!(state.state(), State::None);
    assert!(!state.last_error.is_empty());
}

#[tokio::test]
async fn metadata_of_another_publisher_need_its_name_g14() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blob.jwt");
    let publisher = Publisher::of_name("mds.example.com");
    std::fs::write(&path, publisher.publish(&document(7, "FIDO_CERTIFIED"))).unwrap();
    let mut replica = Replica::on(testing::sqlite(), &publisher, Some(&path)).await;
    let state = replica.check_for_update().await;
    assert_eq!(state.state(), State::None);
    assert!(state.last_error.contains("name"), "{}", state.last_error);
    replica.ctx = replica.ctx.with_metadata(Source {
        location: Some(Location::File(path)),
        anchors: vec![publisher.root.clone()],
        publisher: "mds.example.com".to_owned(),
    });
    let state = replica.check_for_update().await;
    assert_eq!((state.state(), state.number), (State::Current, 7));
}

#[tokio::test]
async fn metadata_of_a_former_authority_do_not_block_new_ones() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blob.jwt");
    let store = testing::sqlite();
    let former = Publisher::fido();
    std::fs::write(&path, former.publish(&document(700, "REVOKED"))).unwrap();
    let before = Replica::on(store.clone(), &former, Some(&path)).await;
    assert_eq!(before.check_for_update().await.number, 700);

    // The Cluster now trusts another authority, which has its own sequence of numbers.
    let present = Publisher::fido();
    std::fs::write(&path, present.publish(&document(3, "FIDO_CERTIFIED"))).unwrap();
    let other = Replica::on(store.clone(), &present, None).await;
    let state = other.check_for_update().await;
    assert_eq!((state.state(), state.number), (State::None, 0));
    assert_ne!(state.last_error, "");
    let after = Replica::on(store.clone(), &present, Some(&path)).await;
    let state = after.check_for_update().await;
    assert_eq!((state.state(), state.number), (State::Current, 3));
    assert_eq!(state.last_error, "");
    assert!(!after.is_compromised());
    // The new metadata is stored. From now on, a lower number of the same authority is outdated.
    let state = other.check_for_update().await;
    assert_eq!((state.number, state.last_error), (3, String::new()));
    std::fs::write(&path, present.publish(&document(2, "REVOKED"))).unwrap();
    assert_eq!(after.check_again().await.number, 3);

    // Stored metadata that cannot be read is replaced, too.
    let damaged = NewDocument {
        body: vec![0xff],
        ..new_document(other.ctx.new_uid(), &Record::default(), Vec::new(), START)
    };
    let stored = stored_document(other.ctx.metadata_ports(), START)
        .await
        .unwrap()
        .unwrap();
    let mut transaction = Transaction::at(START);
    transaction.push(Operation::Put(
        NewDocument {
            uid: stored.uid,
            ..damaged
        },
        Expected::Revision(stored.revision),
    ));
    store.commit(transaction).await.unwrap();
    std::fs::write(&path, present.publish(&document(4, "FIDO_CERTIFIED"))).unwrap();
    let state = after.check_again().await;
    assert_eq!((state.number, state.last_error), (4, String::new()));
}

#[rstest]
#[case::b15_older("Older", |publisher: &Publisher| publisher.publish(&document(6, "FIDO_CERTIFIED")).into_bytes())]
#[case::b15_of_somebody_else("Signer", |_: &Publisher| Publisher::fido().publish(&document(8, "REVOKED")).into_bytes())]
#[case::b15_damaged("Signature", |publisher: &Publisher| {
    let mut blob = publisher.publish(&document(8, "REVOKED")).into_bytes();
    let place = blob.len() - 40;
    blob[place] = if blob[place] == b'A' { b'B' } else { b'A' };
    blob
})]
#[case::b15_no_blob("Malformed", |_: &Publisher| b"<html>".to_vec())]
#[case::b15_too_large("TooLarge", |_: &Publisher| vec![b'a'; 50 << 20])]
#[case::b15_a_model_twice("Twice", |publisher: &Publisher| {
    let mut twice = document(8, "REVOKED");
    let entry = twice["entries"][0].clone();
    twice["entries"].as_array_mut().unwrap().push(entry);
    publisher.publish(&twice).into_bytes()
})]
#[tokio::test]
async fn invalid_metadata_change_nothing(
    #[case] why: &str,
    #[case] bad: fn(&Publisher) -> Vec<u8>,
) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blob.jwt");
    let publisher = Publisher::fido();
    let replica = Replica::on(testing::sqlite(), &publisher, Some(&path)).await;
    std::fs::write(&path, publisher.publish(&document(7, "FIDO_CERTIFIED"))).unwrap();
    replica.check_for_update().await;
    std::fs::write(&path, bad(&publisher)).unwrap();
    let state = replica.check_again().await;
    assert_eq!((state.state(), state.number), (State::Current, 7), "{why}");
    assert!(!state.last_error.is_empty(), "{why}");
    assert!(!replica.is_compromised());
    // The next valid metadata is accepted again.
    std::fs::write(&path, publisher.publish(&document(8, "REVOKED"))).unwrap();
    let state = replica.check_again().await;
    assert_eq!((state.number, state.last_error.as_str()), (8, ""), "{why}");
    assert!(replica.is_compromised());
}

#[tokio::test]
async fn b15_overdue_metadata_stay_in_use_with_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blob.jwt");
    let publisher = Publisher::fido();
    let replica = Replica::on(testing::sqlite(), &publisher, Some(&path)).await;
    std::fs::write(&path, publisher.publish(&document(7, "REVOKED"))).unwrap();
    replica.check_for_update().await;
    // Metadata is current until the end of the day in `nextUpdate`.
    replica.clock.advance(DAY * 31);
    assert_eq!(replica.check_for_update().await.state(), State::Current);
    replica.clock.advance(DAY);
    assert_eq!(replica.check_for_update().await.state(), State::Stale);
    assert!(replica.is_compromised());
}

async fn racing(store: Arc<dyn Store>) {
    let publisher = Publisher::fido();
    let directory = tempfile::tempdir().unwrap();
    let mut replicas = Vec::new();
    for number in 1..=4_u64 {
        let path = directory.path().join(number.to_string());
        std::fs::write(&path, publisher.publish(&document(number, "REVOKED"))).unwrap();
        let replica = Replica::on(store.clone(), &publisher, Some(&path)).await;
        replicas.push(Arc::new(replica));
    }
    let all: Vec<_> = replicas
        .iter()
        .map(|replica| {
            let replica = replica.clone();
            tokio::spawn(async move { replica.check_for_update().await })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    // A replica that lost the race adopts the stored metadata. No replica returns to a lower number.
    let mut highest = 0;
    for _ in 0..2 {
        for replica in &replicas {
            let number = replica.check_again().await.number;
            assert!(number >= highest, "{number} after {highest}");
            highest = number;
        }
    }
    assert_eq!(highest, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn b15_replicas_that_read_different_ones_end_with_the_latest() {
    racing(testing::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b15_replicas_on_postgresql_end_with_the_latest() {
    racing(testing::postgres().await).await;
}
