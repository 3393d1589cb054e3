//! The storage port and its backends.
//!
//! [`Store`] is all that the rest of the system knows. A backend is one folder here, and passes the one
//! conformance suite; a new resource kind changes none of them.

mod backend;
mod error;
mod migration;
mod open;
mod port;
pub mod postgres;
mod prepared;
mod row;
pub mod seal;
pub mod sqlite;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transfer;

pub use backend::{Backend, Finding};
pub use open::{DatabaseUrl, Location, StoreConfig, open, open_backend};
pub use port::*;
