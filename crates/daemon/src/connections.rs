//! The open connections of a listener. If a limit is reached, the longest idle one is closed for a new one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    hash::{BuildHasher, RandomState},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use domain::address_prefix::AddressPrefix;
use gateway::listener::{Activity, ClientShare, Idle, Limit, StreamBudget};
use tokio::time::Instant;

mod connection_rate;

use connection_rate::ConnectionRateLimiter;

/// The number of connections after which the search for an idle one stops, if it has found one.
const LONGEST_SEARCH: usize = 1024;
/// The number of connections of one holder that are compared to find a long idle one. The bound keeps a flood of
/// connections from scanning all others for each new one.
const SAMPLE: usize = 64;
/// The time for which a new connection without a request is protected, because its handshake may be in progress.
const HANDSHAKE: Duration = Duration::from_secs(2);
/// The maximum number of connections that are closing, in addition to an eighth of the total.
const MAX_CLOSING: usize = 256;
/// The time after a refusal for which the replica is not ready.
const REFUSAL_SHOWS: Duration = Duration::from_secs(5);

/// The number of open HTTP/2 streams for each possible connection. Browsers open one connection with a few streams.
const STREAMS_PER_CONNECTION: usize = 2;

/// The minimum interval between two connections that are closed to free streams.
const FREE_INTERVAL: Duration = Duration::from_millis(1);

/// The peer to which a connection is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Holder {
    Client(AddressPrefix),
    /// A trusted proxy, which opens connections for many clients.
    Proxy(AddressPrefix),
}

/// The limits for open connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) total: usize,
    /// The limit for one address prefix.
    pub(crate) per_address: usize,
}

/// The open connections of a listener.
pub(crate) struct Connections {
    listener: &'static str,
    bounds: Bounds,
    hasher: RandomState,
    table: Mutex<Table>,
    connection_rate: Mutex<ConnectionRateLimiter>,
    streams: Arc<StreamBudget>,
}

#[derive(Default)]
struct Table {
    groups: HashMap<Holder, Group>,
    /// The holders, ordered by the number of connections.
    order: BTreeSet<(usize, u64, Holder)>,
    open: usize,
    /// Connections that were asked to close and are no longer in a group.
    closing: usize,
    next_id: u64,
    refused_at: Option<Instant>,
    /// The last time at which a connection was closed to free streams.
    freed_at: Option<Instant>,
}

struct Group {
    /// A random value that orders holders with equally many connections, so that no address is always first.
    tie: u64,
    share: Arc<ClientShare>,
    /// Connections by id, the oldest first.
    members: BTreeMap<u64, Arc<Activity>>,
    /// The id at which the next search starts.
    hand: u64,
}

/// The slot of an open connection. It is released on drop.
pub(crate) struct Slot {
    connections: Arc<Connections>,
    holder: Holder,
    id: u64,
    activity: Arc<Activity>,
    share: Arc<ClientShare>,
}

impl Connections {
    /// Creates an empty table. `listener` is the name of the listener in metrics.
    pub(crate) fn new(listener: &'static str, bounds: Bounds) -> Arc<Self> {
        Arc::new_cyclic(|connections: &Weak<Self>| {
            let connections = Weak::clone(connections);
            let make_room = move || {
                if let Some(connections) = connections.upgrade() {
                    connections.free_streams();
                }
            };
            Self {
                listener,
                bounds,
                hasher: RandomState::new(),
                table: Mutex::default(),
                connection_rate: Mutex::new(ConnectionRateLimiter::new(bounds.per_address)),
                streams: StreamBudget::new(bounds.total * STREAMS_PER_CONNECTION, make_room),
            }
        })
    }

    /// Admits a connection of `holder`. Returns `None` if the holder opens connections too fast, or if a limit is
    /// reached and no idle connection can be closed.
    pub(crate) fn admit(self: &Arc<Self>, holder: Holder) -> Option<Slot> {
        self.admit_as(holder, Arc::new(Activity::new()))
    }

