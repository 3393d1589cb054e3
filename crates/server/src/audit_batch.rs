//! Batches of audit events that are too frequent for one write each: refusals, and grants of unlimited Credentials.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    mem,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use api::{
    meta_v1::ObjectReference,
    platform_v1::{AuditEvent, audit_event::Outcome},
};
use domain::{address_prefix::AddressPrefix, clock::UnixMillis, id::Uid};
use store::{Store, StoreError};

use crate::{limit::Limit, row_budget::RowBudget};

/// The maximum number of different events between two flushes. Further events omit the details of their clients.
const MOST: usize = 4096;
/// The maximum number of different refusals that wait to be written, for Users and for unauthenticated callers each.
/// Further refusals are counted together.
const MOST_REFUSALS: usize = 1024;
/// Maximum rows about refusals per minute, without authentication: of one address prefix, and in total.
const ANONYMOUS_ROWS: (u32, u32) = (60, 240);
/// Maximum rows about refusals per minute, with authentication: of one User, and in total.
const USER_ROWS: (u32, u32) = (60, 600);
/// Maximum rows per minute about refusals that are counted together.
const OTHER_ROWS: u32 = 30;
/// The attribute of a row that counts refusals of many callers.
const OTHERS: &str = "others";

/// Audit events that are not written yet. Equal events are merged and counted. A crash loses them.
///
/// Neither the User-Agent nor the part of the address below the prefix makes two events different, so clients cannot
/// add rows with them. The rows about refusals are limited per minute. Further refusals wait and are counted.
pub struct AuditBatch {
    waiting: Mutex<Waiting>,
    anonymous_rows: RowBudget<Option<AddressPrefix>>,
    user_rows: RowBudget<Uid>,
    other_rows: RowBudget<()>,
}

#[derive(Default)]
struct Waiting {
    done: HashMap<Key, AuditEvent>,
    /// Refusals of Users.
    refused: HashMap<Key, AuditEvent>,
    /// Refusals of unauthenticated callers. They are separate, so that they take no room from Users.
    anonymous: HashMap<Key, AuditEvent>,
    /// Refusals that are counted together, by type and reason. The program defines both, so the map is bounded.
    others: HashMap<(String, String), AuditEvent>,
}

/// The parts that make two events equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    event_type: String,
    outcome: i32,
    reason: String,
    actor: String,
    user: String,
    resource: String,
    prefix: Option<AddressPrefix>,
    /// Empty if the caller is not authenticated, because such a caller can choose the attributes.
    attrs: BTreeMap<String, String>,
}

/// The party to which a row is charged.
enum Source {
    Anonymous(Option<AddressPrefix>),
    User(Uid),
}

impl Default for AuditBatch {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            anonymous_rows: RowBudget::new(ANONYMOUS_ROWS.0, ANONYMOUS_ROWS.1),
            user_rows: RowBudget::new(USER_ROWS.0, USER_ROWS.1),
            other_rows: RowBudget::new(OTHER_ROWS, OTHER_ROWS),
        }
    }
}

impl AuditBatch {
    pub(crate) fn add(&self, event: AuditEvent) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.add(Key::of(&event), event);
    }

    /// Writes the waiting events. Of the refusals, it writes as many rows as the limit of this minute allows. The rest
    /// waits for the next flush.
    ///
    /// # Errors
    /// Returns the [`StoreError`] if the store fails. The events then stay in the batch.
    pub async fn flush(&self, store: &dyn Store, now: UnixMillis) -> Result<(), StoreError> {
        let may_write = |key: &Key| self.may_write(key, now);
        self.write(store, may_write, || self.other_rows.take((), now))
            .await
    }

    /// Writes all waiting events, before the process ends.
    ///
    /// # Errors
    /// Returns the [`StoreError`] if the store fails. The events then stay in the batch.
    pub async fn finish(&self, store: &dyn Store) -> Result<(), StoreError> {
        self.write(store, |_| true, || true).await
    }

    async fn write(
        &self,
        store: &dyn Store,
        may_write: impl Fn(&Key) -> bool,
        may_write_other: impl Fn() -> bool,
    ) -> Result<(), StoreError> {
        let mut taken = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            Waiting {
                done: mem::take(&mut waiting.done),
                refused: waiting
                    .refused
                    .extract_if(|key, _| may_write(key))
                    .collect(),
                anonymous: waiting
                    .anonymous
                    .extract_if(|key, _| may_write(key))
                    .collect(),
                others: waiting
                    .others
                    .extract_if(|_, _| may_write_other())
                    .collect(),
            }
        };
        let refused = taken.refused.values().chain(taken.anonymous.values());
        let all = taken
            .done
            .values()
            .chain(refused)
            .chain(taken.others.values());
        let events: Vec<AuditEvent> = all.cloned().collect();
        if events.is_empty() {
            return Ok(());
        }
        let written = store.append_audit(events).await;
        if written.is_err() {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let refused = taken.refused.drain().chain(taken.anonymous.drain());
            let kept = taken.done.drain().chain(refused);
            kept.for_each(|(key, event)| waiting.add(key, event));
            for (key, event) in taken.others {
                fold(&mut waiting.others, key, event);
            }
        }
        written
    }

    fn may_write(&self, key: &Key, now: UnixMillis) -> bool {
        match key.source() {
            Source::Anonymous(prefix) => {
                let may = self.anonymous_rows.take(prefix, now);
                if !may {
                    Limit::RefusalRows.reached_by(prefix);
                }
                may
            }
            Source::User(user) => {
                let may = self.user_rows.take(user, now);
                if !may {
                    Limit::RefusalRows.reached(&user);
                }
                may
            }
        }
    }
}

