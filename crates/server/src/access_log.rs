//! The access log: recent requests to Services, batched and written to the store within fixed limits.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use api::platform_v1::{AccessEvent, access_event::Decision};
use domain::{
    address_prefix::AddressPrefix,
    clock::{Clock, UnixMillis},
};
use store::{Store, StoreError};

use crate::{limit::Limit, row_budget::RowBudget};

/// Maximum number of allowed requests kept between two flushes.
const LET_IN: usize = 100;
/// Maximum number of other authenticated requests kept between two flushes. The separate limit keeps allowed requests
/// from crowding out denied ones.
const OTHERS: usize = 150;
/// Unauthenticated requests kept per minute: per address prefix, and in total.
const ANONYMOUS_ROWS: (u32, u32) = (100, 300);
/// Minimum interval between two events that report how many requests were left out.
const LEFT_OUT_EVERY: Duration = Duration::from_secs(10);

/// The source of a request to a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A client with a Session.
    Authenticated,
    /// A client at this address whose request was refused or needs no authentication.
    Anonymous(IpAddr),
}

/// Requests since the last flush. A crash loses them here, but the log of the replica has all of them.
pub struct AccessBatch {
    batch: Mutex<Batch>,
    anonymous_rows: RowBudget<AddressPrefix>,
}

#[derive(Default)]
struct Batch {
    let_in: Vec<AccessEvent>,
    others: Vec<AccessEvent>,
    /// Bounded by the rows that anonymous requests may use per minute.
    anonymous: Vec<AccessEvent>,
    left_out: u64,
    /// Time of the last event that reported left-out requests.
    told_at: Option<UnixMillis>,
}

impl Default for AccessBatch {
    fn default() -> Self {
        Self {
            batch: Mutex::default(),
            anonymous_rows: RowBudget::new(ANONYMOUS_ROWS.0, ANONYMOUS_ROWS.1),
        }
    }
}

impl AccessBatch {
    /// Adds the request that `make` returns if its limit is not reached. Otherwise counts it as left out.
    pub fn add(
        &self,
        asker: Asker,
        decision: Decision,
        now: UnixMillis,
        make: impl FnOnce() -> AccessEvent,
    ) {
        let mut batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        let is_let_in = matches!(decision, Decision::Allowed | Decision::Open);
        let (room, has_room) = match asker {
            Asker::Anonymous(address) => {
                let prefix = AddressPrefix::from(address);
                let has_room = self.anonymous_rows.take(prefix, now);
                if !has_room {
                    Limit::AnonymousAccessRows.reached(&prefix);
                }
                (&mut batch.anonymous, has_room)
            }
            Asker::Authenticated if is_let_in => {
                let has_room = batch.let_in.len() < LET_IN;
                (&mut batch.let_in, has_room)
            }
            Asker::Authenticated => {
                let has_room = batch.others.len() < OTHERS;
                (&mut batch.others, has_room)
            }
        };
        if has_room {
            room.push(AccessEvent {
                decision: decision.into(),
                count: 1,
                ..make()
            });
        } else {
            batch.left_out += 1;
        }
    }

    /// Writes the batch to the store. A failed write drops the batch; the log of the replica still has the requests.
    ///
    /// # Errors
    /// Returns the error of the store.
    pub async fn flush(&self, store: &dyn Store, clock: &dyn Clock) -> Result<(), StoreError> {
        self.write(store, clock, LEFT_OUT_EVERY).await
    }

    /// Writes the batch and any pending count of left-out requests. Called before the process ends.
    ///
    /// # Errors
    /// Returns the error of the store.
    pub async fn finish(&self, store: &dyn Store, clock: &dyn Clock) -> Result<(), StoreError> {
        self.write(store, clock, Duration::ZERO).await
    }

    async fn write(
        &self,
        store: &dyn Store,
        clock: &dyn Clock,
        left_out_every: Duration,
    ) -> Result<(), StoreError> {
        let now = clock.now();
        let events = self
            .batch
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(now, left_out_every);
        if events.is_empty() {
            return Ok(());
        }
        store.append_access(events).await
    }
}

