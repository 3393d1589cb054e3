//! Transactions in the form for backends, with sealed secrets.

use domain::clock::UnixMillis;

use crate::{
    Expected, NewDocument, Operation, SecretWrite, StoreError, Transaction,
    seal::{Sealer, SecretLocation},
};

/// A transaction whose secrets are sealed. It can be executed again after a failure.
pub(crate) struct Prepared {
    pub(crate) steps: Vec<Step>,
    pub(crate) now: UnixMillis,
}

#[allow(
    clippy::large_enum_variant,
    reason = "short-lived; a box would cost an allocation each"
)]
pub(crate) enum Step {
    Put {
        /// The document, whose `secret` was moved into `sealed`.
        document: NewDocument,
        /// `None` keeps the existing secret.
        sealed: Option<Vec<u8>>,
        expected: Expected,
    },
    /// Any operation except `Put`.
    Other(Operation),
}

/// Seals the secrets of `transaction`.
pub(crate) fn prepare(transaction: Transaction, sealer: &Sealer) -> Result<Prepared, StoreError> {
    let prepare = |operation| match operation {
        Operation::Put(mut document, expected) => {
            let sealed = match std::mem::replace(&mut document.secret, SecretWrite::Keep) {
                SecretWrite::Keep => None,
                SecretWrite::Set(secret) => {
                    let place = SecretLocation::of_document(document.kind, document.uid);
                    Some(sealer.seal(place, &secret)?)
                }
            };
            Ok(Step::Put {
                document,
                sealed,
                expected,
            })
        }
        other => Ok(Step::Other(other)),
    };
    Ok(Prepared {
        steps: transaction
            .operations
            .into_iter()
            .map(prepare)
            .collect::<Result<_, StoreError>>()?,
        now: transaction.now,
    })
}