impl Waiting {
    fn add(&mut self, key: Key, event: AuditEvent) {
        if event.outcome() == Outcome::Refused {
            self.add_refusal(key, event);
        } else {
            self.add_done(key, event);
        }
    }

    fn add_refusal(&mut self, key: Key, event: AuditEvent) {
        let batch = match key.source() {
            Source::User(_) => &mut self.refused,
            Source::Anonymous(_) => &mut self.anonymous,
        };
        if batch.len() < MOST_REFUSALS || batch.contains_key(&key) {
            fold(batch, key, event);
            return;
        }
        let others = AuditEvent {
            uid: event.uid,
            at: event.at,
            r#type: event.r#type,
            outcome: event.outcome,
            reason: event.reason,
            count: event.count,
            attrs: BTreeMap::from([(OTHERS.to_owned(), "true".to_owned())]),
            ..AuditEvent::default()
        };
        let key = (others.r#type.clone(), others.reason.clone());
        fold(&mut self.others, key, others);
    }

    fn add_done(&mut self, mut key: Key, mut event: AuditEvent) {
        let batch = &mut self.done;
        if batch.len() >= MOST && !batch.contains_key(&key) {
            event.ip_address.clear();
            event.user_agent.clear();
            event.attrs.clear();
            key = Key::of(&event);
            if batch.len() >= 2 * MOST && !batch.contains_key(&key) {
                event.actor_ref = None;
                event.user_ref = None;
                event.resource_ref = None;
                key = Key::of(&event);
            }
        }
        fold(batch, key, event);
    }
}

/// Merges `event` into an equal one. Where they differ, the values of the newer event apply.
fn fold<K: Eq + Hash>(batch: &mut HashMap<K, AuditEvent>, key: K, event: AuditEvent) {
    match batch.get_mut(&key) {
        Some(known) => {
            known.count += event.count;
            known.at = event.at;
            known.request_id = event.request_id;
            known.ip_address = event.ip_address;
            known.user_agent = event.user_agent;
            known.attrs = event.attrs;
        }
        None => {
            batch.insert(key, event);
        }
    }
}

impl Key {
    fn of(event: &AuditEvent) -> Self {
        let uid = |reference: &Option<ObjectReference>| {
            reference
                .as_ref()
                .map(|reference| reference.uid.clone())
                .unwrap_or_default()
        };
        let is_known = event.user_ref.is_some() || event.actor_ref.is_some();
        let address: Option<IpAddr> = event.ip_address.parse().ok();
        Self {
            event_type: event.r#type.clone(),
            outcome: event.outcome,
            reason: event.reason.clone(),
            actor: uid(&event.actor_ref),
            user: uid(&event.user_ref),
            resource: uid(&event.resource_ref),
            prefix: address.map(AddressPrefix::from),
            attrs: if is_known {
                event.attrs.clone()
            } else {
                BTreeMap::new()
            },
        }
    }

