//! The device logins that wait for a User, and the eviction of those of greedy clients.

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{address_prefix::AddressPrefix, clock::UnixMillis, id::Uid};
use moka::{policy::EvictionPolicy, sync::Cache};

/// Lifetime of a code.
pub(crate) const CODE_LIFETIME: Duration = Duration::from_mins(10);
/// Maximum number of waiting logins of an [`AddressPrefix`].
const SHARE: usize = 30;
/// Maximum number of waiting logins of all clients.
const TOTAL: usize = 1000;
/// The age from which a login can be evicted even if its prefix does not hold more logins than others.
const OLD: Duration = Duration::from_mins(1);
/// Maximum number of evicted logins that are remembered.
const MOST_EVICTED: u64 = 10_000;

/// The logins that this replica stored and whose codes no User has entered yet.
///
/// A prefix holds at most its share. If the total is reached, the oldest login of the prefix that holds most is
/// evicted, like an unfinished body of a [`budget::Pool`]. Therefore clients that start logins and never finish them
/// cannot keep others out, however many they are.
pub(crate) struct WaitingLogins {
    /// Oldest first.
    logins: Mutex<VecDeque<Waiting>>,
    evicted: Cache<Uid, ()>,
}

/// A login that waits for a User.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) id: Uid,
    pub(crate) code: String,
    /// The client. `None` is an unknown address.
    pub(crate) prefix: Option<AddressPrefix>,
    pub(crate) since: UnixMillis,
}

/// The reason why a login has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    /// Time after which a retry can succeed.
    pub(crate) retry_after: Duration,
}

impl Default for WaitingLogins {
    fn default() -> Self {
        let evicted = Cache::builder()
            .max_capacity(MOST_EVICTED)
            .eviction_policy(EvictionPolicy::lru());
        Self {
            logins: Mutex::default(),
            evicted: evicted.build(),
        }
    }
}

impl WaitingLogins {
    /// Adds a login. If there was no free place, returns the login that lost its place. The caller removes it from the
    /// store.
    ///
    /// # Errors
    /// Returns [`Full`] if the prefix has its full share, or if no other login can be evicted.
    pub(crate) fn add(&self, login: Waiting) -> Result<Option<Waiting>, Full> {
        let now = login.since;
        let mut logins = self.lock();
        logins.retain(|other| is_waiting(other, now));
        let is_own = |other: &&Waiting| other.prefix == login.prefix;
        let own = logins.iter().filter(is_own).count();
        if own >= SHARE {
            return Err(retry(logins.iter().find(is_own), CODE_LIFETIME, now));
        }
        let mut evicted = None;
        if logins.len() >= TOTAL {
            let Some(index) = victim(&logins, login.prefix, own + 1, now) else {
                let oldest = logins.iter().find(|other| other.prefix != login.prefix);
                return Err(retry(oldest, OLD, now));
            };
            evicted = logins.remove(index);
        }
        logins.push_back(login);
        Ok(evicted)
    }

    /// Removes a login that was not stored.
    pub(crate) fn remove(&self, id: Uid) {
        self.lock().retain(|login| login.id != id);
    }

    /// Removes the login whose code a User has entered.
    pub(crate) fn remove_entered(&self, code: &[u8]) {
        self.lock().retain(|login| login.code.as_bytes() != code);
    }

    /// Remembers that a login was evicted and that no User can enter its code any more.
    pub(crate) fn record_evicted(&self, id: Uid) {
        self.evicted.insert(id, ());
    }

