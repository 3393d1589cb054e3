//! The share of each client in the resources of a listener: open HTTP/2 streams, and refused requests.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{Limit, refusals::RefusalPace};

/// The divisor of the total that gives the share of one client.
const SHARE: usize = 5;

/// The open HTTP/2 streams of a listener. Each holds the memory of a request, or of a response that its client has not
/// read.
pub struct StreamBudget {
    total: usize,
    open: AtomicUsize,
    make_room: Box<dyn Fn() + Send + Sync>,
}

/// The share of one client, on all its connections.
#[derive(Debug)]
pub struct ClientShare {
    all: Arc<StreamBudget>,
    /// The maximum number of open streams.
    limit: usize,
    open: AtomicUsize,
    /// `None` for a trusted proxy, whose requests come from many clients.
    refusals: Option<RefusalPace>,
}

/// The slot of one open stream. It is released on drop.
#[must_use]
pub struct StreamSlot(Arc<ClientShare>);

impl StreamBudget {
    /// Creates a budget of `total` streams. `make_room` is called for each stream that is refused because of the total.
    /// It should close an idle connection: its client may keep streams open by not reading the end of responses.
    pub fn new(total: usize, make_room: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            total,
            open: AtomicUsize::new(0),
            make_room: Box::new(make_room),
        })
    }

    /// Creates the share of a client. It allows a fifth of the total.
    pub fn of_client(self: &Arc<Self>) -> Arc<ClientShare> {
        self.share(self.total / SHARE, Some(RefusalPace::new()))
    }

    /// Creates the share of a trusted proxy. Only the total limits it.
    pub fn of_proxy(self: &Arc<Self>) -> Arc<ClientShare> {
        self.share(self.total, None)
    }

    fn share(self: &Arc<Self>, limit: usize, refusals: Option<RefusalPace>) -> Arc<ClientShare> {
        Arc::new(ClientShare {
            all: Arc::clone(self),
            limit,
            open: AtomicUsize::new(0),
            refusals,
        })
    }
}

impl ClientShare {
    /// Opens a stream.
    ///
    /// # Errors
    ///
    /// Returns [`Limit::StreamsPerAddress`] or [`Limit::Streams`] if the limit is reached.
    pub fn begin(self: &Arc<Self>) -> Result<StreamSlot, Limit> {
        let own = self.open.fetch_add(1, Ordering::Relaxed);
        let all = self.all.open.fetch_add(1, Ordering::Relaxed);
        // Dropped if the stream is refused.
        let slot = StreamSlot(Arc::clone(self));
        if own >= self.limit {
            return Err(Limit::StreamsPerAddress);
        }
        if all >= self.all.total {
            (self.all.make_room)();
            return Err(Limit::Streams);
        }
        Ok(slot)
    }

    /// Counts a refused request and returns the delay of its response.
    pub(super) fn refusal_delay(&self) -> Duration {
        let refusals = self.refusals.as_ref();
        refusals.map_or(Duration::ZERO, RefusalPace::delay)
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let Self(share) = self;
        share.open.fetch_sub(1, Ordering::Relaxed);
        share.all.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for StreamBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamBudget")
            .field("total", &self.total)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(total: usize) -> (Arc<StreamBudget>, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let budget = StreamBudget::new(total, move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        (budget, calls)
    }

    fn fill(share: &Arc<ClientShare>) -> (Vec<StreamSlot>, Limit) {
        let mut slots = Vec::new();
        loop {
            match share.begin() {
                Ok(slot) => slots.push(slot),
                Err(limit) => return (slots, limit),
            }
            assert!(slots.len() <= 1000, "a share has no end");
        }
    }

    #[test]
    fn a_client_gets_a_fifth_and_gives_it_back_s02() {
        let (budget, calls) = budget(100);
        let client = budget.of_client();
        let (mut slots, limit) = fill(&client);
        assert_eq!((slots.len(), limit), (20, Limit::StreamsPerAddress));
        assert_eq!(calls.load(Ordering::Relaxed), 0);
        slots.pop();
        slots.push(client.begin().ok().unwrap());
        assert!(budget.of_client().begin().is_ok());
        drop(slots);
        assert_eq!(budget.open.load(Ordering::Relaxed), 0);
        assert_eq!(client.open.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_full_budget_makes_room_s02() {
        let (budget, calls) = budget(100);
        let _clients = [(); 3].map(|()| fill(&budget.of_client()));
        let (slots, limit) = fill(&budget.of_proxy());
        assert_eq!((slots.len(), limit), (40, Limit::Streams));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert_eq!(budget.of_client().begin().err(), Some(Limit::Streams));
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }
}