    fn source(&self) -> Source {
        match self.user.parse() {
            Ok(user) => Source::User(user),
            Err(_) => Source::Anonymous(self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use store::AuditQuery;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn refusal(address: &str, user_agent: &str) -> AuditEvent {
        AuditEvent {
            r#type: "api.called".to_owned(),
            outcome: Outcome::Refused.into(),
            reason: "token_malformed".to_owned(),
            ip_address: address.to_owned(),
            user_agent: user_agent.to_owned(),
            count: 1,
            ..AuditEvent::default()
        }
    }

    async fn stored(store: &dyn Store) -> Vec<AuditEvent> {
        let query = AuditQuery {
            limit: 100_000,
            ..AuditQuery::default()
        };
        store.audit(query).await.unwrap().0
    }

    fn sum<'a>(events: impl IntoIterator<Item = &'a AuditEvent>) -> u64 {
        events.into_iter().map(|event| event.count).sum()
    }

    #[test]
    fn refusals_of_different_methods_are_different_events() {
        let batch = AuditBatch::default();
        for method in ["ListUser", "ListSecret", "ListUser"] {
            batch.add(AuditEvent {
                r#type: "api.called".to_owned(),
                user_ref: Some(ObjectReference::default()),
                attrs: BTreeMap::from([("method".to_owned(), method.to_owned())]),
                count: 1,
                ..AuditEvent::default()
            });
        }
        let batch = batch.waiting.into_inner().unwrap().done;
        let mut counts: Vec<u64> = batch.values().map(|event| event.count).collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 2]);
    }

    #[test]
    fn equal_events_fold_and_a_flood_of_different_ones_is_bounded() {
        let batch = AuditBatch::default();
        for client in 0..50_000 {
            batch.add(AuditEvent {
                r#type: "session.created".to_owned(),
                ip_address: format!("2001:db8:0:{client:x}::"),
                count: 1,
                ..AuditEvent::default()
            });
        }
        let batch = batch.waiting.into_inner().unwrap().done;
        assert!(batch.len() <= MOST + 1);
        assert_eq!(sum(batch.values()), 50_000);
    }

    #[tokio::test]
    async fn refusals_fold_whatever_the_client_sends_s06() {
        let store = store::testing::sqlite();
        let batch = AuditBatch::default();
        for number in 0..10_000 {
            batch.add(AuditEvent {
                attrs: BTreeMap::from([("identifier".to_owned(), number.to_string())]),
                ..refusal(&format!("2001:db8::{number:x}"), &format!("agent {number}"))
            });
        }
        batch.flush(&*store, NOW).await.unwrap();
        let stored = stored(&*store).await;
        assert_eq!(stored.len(), 1);
        assert_eq!(
            (stored[0].count, &*stored[0].user_agent),
            (10_000, "agent 9999")
        );
    }

    #[tokio::test]
    async fn rows_of_refusals_are_bounded_and_none_is_lost_s06() {
        let store = store::testing::sqlite();
        let batch = AuditBatch::default();
        let mut now = NOW;
        let mut refused = 0;
        // Two minutes of refusals: of one address with a new reason each time, and of many addresses.
        for half_second in 0..240_u32 {
            batch.add(AuditEvent {
                resource_ref: Some(ObjectReference {
                    uid: half_second.to_string(),
                    ..ObjectReference::default()
                }),
                ..refusal("192.0.2.1", "")
            });
            for host in 0..50_u32 {
                let address = std::net::Ipv4Addr::from(0x0a00_0000 + half_second * 50 + host);
                batch.add(refusal(&address.to_string(), ""));
            }
            refused += 51;
            batch.flush(&*store, now).await.unwrap();
            now = now.saturating_add(Duration::from_millis(500));
        }
        let rows = stored(&*store).await;
        let of_one = rows.iter().filter(|event| event.ip_address == "192.0.2.1");
        assert!(of_one.count() <= 120);
        let most = 2 * usize::try_from(ANONYMOUS_ROWS.1 + OTHER_ROWS).unwrap();
        assert!(rows.len() <= most, "{}", rows.len());
        let others = rows.iter().filter(|event| event.attrs.contains_key(OTHERS));
        assert!(sum(others) > 4000, "and many others");
        let waiting = batch.waiting.lock().unwrap().anonymous.len();
        assert!(waiting <= MOST_REFUSALS, "{waiting}");
        batch.finish(&*store).await.unwrap();
        assert_eq!(sum(&stored(&*store).await), refused);
    }
}