    /// Returns whether a login was evicted at this replica.
    pub(crate) fn is_evicted(&self, id: Uid) -> bool {
        self.evicted.contains_key(&id)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a login has not expired. A clock that was set back must not keep logins for longer.
fn is_waiting(login: &Waiting, now: UnixMillis) -> bool {
    now.since(login.since) < CODE_LIFETIME && login.since.since(now) < CODE_LIFETIME
}

/// Returns the refusal until `login` has reached `age`.
fn retry(login: Option<&Waiting>, age: Duration, now: UnixMillis) -> Full {
    let reached = login.map_or(Duration::ZERO, |login| now.since(login.since));
    Full {
        retry_after: age.saturating_sub(reached),
    }
}

/// Returns the position of the login to evict for a client that would hold `wanted` logins: the oldest one of the
/// prefix that holds most. A login qualifies if its prefix holds more than `wanted`, or if it is [`OLD`].
fn victim(
    logins: &VecDeque<Waiting>,
    prefix: Option<AddressPrefix>,
    wanted: usize,
    now: UnixMillis,
) -> Option<usize> {
    let mut held: HashMap<Option<AddressPrefix>, usize> = HashMap::new();
    for login in logins {
        *held.entry(login.prefix).or_default() += 1;
    }
    let others = logins
        .iter()
        .enumerate()
        .filter(|(_, login)| login.prefix != prefix);
    let qualified = others.filter_map(|(index, login)| {
        let held = held.get(&login.prefix).copied().unwrap_or(0);
        let may_go = held > wanted || now.since(login.since) >= OLD;
        may_go.then_some((held, Reverse(index)))
    });
    qualified.max().map(|(_, Reverse(index))| index)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use domain::{
        clock::{Clock as _, ManualClock},
        rng::SeededRng,
    };

    use super::*;

    const START: UnixMillis = UnixMillis(1_795_305_600_000);

    struct Clients {
        waiting: WaitingLogins,
        clock: ManualClock,
        rng: SeededRng,
    }

    impl Clients {
        fn new() -> Self {
            Self {
                waiting: WaitingLogins::default(),
                clock: ManualClock::at(START),
                rng: SeededRng::new(1),
            }
        }

        fn login(&self, client: usize) -> Waiting {
            let id = Uid::random(&self.rng);
            Waiting {
                id,
                code: id.to_string(),
                prefix: Some(prefix(client)),
                since: self.clock.now(),
            }
        }

        fn ask(&self, client: usize) -> Result<Option<Waiting>, Full> {
            self.waiting.add(self.login(client))
        }
    }

    fn prefix(client: usize) -> AddressPrefix {
        let [high, low] = u16::try_from(client).unwrap().to_be_bytes();
        IpAddr::from([198, 18, high, low]).into()
    }

    #[test]
    fn a_prefix_has_at_most_its_share_of_device_logins_s02() {
        let clients = Clients::new();
        for _ in 0..SHARE {
            assert_eq!(clients.ask(1), Ok(None));
        }
        let retry_after = CODE_LIFETIME;
        assert_eq!(clients.ask(1), Err(Full { retry_after }));
        assert_eq!(clients.ask(2), Ok(None));
    }

    #[test]
    fn greedy_prefixes_lose_their_oldest_device_logins_to_others_s02() {
        let clients = Clients::new();
        for number in 0..TOTAL {
            assert_eq!(clients.ask(number / SHARE), Ok(None), "{number}");
        }
        let evicted = clients.ask(1000).unwrap().unwrap();
        assert_eq!(evicted.prefix, Some(prefix(0)));
        for newcomer in 1001..1100 {
            let evicted = clients.ask(newcomer).unwrap().unwrap();
            assert!((0..TOTAL / SHARE).any(|greedy| evicted.prefix == Some(prefix(greedy))));
        }
        // Those who lost logins cannot evict each other's.
        assert!(clients.ask(0).is_err());
    }

    #[test]
    fn no_number_of_prefixes_keeps_device_logins_of_others_out_s02() {
        let clients = Clients::new();
        for client in 0..TOTAL {
            assert_eq!(clients.ask(client), Ok(None), "{client}");
        }
        assert_eq!(clients.ask(TOTAL), Err(Full { retry_after: OLD }));
        clients.clock.advance(OLD);
        let evicted = clients.ask(TOTAL).unwrap().unwrap();
        assert_eq!(evicted.prefix, Some(prefix(0)));
        let evicted = clients.ask(TOTAL + 1).unwrap().unwrap();
        assert_eq!(evicted.prefix, Some(prefix(1)));
    }

    #[test]
    fn device_logins_end_by_the_given_clock() {
        let clients = Clients::new();
        let fill = || {
            for _ in 0..SHARE {
                assert_eq!(clients.ask(1), Ok(None));
            }
        };
        fill();
        let moment = Duration::from_millis(1);
        clients.clock.advance(CODE_LIFETIME.saturating_sub(moment));
        assert_eq!(
            clients.ask(1),
            Err(Full {
                retry_after: moment
            })
        );
        clients.clock.advance(moment);
        fill();
        let day = Duration::from_hours(24);
        clients.clock.set(START.saturating_sub(day));
        fill();
    }

    #[test]
    fn a_device_login_that_is_entered_or_not_stored_makes_room() {
        let clients = Clients::new();
        let (entered, lost) = (clients.login(1), clients.login(1));
        for login in [&entered, &lost] {
            assert_eq!(clients.waiting.add(login.clone()), Ok(None));
        }
        for _ in 2..SHARE {
            assert_eq!(clients.ask(1), Ok(None));
        }
        assert!(clients.ask(1).is_err());
        clients.waiting.remove_entered(entered.code.as_bytes());
        assert_eq!(clients.ask(1), Ok(None));
        assert!(clients.ask(1).is_err());
        clients.waiting.remove(lost.id);
        assert_eq!(clients.ask(1), Ok(None));
    }

    #[test]
    fn evicted_device_logins_are_remembered() {
        let clients = Clients::new();
        let (one, other) = (clients.login(1), clients.login(1));
        clients.waiting.record_evicted(one.id);
        assert!(clients.waiting.is_evicted(one.id));
        assert!(!clients.waiting.is_evicted(other.id));
    }
}
