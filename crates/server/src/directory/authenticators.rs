//! A cache of the Authenticators of Users. It serves hints about possible step-ups, never decisions.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api::core_v1::Authenticator;
use domain::{authenticator::MAX_PER_USER, clock::UnixMillis, id::Uid};
use store::{Store, StoreError};

use super::cache::Cache;
use crate::document::{index, load};

/// Maximum number of reads of a User's list per [`WINDOW`]. It bounds the load on the store if a client is denied
/// repeatedly.
const READS: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);

/// Cached lists, by the uid of the User.
pub(super) struct Authenticators {
    lists: Cache<Uid, List>,
    /// Number of changes to any Authenticator.
    changes: AtomicU64,
}

#[derive(Clone)]
struct List {
    all: Arc<[Authenticator]>,
    changes: u64,
    /// Time of the first of `reads`.
    since: UnixMillis,
    reads: u32,
}

impl Authenticators {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            lists: Cache::new(capacity),
            changes: AtomicU64::new(0),
        }
    }

    /// Records that Authenticators have changed.
    pub(super) fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns all Authenticators of a User, oldest first.
    pub(super) async fn of(
        &self,
        user: Uid,
        store: &dyn Store,
        now: UnixMillis,
    ) -> Result<Arc<[Authenticator]>, StoreError> {
        let changes = self.changes.load(Ordering::Acquire);
        let known = self.lists.get(&user);
        let recent = known.filter(|list| list.changes == changes || now.since(list.since) < WINDOW);
        let (since, reads) = match recent {
            Some(list) if list.changes == changes || list.reads >= READS => return Ok(list.all),
            Some(list) => (list.since, list.reads + 1),
            None => (now, 1),
        };
        let key = user.to_string();
        let (all, _) =
            load::by_index::<Authenticator>(store, index::USER, &key, MAX_PER_USER, now).await?;
        let all: Arc<[Authenticator]> = all.into_iter().map(|stored| stored.message).collect();
        let list = List {
            all: all.clone(),
            changes,
            since,
            reads,
        };
        self.lists.insert(user, list);
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use api::core_v1::User;
    use domain::{
        authenticator::{NewAuthenticator, new_authenticator},
        rng::SystemRng,
    };
    use store::{Expected, Operation, SecretWrite, Transaction};

    use super::*;
    use crate::document::codec;

    const NOW: UnixMillis = UnixMillis(1_795_305_600_000);

    /// Adds an Authenticator to the User.
    async fn add(store: &dyn Store, user: &User, number: usize) {
        let authenticator = new_authenticator(NewAuthenticator {
            uid: Uid::random(&SystemRng),
            name: format!("totp-{number}"),
            user,
            r#type: api::core_v1::authenticator::status::Type::Totp,
            display_name: String::new(),
            state: api::core_v1::authenticator::spec::State::Active,
            now: NOW,
        });
        let uid = authenticator.metadata.as_ref().unwrap().uid.parse();
        let mut transaction = Transaction::at(NOW);
        let document = codec::encode(uid.unwrap(), NOW, &authenticator, SecretWrite::Keep);
        transaction.push(Operation::Put(document, Expected::Absent));
        store.commit(transaction).await.unwrap();
    }

    #[tokio::test]
    async fn a_change_is_seen_at_once_and_many_are_no_burden() {
        let store = store::testing::sqlite();
        let uid = Uid::random(&SystemRng);
        let user = User {
            metadata: Some(api::meta_v1::Metadata {
                uid: uid.to_string(),
                name: "alice".to_owned(),
                ..Default::default()
            }),
            ..User::default()
        };
        let lists = Authenticators::new(64);
        let count = async |now| lists.of(uid, &*store, now).await.unwrap().len();
        for number in 0..12 {
            assert_eq!(count(NOW).await, number.min(9));
            add(&*store, &user, number).await;
            // No change was noted yet.
            assert_eq!(count(NOW).await, number.min(9));
            lists.note_change();
        }
        assert_eq!(count(NOW.saturating_add(WINDOW)).await, 12);
    }
}
