//! Registration, use, renaming and removal of Authenticators by the holder of a Session. The API and the pages share
//! this code.

pub(crate) mod ceremony;
pub(crate) mod enforcement;
pub mod factors;
pub(crate) mod fido;
mod holder;
pub(crate) mod manage;
mod raise;
pub(crate) mod recovery;
mod registration;
#[cfg(test)]
mod testing;
pub(crate) mod totp;
pub(crate) mod tpm;
pub(crate) mod waiting;

pub(crate) use factors::Factors;
pub(crate) use holder::Holder;
pub(crate) use manage::Which;
pub(crate) use raise::{Proof, failed, usable, usable_by};
pub(crate) use registration::{Registration, complete, registering};
