//! The activity of a connection: whether a request is open, and for how long it has been idle.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::{Limit, client_share::StreamSlot};

/// State shared by a connection, its open requests, and the code that may close it.
#[derive(Debug)]
pub struct Activity {
    accepted: Instant,
    /// Unsent responses and unread request bodies.
    open: AtomicU32,
    /// The responses among them.
    answers: AtomicU32,
    /// Milliseconds from `accepted` to the end of the last request, or to the last write of its response after that.
    idle_at: AtomicU64,
    has_request: AtomicBool,
    close: Notify,
    unsent: Unsent,
}

/// The responses whose last part was handed to the protocol and is not written yet, by the time of the last progress.
#[derive(Debug, Default)]
struct Unsent {
    /// The number of the current period.
    period: AtomicU32,
    /// Responses of even and of odd periods.
    counts: [AtomicU32; 2],
}

/// A connection without an open request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idle {
    /// The time of acceptance, or of the end of its last request.
    pub since: Instant,
    /// True if there was a request before.
    pub has_request: bool,
}

/// A part of an open request. The connection is not idle until it is dropped.
#[must_use = "the part is over when it is dropped"]
pub struct Open {
    activity: Arc<Activity>,
    part: Part,
    _stream: Option<StreamSlot>,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Request,
    Answer,
    /// The last part of a response, from a period with this number.
    Unsent(u32),
}

impl Activity {
    /// Creates the state of a connection that was just accepted.
    #[allow(clippy::new_without_default, reason = "it reads the clock")]
    pub fn new() -> Self {
        Self {
            accepted: Instant::now(),
            open: AtomicU32::new(0),
            answers: AtomicU32::new(0),
            idle_at: AtomicU64::new(0),
            has_request: AtomicBool::new(false),
            close: Notify::new(),
            unsent: Unsent::default(),
        }
    }

    /// Returns the idle state, or `None` while a request is open or after an upgrade to another protocol.
    pub fn idle(&self) -> Option<Idle> {
        if self.open.load(Ordering::Acquire) != 0 {
            return None;
        }
        let idle_at = Duration::from_millis(self.idle_at.load(Ordering::Relaxed));
        Some(Idle {
            since: self.accepted + idle_at,
            has_request: self.has_request.load(Ordering::Relaxed),
        })
    }

    /// Asks the connection to close once it has no open request.
    pub fn close(&self) {
        self.close.notify_one();
    }

    /// Resolves when the connection must close. Only one task may wait for it.
    pub async fn closing(&self) {
        self.close.notified().await;
    }

    /// Resolves when the connection has been idle for `idle`, or when the client has left the end of a response unread
    /// for `stall`. Returns the limit.
    pub(super) async fn idle_or_stalled(&self, idle: Duration, stall: Duration) -> Limit {
        let mut period = Instant::now();
        loop {
            let passed = self
                .idle()
                .map_or(Duration::ZERO, |idle| idle.since.elapsed());
            // The limit cannot be reached earlier.
            let left = idle.saturating_sub(passed);
            if left.is_zero() {
                return Limit::Http2IdleTime;
            }
            sleep(left.min(stall)).await;
            if period.elapsed() >= stall {
                period = Instant::now();
                if self.unsent.next_period() {
                    return Limit::StallTime;
                }
            }
        }
    }

    /// Resolves when the client has left the end of a response unread for `stall`.
    pub(super) async fn stalled(&self, stall: Duration) {
        loop {
            sleep(stall).await;
            if self.unsent.next_period() {
                return;
            }
        }
    }

    /// Counts a part of a request until the value is dropped.
    pub fn open(self: &Arc<Self>) -> Open {
        self.open_part(Part::Request, None)
    }

    /// Counts a response like [`Self::open`]. Also returns the number of open responses, including this one.
    pub(super) fn open_answer(self: &Arc<Self>, stream: Option<StreamSlot>) -> (Open, u32) {
        let before = self.answers.fetch_add(1, Ordering::Relaxed);
        (self.open_part(Part::Answer, stream), before + 1)
    }