impl Batch {
    fn take(&mut self, now: UnixMillis, left_out_every: Duration) -> Vec<AccessEvent> {
        let mut events = std::mem::take(&mut self.let_in);
        events.append(&mut self.others);
        events.append(&mut self.anonymous);
        events.sort_by_key(|event| event.at.map(|at| (at.seconds, at.nanos)));
        let is_due = self
            .told_at
            .is_none_or(|told_at| now < told_at || now.since(told_at) >= left_out_every);
        if self.left_out > 0 && is_due {
            events.push(AccessEvent {
                at: Some(now.to_proto()),
                decision: Decision::LeftOut.into(),
                count: std::mem::take(&mut self.left_out),
                ..AccessEvent::default()
            });
            self.told_at = Some(now);
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use domain::clock::ManualClock;
    use store::AccessQuery;

    use super::*;

    fn at(now: UnixMillis) -> AccessEvent {
        AccessEvent {
            at: Some(now.to_proto()),
            ..AccessEvent::default()
        }
    }

    async fn stored(store: &dyn Store, decision: Decision) -> Vec<AccessEvent> {
        let query = AccessQuery {
            decision: Some(decision),
            limit: 10_000,
            ..AccessQuery::default()
        };
        store.access(query).await.unwrap().0
    }

    #[tokio::test]
    async fn denials_are_not_hidden_by_allowed_requests() {
        let store = store::testing::sqlite();
        let clock = ManualClock::at(UnixMillis(1_000_000));
        let batch = AccessBatch::default();
        for number in 0..1000 {
            let decision = if number % 10 == 9 {
                Decision::Denied
            } else {
                Decision::Allowed
            };
            let now = clock.now();
            batch.add(Asker::Authenticated, decision, now, || at(now));
        }
        batch.flush(&*store, &clock).await.unwrap();
        batch.flush(&*store, &clock).await.unwrap();
        assert_eq!(stored(&*store, Decision::Denied).await.len(), 100);
        assert_eq!(stored(&*store, Decision::Allowed).await.len(), LET_IN);
        let left_out = stored(&*store, Decision::LeftOut).await;
        assert_eq!(left_out.len(), 1);
        assert_eq!(left_out[0].count, 800);
    }

    #[tokio::test]
    async fn requests_without_authentication_have_a_share_for_each_prefix_s06() {
        let store = store::testing::sqlite();
        let clock = ManualClock::at(UnixMillis(1_000_000));
        let batch = AccessBatch::default();
        let mut asked = 0;
        for half_second in 0..120_u128 {
            let now = clock.now();
            for host in 0..1000 {
                // All addresses are in one /64.
                let address = Ipv6Addr::from(0x2001_0db8 << 96 | half_second << 32 | host);
                let flood = Asker::Anonymous(address.into());
                batch.add(flood, Decision::Refused, now, || at(now));
                asked += 1;
            }
            let other = Asker::Anonymous([192, 0, 2, 1].into());
            batch.add(other, Decision::Open, now, || at(now));
            batch.add(Asker::Authenticated, Decision::Denied, now, || at(now));
            batch.flush(&*store, &clock).await.unwrap();
            clock.advance(Duration::from_millis(500));
        }
        let (share, _) = ANONYMOUS_ROWS;
        let share = usize::try_from(share).unwrap();
        let refused = stored(&*store, Decision::Refused).await.len();
        assert_eq!(refused, share);
        assert_eq!(stored(&*store, Decision::Open).await.len(), share);
        assert_eq!(stored(&*store, Decision::Denied).await.len(), 120);
        assert!(stored(&*store, Decision::LeftOut).await.len() <= 7);
        batch.finish(&*store, &clock).await.unwrap();
        let left_out = stored(&*store, Decision::LeftOut).await;
        let left_out: u64 = left_out.iter().map(|event| event.count).sum();
        assert_eq!(left_out, asked - refused as u64 + 20);
    }
}
