//! Tests of the transfer between two stores.

use std::sync::Arc;

use api::{
    core_v1::{
        Authenticator, User,
        authenticator::{Spec, Status, spec::State},
    },
    meta_v1::{Metadata, ObjectReference},
};
use domain::rng::SystemRng;
use store::NewDocument;
use zeroize::Zeroizing;

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_305_600_000);

/// The stored form of the server's record.
#[derive(Clone, PartialEq, prost::Message)]
struct Factors {
    #[prost(uint32, tag = "1")]
    failures: u32,
    #[prost(int64, optional, tag = "2")]
    last_failed_at: Option<i64>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    recovery_codes: Vec<Vec<u8>>,
    #[prost(int64, optional, tag = "4")]
    recovery_made_at: Option<i64>,
}

fn factors(failures: u32, codes: &[u8]) -> Factors {
    Factors {
        failures,
        last_failed_at: (failures > 0).then_some(NOW.0),
        recovery_codes: codes.iter().map(|code| vec![*code]).collect(),
        recovery_made_at: Some(1),
    }
}

fn new_uid() -> Uid {
    Uid::random(&SystemRng)
}

async fn put(store: &dyn Store, document: NewDocument) {
    let mut transaction = Transaction::at(NOW);
    transaction.push(Operation::Put(document, Expected::Absent));
    store.commit(transaction).await.unwrap();
}

async fn put_user(store: &dyn Store, uid: Uid, name: &str) {
    let user = User {
        metadata: Some(Metadata {
            name: name.to_owned(),
            uid: uid.to_string(),
            ..Metadata::default()
        }),
        ..User::default()
    };
    put(store, codec::encode(uid, NOW, &user, SecretWrite::Keep)).await;
}

async fn put_factors(store: &dyn Store, user: Uid, factors: &Factors) {
    let document = NewDocument {
        kind: Kind::SecondFactors,
        uid: user,
        name: user.to_string(),
        created_at: NOW,
        expires_at: None,
        body: prost::Message::encode_to_vec(factors),
        indexes: Vec::new(),
        secret: SecretWrite::Keep,
    };
    put(store, document).await;
}

async fn factors_of(store: &dyn Store, user: Uid) -> Option<Factors> {
    let document = store.get(Kind::SecondFactors, user, NOW).await.unwrap();
    document.map(|document| prost::Message::decode(document.body.as_slice()).unwrap())
}

/// An Authenticator with a secret.
struct Made {
    uid: Uid,
    user: Uid,
    device: Option<Uid>,
    state: State,
    uses: u32,
    secret: &'static str,
}

impl Made {
    fn of(user: Uid) -> Self {
        Self {
            uid: new_uid(),
            user,
            device: None,
            state: State::Active,
            uses: 3,
            secret: "secret",
        }
    }

    async fn put_into(&self, store: &dyn Store) {
        let reference = |uid: &Uid| ObjectReference {
            uid: uid.to_string(),
            ..ObjectReference::default()
        };
        let authenticator = Authenticator {
            metadata: Some(Metadata {
                name: format!("totp-{}", self.uid),
                uid: self.uid.to_string(),
                ..Metadata::default()
            }),
            spec: Some(Spec {
                state: self.state.into(),
                ..Spec::default()
            }),
            status: Some(Status {
                user_ref: Some(reference(&self.user)),
                device_ref: self.device.as_ref().map(reference),
                successful_authentications: self.uses,
                is_registered: true,
                ..Status::default()
            }),
            ..Authenticator::default()
        };
        let secret = SecretWrite::Set(Zeroizing::new(self.secret.as_bytes().to_vec()));
        put(store, codec::encode(self.uid, NOW, &authenticator, secret)).await;
    }

    /// Returns state, uses and secret.
    async fn found_in(&self, store: &dyn Store) -> Option<(State, u32, Vec<u8>)> {
        let document = store
            .get(Kind::Authenticator, self.uid, NOW)
            .await
            .unwrap()?;
        let found = codec::decode::<Authenticator>(&document).unwrap().message;
        let secret = store.secret(Kind::Authenticator, self.uid).await.unwrap();
        Some((
            found.spec.unwrap().state(),
            found.status.unwrap().successful_authentications,
            secret.unwrap().to_vec(),
        ))
    }
}

