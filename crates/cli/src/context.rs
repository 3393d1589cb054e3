//! What every command has at hand.

use domain::{
    clock::{Clock, SystemClock, UnixMillis},
    rng::{Rng, SystemRng},
};

use crate::{environment::Environment, terminal::Terminal};

/// The surroundings of a command.
pub(crate) struct Context {
    /// Variables.
    pub(crate) environment: Environment,
    /// Standard streams.
    pub(crate) terminal: Terminal,
    /// `--domain`
    pub(crate) domain: Option<String>,
    /// `--homedir`
    pub(crate) homedir: Option<String>,
    /// Time.
    pub(crate) clock: SystemClock,
    /// Randomness.
    pub(crate) rng: SystemRng,
}

impl Context {
    /// The present instant.
    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Unpredictable bytes.
    pub(crate) fn rng(&self) -> &dyn Rng {
        &self.rng
    }
}
