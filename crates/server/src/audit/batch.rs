//! Events that are not worth a write each: refusals, and grants of unlimited Credentials.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use api::platform_v1::AuditEvent;
use store::{Store, StoreError};

/// How many different events are kept apart between two flushes. Beyond, what tells clients apart is left out.
const MOST: usize = 4096;

/// Events since the last flush, equal ones folded into a count. A crash loses them.
#[derive(Default)]
pub struct AuditBatch(Mutex<HashMap<Key, AuditEvent>>);

/// What makes two events equal.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    event_type: String,
    outcome: i32,
    reason: String,
    actor: String,
    user: String,
    resource: String,
    ip_address: String,
    user_agent: String,
    attrs: BTreeMap<String, String>,
}

impl AuditBatch {
    /// Adds an event.
    pub(crate) fn add(&self, mut event: AuditEvent) {
        let mut batch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = Key::of(&event);
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
        match batch.get_mut(&key) {
            Some(known) => {
                known.count += event.count;
                known.at = event.at;
                known.request_id = event.request_id;
            }
            None => {
                batch.insert(key, event);
            }
        }
    }

    /// Writes what was added. What could not be written is kept for the next time.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn flush(&self, store: &dyn Store) -> Result<(), StoreError> {
        let taken = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if taken.is_empty() {
            return Ok(());
        }
        let events: Vec<AuditEvent> = taken.into_values().collect();
        let written = store.append_audit(events.clone()).await;
        if written.is_err() {
            for event in events {
                self.add(event);
            }
        }
        written
    }
}

impl Key {
    fn of(event: &AuditEvent) -> Self {
        let uid = |reference: &Option<api::meta_v1::ObjectReference>| {
            reference
                .as_ref()
                .map(|reference| reference.uid.clone())
                .unwrap_or_default()
        };
        Self {
            event_type: event.r#type.clone(),
            outcome: event.outcome,
            reason: event.reason.clone(),
            actor: uid(&event.actor_ref),
            user: uid(&event.user_ref),
            resource: uid(&event.resource_ref),
            ip_address: event.ip_address.clone(),
            user_agent: event.user_agent.clone(),
            attrs: event.attrs.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_different_methods_are_different_events() {
        let batch = AuditBatch::default();
        for method in ["ListUser", "ListSecret", "ListUser"] {
            batch.add(AuditEvent {
                r#type: "api.called".to_owned(),
                attrs: BTreeMap::from([("method".to_owned(), method.to_owned())]),
                count: 1,
                ..AuditEvent::default()
            });
        }
        let batch = batch.0.into_inner().unwrap();
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
                ip_address: format!("2001:db8::{client:x}"),
                count: 1,
                ..AuditEvent::default()
            });
        }
        let batch = batch.0.into_inner().unwrap();
        assert!(batch.len() <= MOST + 1);
        assert_eq!(batch.values().map(|event| event.count).sum::<u64>(), 50_000);
    }
}