async fn e05_authenticators(former: Arc<dyn Store>, restored: Arc<dyn Store>) {
    let (former, restored) = (&*former, &*restored);
    let (alice, late) = (new_uid(), new_uid());
    put_user(former, alice, "alice").await;
    put_user(restored, alice, "alice").await;
    put_user(former, late, "late").await;

    let removed = Made::of(alice);
    removed.put_into(restored).await;
    let used = Made::of(alice);
    used.put_into(restored).await;
    let used = Made {
        uses: 8,
        secret: "other",
        ..used
    };
    used.put_into(former).await;
    let rejected = Made::of(alice);
    rejected.put_into(restored).await;
    let rejected = Made {
        state: State::Rejected,
        ..rejected
    };
    rejected.put_into(former).await;
    let added = Made::of(alice);
    added.put_into(former).await;
    let of_nobody = Made::of(late);
    of_nobody.put_into(former).await;
    let of_no_device = Made {
        device: Some(new_uid()),
        ..Made::of(alice)
    };
    of_no_device.put_into(former).await;

    let carried = carry_over(former, restored, NOW, NOW).await.unwrap();
    assert_eq!(
        carried.to_string(),
        "Revocations since the backup were carried over: 2 Authenticators changed, 1 Authenticator removed."
    );
    assert_eq!(removed.found_in(restored).await, None);
    let other = (State::Active, 8, b"other".to_vec());
    assert_eq!(used.found_in(restored).await, Some(other));
    let kept = |state| Some((state, 3, b"secret".to_vec()));
    assert_eq!(rejected.found_in(restored).await, kept(State::Rejected));
    assert_eq!(added.found_in(restored).await, kept(State::Active));
    assert_eq!(of_nobody.found_in(restored).await, None);
    assert_eq!(of_no_device.found_in(restored).await, None);
    let again = carry_over(former, restored, NOW, NOW).await.unwrap();
    assert!(again.to_string().ends_with("none."), "{again}");
}

#[tokio::test]
async fn e05_authenticators_are_as_they_are_now_from_sqlite_to_postgres() {
    e05_authenticators(store::testing::sqlite(), store::testing::postgres().await).await;
}

#[tokio::test]
async fn e05_authenticators_are_as_they_are_now_from_postgres_to_sqlite() {
    e05_authenticators(store::testing::postgres().await, store::testing::sqlite()).await;
}

async fn b02_b20_second_factors(former: Arc<dyn Store>, restored: Arc<dyn Store>) {
    let (former, restored) = (&*former, &*restored);
    let [blocked, used, begun, reset, late] = std::array::from_fn(|_| new_uid());
    for (user, name) in [
        (blocked, "blocked"),
        (used, "used"),
        (begun, "begun"),
        (reset, "reset"),
    ] {
        put_user(former, user, name).await;
        put_user(restored, user, name).await;
    }
    put_user(former, late, "late").await;
    put_factors(restored, blocked, &factors(1, &[])).await;
    put_factors(former, blocked, &factors(7, &[])).await;
    put_factors(restored, used, &factors(0, &[1, 2])).await;
    put_factors(former, used, &factors(0, &[2])).await;
    put_factors(former, begun, &factors(5, &[9])).await;
    put_factors(restored, reset, &factors(0, &[1, 2])).await;
    put_factors(former, late, &factors(0, &[1])).await;

    let carried = carry_over(former, restored, NOW, NOW).await.unwrap();
    assert_eq!(
        carried.to_string(),
        "Revocations since the backup were carried over: 2 SecondFactors changed, 1 SecondFactors removed."
    );
    let of = |user| factors_of(restored, user);
    assert_eq!(of(blocked).await, Some(factors(7, &[])));
    assert_eq!(of(used).await, Some(factors(0, &[2])));
    assert_eq!(of(begun).await, Some(factors(5, &[9])));
    assert_eq!(of(reset).await, None);
    assert_eq!(of(late).await, None);

    // If the used codes are unknown, the delay after failed guesses still applies.
    assert_eq!(
        second_factors::void_recovery_codes(restored, NOW)
            .await
            .unwrap(),
        2
    );
    assert_eq!(of(begun).await, Some(factors(5, &[])));
    assert_eq!(of(used).await, Some(factors(0, &[])));
}

#[tokio::test]
async fn b02_b20_failed_attempts_and_used_codes_are_carried_over_from_sqlite_to_postgres() {
    b02_b20_second_factors(store::testing::sqlite(), store::testing::postgres().await).await;
}

#[tokio::test]
async fn b02_b20_failed_attempts_and_used_codes_are_carried_over_from_postgres_to_sqlite() {
    b02_b20_second_factors(store::testing::postgres().await, store::testing::sqlite()).await;
}

#[test]
fn the_report_of_carried_over_revocations_is_a_sentence() {
    let mut carried = Carried::default();
    let nothing = "Revocations since the backup were carried over: none.";
    assert_eq!(carried.to_string(), nothing);
    carried.removed.insert(Kind::Session, 2);
    carried.changed.insert(Kind::Credential, 1);
    carried.changed.insert(Kind::SecondFactors, 2);
    assert_eq!(
        carried.to_string(),
        "Revocations since the backup were carried over: 1 Credential changed, 2 SecondFactors changed, 2 Sessions \
         removed."
    );
}