    fn admit_as(self: &Arc<Self>, holder: Holder, activity: Arc<Activity>) -> Option<Slot> {
        if let Holder::Client(prefix) = holder {
            let mut connection_rate = self
                .connection_rate
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if !connection_rate.admit(prefix) {
                Limit::ConnectionRate.reached_by(holder);
                return None;
            }
        }
        let mut table = self.table();
        if !self.make_room(&mut table, holder) {
            return None;
        }
        table.next_id += 1;
        let id = table.next_id;
        table.open += 1;
        let group = table.groups.entry(holder);
        let group = group.or_insert_with(|| Group::new(self, holder));
        let share = Arc::clone(&group.share);
        table.update(holder, |members| {
            members.insert(id, Arc::clone(&activity));
        });
        drop(table);
        metrics::gauge!("octelium_connections", "listener" => self.listener).increment(1);
        Some(Slot {
            connections: Arc::clone(self),
            holder,
            id,
            activity,
            share,
        })
    }

    fn make_room(&self, table: &mut Table, holder: Holder) -> bool {
        if matches!(holder, Holder::Client(_)) && table.held_by(holder) >= self.bounds.per_address {
            Limit::ConnectionsPerAddress.reached_by(holder);
            return self.may_close(table) && table.close_one_of(holder);
        }
        if table.open >= self.bounds.total {
            Limit::Connections.reached_by(holder);
            if !self.may_close(table) || !table.close_one() {
                table.refused_at = Some(Instant::now());
                return false;
            }
        }
        true
    }

    /// Returns true if another connection may be asked to close. Closing connections still hold memory and a file
    /// descriptor.
    fn may_close(&self, table: &Table) -> bool {
        table.closing <= self.bounds.total / 8 + MAX_CLOSING
    }

    /// Handles a failed `accept`. If the process has no file descriptor left, closes some idle connections.
    pub(crate) fn not_accepted(&self, error: &io::Error) {
        const ENFILE: i32 = 23;
        const EMFILE: i32 = 24;
        if !matches!(error.raw_os_error(), Some(ENFILE | EMFILE)) {
            tracing::warn!(%error, "connection not accepted");
            return;
        }
        Limit::FileDescriptors.reached();
        let mut table = self.table();
        for _ in 0..16 {
            if !table.close_one() {
                return;
            }
        }
    }

    /// Closes an idle connection, because its client may hold streams by not reading the end of responses.
    fn free_streams(&self) {
        let mut table = self.table();
        let now = Instant::now();
        let is_due = table
            .freed_at
            .is_none_or(|at| now.duration_since(at) >= FREE_INTERVAL);
        if is_due && self.may_close(&table) {
            table.freed_at = Some(now);
            table.close_one();
        }
    }

    /// Returns true if the total limit has recently refused a connection.
    pub(crate) fn is_refusing(&self) -> bool {
        let refused_at = self.table().refused_at;
        refused_at.is_some_and(|at| at.elapsed() < REFUSAL_SHOWS)
    }