    fn open_part(self: &Arc<Self>, part: Part, stream: Option<StreamSlot>) -> Open {
        self.has_request.store(true, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::AcqRel);
        Open {
            activity: Arc::clone(self),
            part,
            _stream: stream,
        }
    }

    /// Records an upgrade to another protocol, such as WebSocket. The connection counts as active until it ends.
    pub(super) fn upgrade(&self) {
        self.open.fetch_add(1, Ordering::AcqRel);
    }

    /// Records that part of a response was written. The response may no longer count as open.
    pub(super) fn touch(&self) {
        let now = self.accepted.elapsed().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        self.idle_at.store(now, Ordering::Relaxed);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    fn close_answer(&self) {
        self.answers.fetch_sub(1, Ordering::Relaxed);
        self.close_part();
    }

    fn close_part(&self) {
        // This precedes the decrement, so that a reader of 0 does not see an older time.
        self.touch();
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Unsent {
    /// Counts a response and returns its period.
    fn add(&self) -> u32 {
        let period = self.period.load(Ordering::Relaxed);
        self.count(period).fetch_add(1, Ordering::Relaxed);
        period
    }

    /// Moves a response to the current period.
    fn renew(&self, period: u32) -> u32 {
        if period == self.period.load(Ordering::Relaxed) {
            return period;
        }
        self.remove(period);
        self.add()
    }

    fn remove(&self, period: u32) {
        self.count(period).fetch_sub(1, Ordering::Relaxed);
    }

    /// Starts the next period. Returns true if a response of an earlier period is still not written.
    fn next_period(&self) -> bool {
        let next = self.period.load(Ordering::Relaxed).wrapping_add(1);
        if self.count(next).load(Ordering::Relaxed) > 0 {
            return true;
        }
        self.period.store(next, Ordering::Relaxed);
        false
    }

    fn count(&self, period: u32) -> &AtomicU32 {
        let [even, odd] = &self.counts;
        if period.is_multiple_of(2) { even } else { odd }
    }
}

impl Open {
    /// Records that the last part of the response was handed to the protocol. The request is no longer open, but the
    /// client must read that part in time.
    pub(super) fn unsent(&mut self) {
        if let Part::Answer = self.part {
            self.part = Part::Unsent(self.activity.unsent.add());
            self.activity.close_answer();
        }
    }

    /// Records that some of the last part of the response was written.
    pub(super) fn progress(&mut self) {
        if let Part::Unsent(period) = &mut self.part {
            *period = self.activity.unsent.renew(*period);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        match self.part {
            Part::Request => self.activity.close_part(),
            Part::Answer => self.activity.close_answer(),
            Part::Unsent(period) => self.activity.unsent.remove(period),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_from_the_end_of_its_last_request() {
        let activity = Arc::new(Activity::new());
        let accepted = Instant::now();
        let idle = activity.idle().unwrap();
        assert_eq!((idle.since, idle.has_request), (accepted, false));
        let first = activity.open();
        let second = activity.open();
        sleep(LIMIT).await;
        drop(first);
        assert_eq!(activity.idle(), None);
        drop(second);
        let idle = activity.idle().unwrap();
        assert_eq!((idle.since, idle.has_request), (accepted + LIMIT, true));
        activity.upgrade();
        assert_eq!(activity.idle(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_starts_again_with_each_request_s02() {
        let activity = Arc::new(Activity::new());
        let accepted = Instant::now();
        let watched = Arc::clone(&activity);
        let idle = tokio::spawn(async move { watched.idle_or_stalled(LIMIT, LIMIT).await });
        sleep(LIMIT / 2).await;
        let request = activity.open();
        sleep(LIMIT * 10).await;
        assert!(!idle.is_finished());
        drop(request);
        idle.await.unwrap();
        assert_eq!(accepted.elapsed(), LIMIT / 2 + LIMIT * 11);
    }
}
