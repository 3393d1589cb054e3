//! The open requests at upstreams. Each may occupy a connection, and therefore a file descriptor.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Payer;
use crate::{denial_reason::Denial, listener::Limit};

/// The divisor of the total that gives the share of one caller.
const SHARE: usize = 4;
/// The minimum number of requests of one caller, even if it is a larger part of the total.
const LEAST: usize = 16;

/// The open requests at upstreams, in total and by caller.
pub(crate) struct Exchanges {
    total: usize,
    share: usize,
    open: Mutex<Open>,
}

/// Counts of open requests. Only callers with an open request have an entry, so the total bounds the length.
#[derive(Default)]
struct Open {
    total: usize,
    by: HashMap<Payer, usize>,
}

/// The slot of one request, from the opening of the connection until the response or the WebSocket ends. It is released
/// on drop.
#[must_use]
pub(crate) struct Exchange {
    exchanges: Arc<Exchanges>,
    payer: Payer,
}

impl Exchanges {
    /// Creates the limits. `total` applies to all callers together.
    pub(crate) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self {
            total,
            share: (total / SHARE).max(LEAST).min(total),
            open: Mutex::default(),
        })
    }

    /// Takes a slot for a request of `payer`.
    pub(crate) fn begin(self: &Arc<Self>, payer: Payer) -> Result<Exchange, Denial> {
        if let Err(limit) = self.take(payer) {
            limit.reached_by(payer);
            return Err(Denial::UpstreamOverload);
        }
        Ok(Exchange {
            exchanges: Arc::clone(self),
            payer,
        })
    }

    fn take(&self, payer: Payer) -> Result<(), Limit> {
        let mut open = self.lock();
        let is_full = open.total >= self.total;
        match open.by.entry(payer) {
            Entry::Occupied(own) if *own.get() >= self.share => {
                return Err(Limit::UpstreamRequestsPerCaller);
            }
            _ if is_full => return Err(Limit::UpstreamRequests),
            Entry::Occupied(mut own) => *own.get_mut() += 1,
            Entry::Vacant(own) => {
                own.insert(1);
            }
        }
        open.total += 1;
        Ok(())
    }

    fn give_back(&self, payer: Payer) {
        let mut open = self.lock();
        open.total = open.total.saturating_sub(1);
        if let Entry::Occupied(mut own) = open.by.entry(payer) {
            if *own.get() > 1 {
                *own.get_mut() -= 1;
            } else {
                own.remove();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.exchanges.give_back(self.payer);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn address(last: u8) -> Payer {
        Payer::of(None, IpAddr::from([192, 0, 2, last]))
    }

    fn fill(exchanges: &Arc<Exchanges>, payer: Payer) -> Vec<Exchange> {
        let mut open = Vec::new();
        while let Ok(exchange) = exchanges.begin(payer) {
            open.push(exchange);
            assert!(open.len() < 1000, "a share has no end");
        }
        open
    }

    #[test]
    fn a_caller_gets_a_quarter_and_gives_it_back_s02() {
        let exchanges = Exchanges::new(80);
        let mut open = fill(&exchanges, address(1));
        assert_eq!(open.len(), 20);
        assert_eq!(
            exchanges.take(address(1)),
            Err(Limit::UpstreamRequestsPerCaller)
        );
        assert!(exchanges.begin(address(2)).is_ok());
        open.pop();
        open.push(exchanges.begin(address(1)).ok().unwrap());
        drop(open);
        let left = exchanges.lock();
        assert_eq!((left.total, left.by.len()), (0, 0));
    }

    #[test]
    fn all_callers_together_have_a_total_s02() {
        let exchanges = Exchanges::new(80);
        let open: Vec<_> = (1..=4)
            .map(|last| fill(&exchanges, address(last)))
            .collect();
        assert_eq!(exchanges.take(address(5)), Err(Limit::UpstreamRequests));
        drop(open);
        assert!(exchanges.begin(address(5)).is_ok());
    }

    #[test]
    fn a_small_total_leaves_a_caller_sixteen_s02() {
        for (total, share) in [(0, 0), (10, 10), (40, 16), (64, 16), (68, 17)] {
            assert_eq!(fill(&Exchanges::new(total), address(1)).len(), share);
        }
    }
}
