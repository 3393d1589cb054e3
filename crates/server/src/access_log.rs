//! What was asked of Services, kept in the Cluster for a while: the newest of it, as far as it is not too much.

use std::sync::{Mutex, PoisonError};

use api::platform_v1::{AccessEvent, access_event::Decision};
use domain::clock::Clock;
use store::{Store, StoreError};

/// How many requests are kept between two flushes that were let in.
const LET_IN: usize = 100;
/// How many others: what was denied must not be hidden by what was not.
const OTHERS: usize = 150;

/// Requests since the last flush. A crash loses them; all of them are in the log of the replica.
#[derive(Default)]
pub struct AccessBatch(Mutex<Batch>);

#[derive(Default)]
struct Batch {
    let_in: Vec<AccessEvent>,
    others: Vec<AccessEvent>,
    left_out: u64,
}

impl AccessBatch {
    /// Takes note of a request: of what `make` returns where there is room for it, else of one more that was left out.
    pub fn add(&self, decision: Decision, make: impl FnOnce() -> AccessEvent) {
        let mut batch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_let_in = matches!(decision, Decision::Allowed | Decision::Open);
        let (room, most) = if is_let_in {
            (&mut batch.let_in, LET_IN)
        } else {
            (&mut batch.others, OTHERS)
        };
        if room.len() < most {
            room.push(AccessEvent {
                decision: decision.into(),
                count: 1,
                ..make()
            });
        } else {
            batch.left_out += 1;
        }
    }

    /// Writes what was added. What cannot be written is forgotten: it is in the log of the replica.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn flush(&self, store: &dyn Store, clock: &dyn Clock) -> Result<(), StoreError> {
        let taken = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut events = taken.let_in;
        events.extend(taken.others);
        events.sort_by_key(|event| event.at.map(|at| (at.seconds, at.nanos)));
        if taken.left_out > 0 {
            events.push(AccessEvent {
                at: Some(clock.now().to_proto()),
                decision: Decision::LeftOut.into(),
                count: taken.left_out,
                ..AccessEvent::default()
            });
        }
        if events.is_empty() {
            return Ok(());
        }
        store.append_access(events).await
    }
}

#[cfg(test)]
mod tests {
    use domain::clock::{ManualClock, UnixMillis};
    use store::AccessQuery;

    use super::*;

    #[tokio::test]
    async fn what_was_denied_is_not_hidden_by_what_was_let_in() {
        let store = store::testing::sqlite();
        let clock = ManualClock::at(UnixMillis(1_000_000));
        let batch = AccessBatch::default();
        for number in 0..1000 {
            let event = || AccessEvent {
                request_id: number.to_string(),
                at: Some(clock.now().to_proto()),
                ..AccessEvent::default()
            };
            let decision = if number % 10 == 9 {
                Decision::Denied
            } else {
                Decision::Allowed
            };
            batch.add(decision, event);
        }
        batch.flush(&*store, &clock).await.unwrap();
        batch.flush(&*store, &clock).await.unwrap();
        let count = async |decision| {
            let query = AccessQuery {
                decision: Some(decision),
                limit: 1000,
                ..AccessQuery::default()
            };
            store.access(query).await.unwrap().0
        };
        assert_eq!(count(Decision::Denied).await.len(), 100);
        assert_eq!(count(Decision::Allowed).await.len(), LET_IN);
        let left_out = count(Decision::LeftOut).await;
        assert_eq!(left_out.len(), 1);
        assert_eq!(left_out[0].count, 800);
    }
}
