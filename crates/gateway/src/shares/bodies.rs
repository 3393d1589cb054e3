//! The memory of buffered request bodies.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use budget::{Eviction, Pool, ReserveError, Reserved, Size};
use bytes::Bytes;
use domain::service::MAX_BUFFERED_BODY;
use tokio::time::timeout;

use super::Payer;
use crate::{denial_reason::Denial, listener::Limit};

/// Maximum bytes of buffered bodies of one caller. One body of the maximum size fits.
const SHARE: usize = MAX_BUFFERED_BODY as usize;
/// Maximum bytes of buffered bodies of all callers.
const TOTAL: usize = 128 * 1024 * 1024;
/// The maximum time from the head of a request to the end of its buffered body.
const BODY_TIME: Duration = Duration::from_mins(1);

/// The memory budget of buffered bodies in this process.
pub(crate) struct BodyBudget(Arc<Pool<Payer>>);

/// The bytes of a body that is being received.
pub(crate) struct PendingCharge {
    payer: Payer,
    reserved: Arc<Reserved>,
}

/// The bytes of a received body. They stay charged until the last copy of the body is dropped.
pub(crate) struct ChargedBytes {
    payer: Payer,
    eviction: Arc<Eviction>,
    reserved: Weak<Reserved>,
}

/// A body that ends its charge when it is dropped.
struct Charged {
    bytes: Bytes,
    _reserved: Arc<Reserved>,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Default for BodyBudget {
    fn default() -> Self {
        Self::new(Size {
            share: SHARE,
            total: TOTAL,
        })
    }
}

impl BodyBudget {
    fn new(size: Size) -> Self {
        Self(Arc::new(Pool::new(size)))
    }

    /// Reserves bytes for a body that is about to arrive.
    pub(crate) fn charge(&self, payer: Payer) -> Result<PendingCharge, Denial> {
        match Pool::reserve(&self.0, payer) {
            Ok(reserved) => Ok(PendingCharge {
                payer,
                reserved: Arc::new(reserved),
            }),
            Err(no_room) => Err(refused(no_room, payer)),
        }
    }
}

impl PendingCharge {
    /// Changes the charge to `bytes` in total.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), Denial> {
        let held = self.reserved.hold(bytes);
        held.map_err(|no_room| refused(no_room, self.payer))
    }

    /// Waits for the body. Returns a [`Denial`] if it takes too long or is evicted.
    pub(crate) async fn within_limits<T>(
        &self,
        reading: impl Future<Output = Result<T, Denial>>,
    ) -> Result<T, Denial> {
        let read = tokio::select! {
            biased;
            () = self.reserved.eviction().evicted() => {
                return Err(refused(ReserveError::Evicted, self.payer));
            }
            read = timeout(BODY_TIME, reading) => read,
        };
        read.unwrap_or_else(|_elapsed| {
            Limit::BodyTime.reached_by(self.payer);
            Err(Denial::BodySlow)
        })
    }

    /// Binds the charge to the lifetime of the body and all its copies.
    pub(crate) fn bind(self, bytes: Bytes) -> (Bytes, ChargedBytes) {
        let held = ChargedBytes {
            payer: self.payer,
            eviction: Arc::clone(self.reserved.eviction()),
            reserved: Arc::downgrade(&self.reserved),
        };
        let charged = Charged {
            bytes,
            _reserved: self.reserved,
        };
        (Bytes::from_owner(charged), held)
    }
}

impl ChargedBytes {
    /// Waits for the response of the upstream. Returns a [`Denial`] if the body is evicted before the upstream has
    /// received it, so that slow upstreams cannot occupy the memory of others.
    pub(crate) async fn unless_evicted<T>(
        &self,
        forwarding: impl Future<Output = Result<T, Denial>>,
    ) -> Result<T, Denial> {
        let answer = tokio::select! {
            biased;
            () = self.eviction.evicted() => {
                return Err(refused(ReserveError::Evicted, self.payer));
            }
            answer = forwarding => answer,
        };
        // From here on, an eviction would free no memory.
        if let Some(reserved) = self.reserved.upgrade() {
            reserved.complete();
        }
        answer
    }
}

