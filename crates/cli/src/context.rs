//! The dependencies that every command gets.

use domain::{
    clock::{Clock, SystemClock, UnixMillis},
    rng::{Rng, SystemRng},
};

use crate::{environment::Environment, terminal::Terminal};

/// The environment of a command.
pub(crate) struct Context {
    pub(crate) environment: Environment,
    pub(crate) terminal: Terminal,
    /// Value of `--domain`.
    pub(crate) domain: Option<String>,
    /// Value of `--homedir`.
    pub(crate) homedir: Option<String>,
    pub(crate) clock: SystemClock,
    pub(crate) rng: SystemRng,
}

impl Context {
    /// Returns the current time.
    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Returns the random number generator.
    pub(crate) fn rng(&self) -> &dyn Rng {
        &self.rng
    }
}
