//! Registration, use, renaming and removal of Authenticators by the holder of a Session. The API and the pages share
//! this code.

pub(crate) mod ceremony;
pub(crate) mod enforcement;
pub mod factors;
pub(crate) mod fido;
mod holder;
pub(crate) mod manage;
pub(crate) mod pending_action;
pub(crate) mod recovery;
mod registration;
mod step_up;
#[cfg(test)]
mod testing;
pub(crate) mod totp;
pub(crate) mod tpm;

pub(crate) use factors::Factors;
pub(crate) use holder::Holder;
pub(crate) use manage::AuthenticatorSelector;
pub(crate) use registration::{Registration, complete, registering};
pub(crate) use step_up::{Proof, failed, usable, usable_by};