    fn release(&self, holder: Holder, id: u64) {
        let mut table = self.table();
        let mut was_open = false;
        table.update(holder, |members| {
            was_open = members.remove(&id).is_some();
        });
        if was_open {
            table.open -= 1;
        } else {
            table.closing -= 1;
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn open(&self) -> usize {
        self.table().open
    }
}

impl Table {
    fn held_by(&self, holder: Holder) -> usize {
        self.groups
            .get(&holder)
            .map_or(0, |group| group.members.len())
    }

    /// Changes the connections of a holder that has a group, and updates its position in the order.
    fn update(&mut self, holder: Holder, change: impl FnOnce(&mut BTreeMap<u64, Arc<Activity>>)) {
        let Some(group) = self.groups.get_mut(&holder) else {
            return;
        };
        let tie = group.tie;
        let before = group.members.len();
        change(&mut group.members);
        let after = group.members.len();
        if after == 0 {
            self.groups.remove(&holder);
        }
        self.order.remove(&(holder.weight(before), tie, holder));
        if after > 0 {
            self.order.insert((holder.weight(after), tie, holder));
        }
    }

    /// Closes the longest idle connection of the holder with the most connections. Returns false if all are in use.
    fn close_one(&mut self) -> bool {
        let now = Instant::now();
        let mut best: Option<(Rank, Holder, u64)> = None;
        let mut weight = None;
        let mut seen = 0;
        for &(holds, _, holder) in self.order.iter().rev() {
            let is_less = weight.replace(holds) != Some(holds);
            if best.is_some() && (is_less || seen > LONGEST_SEARCH) {
                break;
            }
            let Some(group) = self.groups.get_mut(&holder) else {
                continue;
            };
            seen += group.members.len();
            if let Some((rank, id)) = group.longest_idle(now)
                && best.is_none_or(|(known, ..)| rank < known)
            {
                best = Some((rank, holder, id));
            }
        }
        match best {
            Some((_, holder, id)) => self.close(holder, id),
            None => false,
        }
    }

    /// Closes a long idle connection of `holder`. Returns false if none was found.
    fn close_one_of(&mut self, holder: Holder) -> bool {
        let group = self.groups.get_mut(&holder);
        match group.and_then(|group| group.longest_idle(Instant::now())) {
            Some((_, id)) => self.close(holder, id),
            None => false,
        }
    }

    fn close(&mut self, holder: Holder, id: u64) -> bool {
        let mut closed = None;
        self.update(holder, |members| closed = members.remove(&id));
        let Some(activity) = closed else {
            return false;
        };
        activity.close();
        self.open -= 1;
        self.closing += 1;
        true
    }
}

/// The order in which idle connections are closed, lowest first.
type Rank = (Stage, Instant);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Without a request for too long.
    Silent,
    /// Kept open for the next request.
    Kept,
    /// Possibly in its handshake.
    Young,
}

impl Group {
    fn new(connections: &Connections, holder: Holder) -> Self {
        Self {
            tie: connections.hasher.hash_one(holder),
            share: match holder {
                Holder::Client(_) => connections.streams.of_client(),
                Holder::Proxy(_) => connections.streams.of_proxy(),
            },
            members: BTreeMap::new(),
            hand: 0,
        }
    }

    /// Returns the longest idle one of the next [`SAMPLE`] connections. If all of them are in use, returns the first
    /// idle one after them.
    fn longest_idle(&mut self, now: Instant) -> Option<(Rank, u64)> {
        let mut best = None;
        let members = self.members.range(self.hand..);
        let members = members.chain(self.members.range(..self.hand));
        for (seen, (id, activity)) in members.take(LONGEST_SEARCH).enumerate() {
            if seen >= SAMPLE && best.is_some() {
                break;
            }
            self.hand = id.saturating_add(1);
            if let Some(idle) = activity.idle() {
                let found = ((stage(&idle, now), idle.since), *id);
                best = Some(best.map_or(found, |best: (Rank, u64)| best.min(found)));
            }
        }
        best
    }
}

fn stage(idle: &Idle, now: Instant) -> Stage {
    if idle.has_request {
        Stage::Kept
    } else if now.duration_since(idle.since) < HANDSHAKE {
        Stage::Young
    } else {
        Stage::Silent
    }
}

impl Holder {
    /// Returns the number of connections that orders holders for closing. Proxies are last.
    fn weight(self, connections: usize) -> usize {
        match self {
            Self::Client(_) => connections,
            Self::Proxy(_) => 0,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Client(prefix) | Self::Proxy(prefix)) = self;
        prefix.fmt(f)
    }
}

impl Slot {
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Returns the share of the holder.
    pub(crate) fn share(&self) -> Arc<ClientShare> {
        Arc::clone(&self.share)
    }

    /// Moves the slot from a proxy to the client that it connects for. Returns `None` if the client has too many
    /// connections.
    pub(crate) fn held_by(self, holder: Holder) -> Option<Self> {
        let connections = Arc::clone(&self.connections);
        let activity = Arc::clone(&self.activity);
        drop(self);
        connections.admit_as(holder, activity)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let listener = self.connections.listener;
        metrics::gauge!("octelium_connections", "listener" => listener).decrement(1);
        self.connections.release(self.holder, self.id);
    }
}

#[cfg(test)]
mod tests;
