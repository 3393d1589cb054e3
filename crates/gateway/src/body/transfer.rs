//! The state of a request body while it is sent.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// A state that the body, owned by an upstream connection, shares with the request that waits for the response.
#[derive(Debug, Default)]
pub(crate) struct Transfer {
    bytes: AtomicU64,
    frames: AtomicU64,
    awaits_client: AtomicBool,
    state: AtomicU8,
}

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
    /// Returns the bytes received from the client.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns a number that changes whenever a frame passes.
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

    /// Returns true if the upstream is ready for data and the client sends none.
    pub(crate) fn awaits_client(&self) -> bool {
        self.awaits_client.load(Ordering::Relaxed)
    }

    pub(super) fn set_awaits_client(&self) {
        self.awaits_client.store(true, Ordering::Relaxed);
    }

    /// Counts a frame and returns the total bytes.
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
