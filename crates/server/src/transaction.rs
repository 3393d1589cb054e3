//! Retries of transactions that conflict with concurrent transactions.

use store::CommitError;

use crate::Error;

/// Maximum number of attempts. Each conflict means that another transaction was committed, so this also limits the
/// number of concurrent transactions that can delay one.
const MAX_ATTEMPTS: u32 = 128;

/// The attempts to commit one transaction. Each attempt reads the current state and builds the transaction from it:
///
/// ```text
/// let mut attempts = Attempts::default();
/// loop {
///     attempts.start().await?;
///     let stored = load::by_uid(…).await?;
///     let mut transaction = Transaction::at(now);
///     transaction.push(…);
///     match ctx.store.commit(transaction).await {
///         Ok(_) => return Ok(…),
///         // Errors that this caller does not retry, or handles before a retry.
///         Err(CommitError::LimitReached { .. }) => return Err(…),
///         Err(error) => retry_conflict(error)?,
///     }
/// }
/// ```
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    started: u32,
}

impl Attempts {
    /// Starts an attempt. Lets other tasks run before a retry.
    ///
    /// # Errors
    /// Returns `Unavailable` if all attempts are used.
    pub(crate) async fn start(&mut self) -> Result<(), Error> {
        if self.started == MAX_ATTEMPTS {
            return Err(Error::unavailable(format!(
                "the transaction was not committed after {MAX_ATTEMPTS} attempts, because of concurrent changes"
            )));
        }
        if self.started > 0 {
            tokio::task::yield_now().await;
        }
        self.started += 1;
        Ok(())
    }
}

/// Returns whether another attempt, which reads the current state, can succeed: a document changed since it was read,
/// or its name was taken. The names in retried transactions are random or derived from an id.
///
/// The other variants depend on the transaction. For example, a taken index is a conflict if its value is random, and
/// final if a client sent the value.
pub(crate) fn is_conflict(error: &CommitError) -> bool {
    match error {
        CommitError::Conflict { .. } | CommitError::NameTaken { .. } => true,
        CommitError::IndexTaken { .. }
        | CommitError::LimitReached { .. }
        | CommitError::RecordTaken
        | CommitError::Store(_) => false,
    }
}

/// Lets the caller retry after a conflict, see [`is_conflict`].
///
/// # Errors
/// Returns `error` if it is not a conflict.
pub(crate) fn retry_conflict(error: CommitError) -> Result<(), CommitError> {
    if is_conflict(&error) {
        Ok(())
    } else {
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use domain::{id::Uid, kind::Kind};
    use store::StoreError;

    use super::*;
    use crate::ErrorKind;

    #[tokio::test]
    async fn a_transaction_that_never_commits_is_unavailable() {
        let mut attempts = Attempts::default();
        for _ in 0..MAX_ATTEMPTS {
            attempts.start().await.unwrap();
        }
        for _ in 0..2 {
            let error = attempts.start().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
        }
    }

    #[test]
    fn only_changed_documents_and_taken_names_are_conflicts() {
        let (kind, index) = (Kind::Session, "user");
        let uid: Uid = "6fa459ea-ee8a-4ca4-894e-db77e160355e".parse().unwrap();
        let name = "root-abcdef".to_owned();
        for error in [
            CommitError::Conflict { kind, uid },
            CommitError::NameTaken { kind, name },
        ] {
            assert!(retry_conflict(error).is_ok());
        }
        for error in [
            CommitError::IndexTaken { kind, index },
            CommitError::LimitReached { kind, index },
            CommitError::RecordTaken,
            CommitError::Store(StoreError {
                context: "commit".to_owned(),
                transient: true,
                source: None,
            }),
        ] {
            assert!(retry_conflict(error).is_err());
        }
    }
}
