//! Memory budgets that callers share.
//!
//! A [`Pool`] bounds the memory of unfinished requests: a share for each caller, and a total. If the total is reached,
//! the oldest unfinished body of the caller that holds most is evicted.

mod pool;

pub use pool::{Eviction, Pool, ReserveError, Reserved, STEP, Size};
