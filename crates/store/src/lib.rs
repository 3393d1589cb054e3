//! The storage port and its backends.
//!
//! [`Store`] is all that the rest of the system knows. A backend is one folder here, and passes the one
//! conformance suite; a new resource kind changes none of them.
#![allow(
    clippy::similar_names,
    reason = "a sealer seals what is then sealed: the words are meant to be alike"
)]

mod backend;
mod error;
mod migration;
mod open;
mod paging;
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
