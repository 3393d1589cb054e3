//! The cached Sessions, and the notification of their open streams when one is no longer valid.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::{clock::UnixMillis, id::Uid, token::Claims};
use tokio_util::sync::CancellationToken;

use super::principal::ValidSession;

/// Maximum number of tokens of one Session with open streams. Above it, the oldest is ended.
const LIVE_TOKENS: usize = 1024;
const FIRST: [u8; 16] = [0; 16];
const LAST: [u8; 16] = [0xff; 16];

/// A bounded cache of Sessions. Sessions with tokens in use keep their slot, so that a revocation reaches them.
pub(super) struct Sessions {
    table: Mutex<Table>,
    capacity: usize,
}

#[derive(Default)]
struct Table {
    slots: HashMap<Uid, Slot>,
    /// Pairs of an object that a Session depends on, and the Session.
    dependents: BTreeSet<(Uid, Uid)>,
    /// Earliest end of a token, per Session.
    timers: BTreeSet<(UnixMillis, Uid)>,
    /// Sessions that have a `ValidSession`, in the order of eviction.
    hand: VecDeque<Uid>,
    valid_sessions: usize,
}

struct Slot {
    valid_session: Option<Arc<ValidSession>>,
    dependencies: Arc<[Uid]>,
    live: Vec<LiveToken>,
    scheduled: Option<UnixMillis>,
}

/// A token that may have open streams.
struct LiveToken {
    claims: Arc<Claims>,
    revoked: CancellationToken,
    valid_until: UnixMillis,
}

impl Sessions {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            table: Mutex::default(),
            capacity: capacity.max(1),
        }
    }

    pub(super) fn get(&self, session: Uid) -> Option<Arc<ValidSession>> {
        let valid_session = self.lock().slots.get(&session)?.valid_session.clone()?;
        valid_session.touch();
        Some(valid_session)
    }

    /// Inserts `valid_session` if `holds` returns true; otherwise returns `None`. `holds` runs under the lock, so
    /// nothing can be outdated concurrently. `token_end` returns the end of each registered token. Tokens that it no
    /// longer accepts are cancelled.
    pub(super) fn insert(
        &self,
        valid_session: ValidSession,
        holds: impl FnOnce() -> bool,
        token_end: impl Fn(&ValidSession, &Claims) -> Option<UnixMillis>,
    ) -> Option<Arc<ValidSession>> {
        let session = valid_session.uid;
        let valid_session = Arc::new(valid_session);
        let mut table = self.lock();
        if !holds() {
            return None;
        }
        let mut slot = table.take(session).unwrap_or_else(Slot::empty);
        if let Some(before) = slot.valid_session.take() {
            before.outdate();
            table.valid_sessions -= 1;
        }
        slot.live.retain_mut(|token| {
            match token_end(&valid_session, &token.claims) {
                Some(end) => token.valid_until = end,
                None => token.revoked.cancel(),
            }
            !token.revoked.is_cancelled()
        });
        slot.dependencies = valid_session.session_context.dependencies.clone();
        slot.valid_session = Some(valid_session.clone());
        table.valid_sessions += 1;
        table.hand.push_back(session);
        table.put(session, slot);
        table.shrink(self.capacity);
        Some(valid_session)
    }

    /// Registers a token under `valid_session`, and returns the notification of its end. Returns `None` if
    /// `valid_session` is outdated.
    pub(super) fn watch(
        &self,
        valid_session: &ValidSession,
        claims: &Arc<Claims>,
        valid_until: UnixMillis,
    ) -> Option<CancellationToken> {
        let mut table = self.lock();
        if !valid_session.is_current() {
            return None;
        }
        let mut slot = table.take(valid_session.uid)?;
        let known = slot
            .live
            .iter()
            .find(|token| token.claims.token_id == claims.token_id);
        let revoked = if let Some(known) = known {
            known.revoked.clone()
        } else {
            let revoked = CancellationToken::new();
            if slot.live.len() >= LIVE_TOKENS {
                slot.live.remove(0).revoked.cancel();
            }
            if slot.live.is_empty() {
                // Most Sessions have exactly one token.
                slot.live.reserve_exact(1);
            }
            slot.live.push(LiveToken {
                claims: claims.clone(),
                revoked: revoked.clone(),
                valid_until,
            });
            revoked
        };
        table.put(valid_session.uid, slot);
        Some(revoked)
    }

    /// Outdates every Session that depends on one of `uids`. Returns those with tokens in use, which must be checked
    /// again now. The others are checked at their next use.
    pub(super) fn outdate(&self, uids: impl IntoIterator<Item = Uid>) -> Vec<Uid> {
        let mut table = self.lock();
        let mut sessions = BTreeSet::new();
        for uid in uids {
            let (Ok(first), Ok(last)) = (Uid::from_bytes(&FIRST), Uid::from_bytes(&LAST)) else {
                continue;
            };
            let range = (uid, first)..=(uid, last);
            sessions.extend(table.dependents.range(range).map(|(_, session)| *session));
            if table.slots.contains_key(&uid) {
                sessions.insert(uid);
            }
        }
        sessions
            .into_iter()
            .filter(|session| table.outdate(*session))
            .collect()
    }

    /// Outdates all Sessions; see [`Self::outdate`].
    pub(super) fn outdate_all(&self) -> Vec<Uid> {
        let mut table = self.lock();
        let sessions: Vec<Uid> = table.slots.keys().copied().collect();
        sessions
            .into_iter()
            .filter(|session| table.outdate(*session))
            .collect()
    }

    /// Ends a Session that is no longer valid, and cancels all its tokens.
    pub(super) fn revoke(&self, session: Uid) {
        let slot = {
            let mut table = self.lock();
            let slot = table.take(session);
            if let Some(valid_session) = slot.as_ref().and_then(|slot| slot.valid_session.as_ref())
            {
                valid_session.outdate();
                table.valid_sessions -= 1;
            }
            slot
        };
        // Done outside of the lock, because it may wake waiting tasks.
        if let Some(slot) = slot {
            for token in slot.live {
                token.revoked.cancel();
            }
        }
    }

    /// Cancels one revoked token of the Session.
    pub(super) fn revoke_token(&self, session: Uid, token_id: Uid) {
        let mut table = self.lock();
        if let Some(slot) = table.slots.get_mut(&session) {
            slot.live.retain(|token| {
                let ends = token.claims.token_id == token_id;
                if ends {
                    token.revoked.cancel();
                }
                !ends
            });
        }
    }

    /// Cancels tokens that have expired.
    pub(super) fn end_tokens(&self, now: UnixMillis) {
        let mut table = self.lock();
        while let Some((at, session)) = table.timers.first().copied().filter(|(at, _)| *at <= now) {
            let Some(mut slot) = table.take(session) else {
                table.timers.remove(&(at, session));
                continue;
            };
            slot.live.retain(|token| {
                let has_ended = token.valid_until <= now;
                if has_ended {
                    token.revoked.cancel();
                }
                !has_ended
            });
            table.put(session, slot);
        }
    }

    /// Returns the number of cached Sessions, and of their tokens in use.
    pub(super) fn size(&self) -> (usize, usize) {
        let table = self.lock();
        let tokens = table.slots.values().map(|slot| slot.live.len()).sum();
        (table.valid_sessions, tokens)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn empty() -> Self {
        Self {
            valid_session: None,
            dependencies: Arc::default(),
            live: Vec::new(),
            scheduled: None,
        }
    }
}

