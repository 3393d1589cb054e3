//! The storage port and its backends.
//!
//! The rest of the system depends only on [`Store`]. Each backend is one folder and passes the common conformance
//! suite. A new resource kind needs no change to a backend.
#![allow(
    clippy::similar_names,
    reason = "names such as sealer and sealed are meant to be similar"
)]

mod backend;
mod backup_format;
mod database_url;
mod error;
mod finding;
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

pub use backend::Backend;
pub use database_url::DatabaseUrl;
pub use finding::Finding;
pub use open::{Location, StoreConfig, open, open_backend};
pub use port::*;
