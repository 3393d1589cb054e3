//! What is known of a request body while it is being sent.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// Shared by the body, which an upstream connection owns, and the request that waits for the response.
#[derive(Debug, Default)]
pub(crate) struct Transfer {
    bytes: AtomicU64,
    frames: AtomicU64,
    awaits_client: AtomicBool,
    state: AtomicU8,
}

/// How far a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransferState {
    Running,
    Finished,
    TooLarge,
    Idle,
    Revoked,
    ClientGone,
}

impl Transfer {
    /// Bytes taken from the client.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A number that changes as long as something moves.
    pub(crate) fn progress(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    pub(crate) fn state(&self) -> TransferState {
        match self.state.load(Ordering::Acquire) {
            1 => TransferState::Finished,
            2 => TransferState::TooLarge,
            3 => TransferState::Idle,
            4 => TransferState::Revoked,
            5 => TransferState::ClientGone,
            _ => TransferState::Running,
        }
    }

    /// The upstream takes what comes, but nothing does.
    pub(crate) fn awaits_client(&self) -> bool {
        self.awaits_client.load(Ordering::Relaxed)
    }

    pub(super) fn set_awaits_client(&self) {
        self.awaits_client.store(true, Ordering::Relaxed);
    }

    /// Counts a frame; returns the bytes so far.
    pub(super) fn add(&self, bytes: u64) -> u64 {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.awaits_client.store(false, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    pub(super) fn set(&self, state: TransferState) {
        let code = match state {
            TransferState::Running => 0,
            TransferState::Finished => 1,
            TransferState::TooLarge => 2,
            TransferState::Idle => 3,
            TransferState::Revoked => 4,
            TransferState::ClientGone => 5,
        };
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.awaits_client.store(false, Ordering::Relaxed);
        self.state.store(code, Ordering::Release);
    }
}
