//! What is known of the requests of one connection of HTTP/1.1: how far they were read, which of them are ambiguous,
//! and whether any is still open.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use http::{Extensions, Request, Version, header};

use super::Activity;

/// Shared by the connection, the requests that are parsed from it, and their bodies. Numbers of requests are from 1; 0
/// where there is none.
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

/// Says of a request that its length is given in two ways.
#[derive(Clone, Copy)]
struct BothFramings;

/// Says of a request that a chunk of its body is malformed.
#[derive(Clone, Copy)]
struct MalformedChunk;

impl Conversation {
    /// The conversation on the connection with this activity.
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

    /// From the request `number` on, it is not known where requests begin.
    pub(super) fn lost_place(&self, number: u64) {
        self.lost.store(number, Ordering::Release);
    }

    pub(super) fn read_heads(&self, heads: u64) {
        self.heads.store(heads, Ordering::Relaxed);
    }

    /// Nothing has come since the end of a request.
    pub(super) fn waits_for_a_request(&self, waits: bool) {
        self.waits_for_a_request.store(waits, Ordering::Relaxed);
    }

    /// Nothing is held back of what was written.
    pub(super) fn has_sent(&self, all: bool) {
        self.has_sent.store(all, Ordering::Relaxed);
    }

    /// Every request has been answered whole.
    pub(super) fn is_answered(&self) -> bool {
        self.activity.is_idle() && self.has_sent.load(Ordering::Relaxed)
    }

    pub(super) fn closes(&self) {
        self.closes.store(true, Ordering::Relaxed);
    }

    /// How many requests there were.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Every request that was read has been answered whole, and nothing of a next one is there.
    pub(super) fn is_at_rest(&self) -> bool {
        self.activity.is_idle()
            && self.heads.load(Ordering::Relaxed) == self.requests()
            && self.waits_for_a_request.load(Ordering::Relaxed)
            && self.has_sent.load(Ordering::Relaxed)
            && !self.closes.load(Ordering::Relaxed)
    }

    /// Takes the next request, and marks one that both framings were found in, so that it is refused.
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
        // Where the place was lost nothing can be said of what comes, so what might have both is taken to have them.
        let unknown = lost != 0 && lost <= number;
        if both == number || (unknown && request.headers().contains_key(header::TRANSFER_ENCODING))
        {
            request.extensions_mut().insert(BothFramings);
        }
    }
}

/// Whether a chunk of a request's body came malformed, so that its end is in doubt.
pub fn has_malformed_chunk(extensions: &Extensions) -> bool {
    extensions.get::<MalformedChunk>().is_some()
}

/// Whether a request came with its length given in two ways.
pub fn has_both_framings(extensions: &Extensions) -> bool {
    extensions.get::<BothFramings>().is_some()
}