impl Table {
    /// Removes a slot and all references to it.
    fn take(&mut self, session: Uid) -> Option<Slot> {
        let mut slot = self.slots.remove(&session)?;
        for dependency in slot.dependencies.iter() {
            self.dependents.remove(&(*dependency, session));
        }
        if let Some(at) = slot.scheduled.take() {
            self.timers.remove(&(at, session));
        }
        Some(slot)
    }

    /// Inserts a slot, unless it is empty.
    fn put(&mut self, session: Uid, mut slot: Slot) {
        if slot.valid_session.is_none() && slot.live.is_empty() {
            return;
        }
        for dependency in slot.dependencies.iter() {
            self.dependents.insert((*dependency, session));
        }
        slot.scheduled = slot.live.iter().map(|token| token.valid_until).min();
        if let Some(at) = slot.scheduled {
            self.timers.insert((at, session));
        }
        self.slots.insert(session, slot);
    }

    /// Outdates a Session. Returns true if it has tokens in use.
    fn outdate(&mut self, session: Uid) -> bool {
        let Some(mut slot) = self.take(session) else {
            return false;
        };
        if let Some(valid_session) = slot.valid_session.take() {
            valid_session.outdate();
            self.valid_sessions -= 1;
        }
        let is_in_use = !slot.live.is_empty();
        self.put(session, slot);
        is_in_use
    }

    /// Evicts the `ValidSession` of Sessions that were not used lately. Their tokens in use stay registered.
    fn shrink(&mut self, capacity: usize) {
        while self.valid_sessions > capacity {
            let Some(session) = self.hand.pop_front() else {
                return;
            };
            match self
                .slots
                .get(&session)
                .and_then(|slot| slot.valid_session.as_ref())
            {
                Some(valid_session) if valid_session.was_used() => self.hand.push_back(session),
                Some(_) => {
                    self.outdate(session);
                }
                None => {}
            }
        }
        if self.hand.len() > 2 * self.valid_sessions + 64 {
            let mut seen = BTreeSet::new();
            let slots = &self.slots;
            self.hand.retain(|session| {
                let stands = slots
                    .get(session)
                    .is_some_and(|slot| slot.valid_session.is_some());
                stands && seen.insert(*session)
            });
        }
    }
}