/// Counts the refusal of a body and returns its [`Denial`].
fn refused(no_room: ReserveError, payer: Payer) -> Denial {
    let limit = match no_room {
        ReserveError::Share => Limit::BodyShare,
        ReserveError::Total => Limit::BodyTotal,
        ReserveError::Evicted => Limit::BodyEvicted,
    };
    limit.reached_by(payer);
    Denial::BodyOverload
}

#[cfg(test)]
mod tests {
    use std::{future::pending, net::IpAddr};

    use budget::STEP;

    use super::*;

    fn small() -> BodyBudget {
        BodyBudget::new(Size {
            share: 4 * STEP,
            total: 8 * STEP,
        })
    }

    fn address(last: u8) -> Payer {
        Payer::of(None, IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn a_caller_has_a_share_of_bodies_s02() {
        let budget = small();
        let first = budget.charge(address(1)).ok().unwrap();
        first.hold(3 * STEP).unwrap();
        let second = budget.charge(address(1)).ok().unwrap();
        assert_eq!(second.hold(STEP + 1), Err(Denial::BodyOverload));
        let refused = budget.charge(address(1)).err();
        assert_eq!(refused, Some(Denial::BodyOverload));
        budget.charge(address(2)).ok().unwrap();
        drop((first, second));
        assert_eq!(budget.0.held(), (0, 0));
    }

    #[test]
    fn a_body_is_charged_until_its_last_copy_is_dropped_s02() {
        let budget = small();
        let charge = budget.charge(address(1)).ok().unwrap();
        charge.hold(2 * STEP).unwrap();
        let (bytes, held) = charge.bind(Bytes::from(vec![7; 2 * STEP]));
        let copy = bytes.slice(1..3);
        drop(bytes);
        assert_eq!(budget.0.held(), (2 * STEP, 1));
        assert_eq!(*copy, [7, 7]);
        drop(copy);
        assert_eq!(budget.0.held(), (0, 0));
        assert!(held.reserved.upgrade().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_cut_off_s02() {
        let budget = small();
        let charge = budget.charge(address(1)).ok().unwrap();
        let read = charge.within_limits(pending::<Result<(), Denial>>()).await;
        assert_eq!(read, Err(Denial::BodySlow));
    }

    #[tokio::test(start_paused = true)]
    async fn no_number_of_callers_keeps_others_out_s02() {
        let budget = small();
        // One body is being received. The other waits for an upstream that does not read it.
        let arriving = budget.charge(address(1)).ok().unwrap();
        arriving.hold(4 * STEP).unwrap();
        let arrived = budget.charge(address(2)).ok().unwrap();
        arrived.hold(4 * STEP).unwrap();
        let (_bytes, held) = arrived.bind(Bytes::from(vec![7; 4 * STEP]));
        let others = async {
            [3, 4].map(|last| {
                let charge = budget.charge(address(last)).ok().unwrap();
                charge.hold(4 * STEP).unwrap();
                charge
            })
        };
        let (reading, forwarding, _others) = tokio::join!(
            arriving.within_limits(pending::<Result<(), Denial>>()),
            held.unless_evicted(pending::<Result<(), Denial>>()),
            others,
        );
        assert_eq!(reading, Err(Denial::BodyOverload));
        assert_eq!(forwarding, Err(Denial::BodyOverload));
    }

    #[tokio::test]
    async fn an_answered_request_is_not_evicted_s02() {
        let budget = small();
        let charge = budget.charge(address(1)).ok().unwrap();
        charge.hold(4 * STEP).unwrap();
        let (_bytes, held) = charge.bind(Bytes::from(vec![7; 4 * STEP]));
        assert_eq!(held.unless_evicted(async { Ok(1) }).await, Ok(1));
        let other = budget.charge(address(2)).ok().unwrap();
        other.hold(4 * STEP).unwrap();
        let refused = budget.charge(address(3)).err();
        assert_eq!(refused, None);
        assert!(!held.eviction.is_evicted());
    }
}
