//! Authenticators of whoever has a Session: they are added, used, renamed and removed here, by the API and by the
//! pages alike.

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

use store::CommitError;

/// How often something that lost a race is tried again.
const ATTEMPTS: usize = 16;

/// Whether it is worth trying again with what is read anew.
fn is_race(error: &CommitError) -> bool {
    matches!(
        error,
        CommitError::Conflict { .. } | CommitError::NameTaken { .. }
    )
}
