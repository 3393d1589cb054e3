//! The storage port and its backends.

mod port;

pub use port::*;
