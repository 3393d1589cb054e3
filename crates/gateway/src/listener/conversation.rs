//! The state of the requests on one HTTP/1.1 connection: how far they were read, which are ambiguous, and which are
//! open.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use http::{Extensions, Request, Version, header};

use super::Activity;

/// State shared by the connection, its parsed requests and their bodies. Numbers of requests start at 1; 0 means none.
pub(super) struct Conversation {
    activity: Arc<Activity>,
    both_framings: AtomicU64,
    malformed_chunk: AtomicU64,
    lost: AtomicU64,
    heads: AtomicU64,
    requests: AtomicU64,
    waits_for_a_request: AtomicBool,
    has_sent: AtomicBool,
    closes: AtomicBool,
}

/// Marks a request with both framings.
#[derive(Clone, Copy)]
struct BothFramings;

/// Marks a request with a malformed chunk.
#[derive(Clone, Copy)]
struct MalformedChunk;

impl Conversation {
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        Self {
            activity,
            both_framings: AtomicU64::new(0),
            malformed_chunk: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            heads: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            waits_for_a_request: AtomicBool::new(false),
            has_sent: AtomicBool::new(false),
            closes: AtomicBool::new(false),
        }
    }

    pub(super) fn found_both_framings(&self, number: u64) {
        self.both_framings.store(number, Ordering::Release);
    }

    pub(super) fn found_malformed_chunk(&self, number: u64) {
        self.malformed_chunk.store(number, Ordering::Release);
    }

    /// Records that the boundaries of requests are unknown from request `number` on.
    pub(super) fn mark_unsynchronized(&self, number: u64) {
        self.lost.store(number, Ordering::Release);
    }

    pub(super) fn read_heads(&self, heads: u64) {
        self.heads.store(heads, Ordering::Relaxed);
    }

    /// Records whether nothing was received since the end of a request.
    pub(super) fn waits_for_a_request(&self, waits: bool) {
        self.waits_for_a_request.store(waits, Ordering::Relaxed);
    }

    /// Records whether all written data was sent.
    pub(super) fn has_sent(&self, all: bool) {
        self.has_sent.store(all, Ordering::Relaxed);
    }

    /// Returns true if every request was answered completely.
    pub(super) fn is_answered(&self) -> bool {
        self.activity.is_idle() && self.has_sent.load(Ordering::Relaxed)
    }

    pub(super) fn set_closing(&self) {
        self.closes.store(true, Ordering::Relaxed);
    }

    /// Returns the number of requests.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns true if every request was answered completely and nothing of the next one was received.
    pub(super) fn is_at_rest(&self) -> bool {
        self.activity.is_idle()
            && self.heads.load(Ordering::Relaxed) == self.requests()
            && self.waits_for_a_request.load(Ordering::Relaxed)
            && self.has_sent.load(Ordering::Relaxed)
            && !self.closes.load(Ordering::Relaxed)
    }

    /// Registers the next request. Marks it if its framing is ambiguous, so that it is rejected.
    pub(super) fn begin<B>(&self, request: &mut Request<B>) {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if request.version() > Version::HTTP_11 {
            return;
        }
        if self.malformed_chunk.load(Ordering::Acquire) == number {
            request.extensions_mut().insert(MalformedChunk);
        }
        let both = self.both_framings.load(Ordering::Acquire);
        let lost = self.lost.load(Ordering::Acquire);
        // After the scanner lost its place, any request that may have both framings is treated as if it had.
        let unknown = lost != 0 && lost <= number;
        if both == number || (unknown && request.headers().contains_key(header::TRANSFER_ENCODING))
        {
            request.extensions_mut().insert(BothFramings);
        }
    }
}

/// Returns true if a chunk of the request's body is malformed, so that its end is uncertain.
pub fn has_malformed_chunk(extensions: &Extensions) -> bool {
    extensions.get::<MalformedChunk>().is_some()
}

/// Returns true if the request has both framings.
pub fn has_both_framings(extensions: &Extensions) -> bool {
    extensions.get::<BothFramings>().is_some()
}
