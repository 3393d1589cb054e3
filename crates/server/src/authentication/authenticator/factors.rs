//! The failed guesses and the recovery codes of a User, stored in one document.
//!
//! Every guess updates the document by compare-and-set. Concurrent guesses on any number of replicas therefore get no
//! more attempts than sequential ones.

use domain::{authenticator::Attempts, clock::UnixMillis, id::Uid, kind::Kind};
use prost::Message as _;
use store::{Document, Expected, NewDocument, Operation, Revision, SecretWrite, StoreError};

use crate::{Context, Error, ErrorKind};

/// The stored form.
#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(uint32, tag = "1")]
    failures: u32,
    #[prost(int64, optional, tag = "2")]
    last_failed_at: Option<i64>,
    /// The SHA-256 of each unused code. A code has 80 random bits, so its hash cannot be reversed by search.
    #[prost(bytes = "vec", repeated, tag = "3")]
    recovery_codes: Vec<Vec<u8>>,
    #[prost(int64, optional, tag = "4")]
    recovery_made_at: Option<i64>,
}

impl Record {
    fn of(document: &Document) -> Result<Self, StoreError> {
        Self::decode(document.body.as_slice()).map_err(|error| StoreError {
            context: format!("decode the second factors of {}", document.uid),
            transient: false,
            source: Some(std::sync::Arc::new(error)),
        })
    }

    fn attempts(&self) -> Attempts {
        Attempts {
            failures: self.failures,
            last_failed_at: self.last_failed_at.map(UnixMillis),
        }
    }

    /// See [`restored`].
    fn carried_over(restored: Self, former: Self) -> Self {
        let severity = |record: &Self| (record.attempts().blocked_until(), record.failures);
        let failed = if severity(&restored) > severity(&former) {
            &restored
        } else {
            &former
        };
        let (failures, last_failed_at) = (failed.failures, failed.last_failed_at);
        let codes = match (restored.recovery_made_at, former.recovery_made_at) {
            (Some(then), Some(now)) if then > now => restored,
            (Some(then), Some(now)) if then == now => {
                let mut both = former;
                both.recovery_codes
                    .retain(|code| restored.recovery_codes.contains(code));
                both
            }
            _ => former,
        };
        Self {
            failures,
            last_failed_at,
            ..codes
        }
    }
}

/// Merges the second factors of a User when a backup with `restored` replaces a store with `former`. The longer of two
/// lockouts stays. Recovery codes that were used, replaced or removed since the backup stay invalid.
///
/// # Errors
/// Returns an error if a document cannot be decoded.
pub fn restored(restored: &Document, former: &Document) -> Result<Vec<u8>, StoreError> {
    let carried = Record::carried_over(Record::of(restored)?, Record::of(former)?);
    Ok(carried.encode_to_vec())
}

/// Removes all recovery codes from `restored`. Used without a former store, because it is unknown which codes were
/// used since the backup. The failed guesses stay.
///
/// # Errors
/// Returns an error if the document cannot be decoded.
pub fn without_recovery_codes(restored: &Document) -> Result<Vec<u8>, StoreError> {
    let mut record = Record::of(restored)?;
    record.recovery_codes.clear();
    Ok(record.encode_to_vec())
}

/// The record of a User, as read from the store.
#[derive(Clone)]
pub(crate) struct Factors {
    user: Uid,
    revision: Option<Revision>,
    created_at: UnixMillis,
    record: Record,
}

impl Factors {
    /// Loads the record of a User. The record is empty if none is stored.
    ///
    /// # Errors
    /// Returns the error of the store, or an error if the document cannot be decoded.
    pub(crate) async fn load(ctx: &Context, user: Uid, now: UnixMillis) -> Result<Self, Error> {
        let document = ctx.store.get(Kind::SecondFactors, user, now).await?;
        Ok(Self::of(user, document.as_ref(), now)?)
    }

    fn of(user: Uid, document: Option<&Document>, now: UnixMillis) -> Result<Self, StoreError> {
        let record = document.map(Record::of).transpose()?;
        Ok(Self {
            user,
            revision: document.map(|document| document.revision),
            created_at: document.map_or(now, |document| document.created_at),
            record: record.unwrap_or_default(),
        })
    }

    /// Checks that the User may enter a code now.
    ///
    /// # Errors
    /// Returns `RateLimited` after too many failures.
    pub(crate) fn check(&self, now: UnixMillis) -> Result<(), Error> {
        self.attempts().check(now).map_err(|blocked| {
            let retry_after = blocked.until.since(now);
            let minutes = retry_after.as_secs().div_ceil(60);
            Error::new(
                ErrorKind::RateLimited { retry_after },
                format!(
                    "Too many codes were wrong. Try again in {minutes} min, or use a passkey, a security key or a TPM, \
                     which are not delayed"
                ),
            )
            .because("authenticator_blocked")
        })
    }

    /// Number of consecutive failed guesses.
    pub(crate) fn failures(&self) -> u32 {
        self.record.failures
    }

    /// Number of unused recovery codes, and the time they were created.
    pub(crate) fn recovery(&self) -> Option<(usize, UnixMillis)> {
        let made_at = self.record.recovery_made_at?;
        Some((self.record.recovery_codes.len(), UnixMillis(made_at)))
    }

    /// Returns the index of the recovery code with this hash.
    pub(super) fn find(&self, hash: &[u8]) -> Option<usize> {
        let codes = self.record.recovery_codes.iter();
        codes.map(Vec::as_slice).position(|known| known == hash)
    }

    /// Returns the write that counts a failed guess, and whether it blocks further guesses.
    pub(super) fn with_failure(&self, now: UnixMillis) -> (Operation, bool) {
        let attempts = self.attempts().failed(now);
        let mut record = self.record.clone();
        record.failures = attempts.failures;
        record.last_failed_at = attempts.last_failed_at.map(|at| at.0);
        let is_blocked = attempts.check(now).is_err();
        (self.put(&record), is_blocked)
    }

    /// Returns the operation that records a correct guess and resets the failures. The operation fails if another
    /// guess failed in the meantime. It is therefore needed even with nothing to reset.
    pub(super) fn with_success(&self) -> Operation {
        match self.revision {
            Some(revision) if self.record.failures == 0 => {
                Operation::Unchanged(Kind::SecondFactors, self.user, revision)
            }
            _ => self.put(&Record {
                failures: 0,
                last_failed_at: None,
                ..self.record.clone()
            }),
        }
    }

    /// Like [`Self::with_success`], for a recovery code, which is removed.
    pub(super) fn without_code(&self, place: usize) -> Operation {
        let mut record = self.record.clone();
        if place < record.recovery_codes.len() {
            record.recovery_codes.remove(place);
        }
        record.failures = 0;
        record.last_failed_at = None;
        self.put(&record)
    }

    /// Returns the write that replaces all recovery codes.
    pub(super) fn with_codes(&self, hashes: Vec<Vec<u8>>, now: UnixMillis) -> Operation {
        let mut record = self.record.clone();
        record.recovery_codes = hashes;
        record.recovery_made_at = Some(now.0);
        self.put(&record)
    }

    fn attempts(&self) -> Attempts {
        self.record.attempts()
    }

    fn put(&self, record: &Record) -> Operation {
        let document = NewDocument {
            kind: Kind::SecondFactors,
            uid: self.user,
            name: self.user.to_string(),
            created_at: self.created_at,
            expires_at: None,
            body: record.encode_to_vec(),
            indexes: Vec::new(),
            secret: SecretWrite::Keep,
        };
        let expected = self.revision.map_or(Expected::Absent, Expected::Revision);
        Operation::Put(document, expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(failures: u32, codes: &[u8], made_at: Option<i64>) -> Record {
        Record {
            failures,
            last_failed_at: (failures > 0).then_some(1_000),
            recovery_codes: codes.iter().map(|code| vec![*code]).collect(),
            recovery_made_at: made_at,
        }
    }

    #[test]
    fn b02_the_longer_lock_out_survives_a_restore() {
        let (none, few, many) = (
            record(0, &[], None),
            record(5, &[], None),
            record(9, &[], None),
        );
        for (restored, former, expected) in [
            (&none, &many, 9),
            (&few, &many, 9),
            (&many, &few, 9),
            (&many, &none, 9),
            (&none, &none, 0),
        ] {
            let carried = Record::carried_over(restored.clone(), former.clone());
            assert_eq!(carried.failures, expected);
            assert_eq!(carried.last_failed_at, (expected > 0).then_some(1_000));
        }
        let mut later = few.clone();
        later.last_failed_at = Some(100_000_000);
        assert_eq!(Record::carried_over(many, later.clone()), later);
    }

    #[test]
    fn b20_a_restore_brings_back_no_recovery_code_that_was_used_or_replaced() {
        let backup = record(0, &[1, 2, 3], Some(1));
        let used = record(0, &[1, 3], Some(1));
        let replaced = record(0, &[7, 8], Some(2));
        let taken_away = record(1, &[], None);
        for former in [&used, &replaced, &taken_away] {
            let carried = Record::carried_over(backup.clone(), former.clone());
            assert_eq!(carried.recovery_codes, former.recovery_codes);
            assert_eq!(carried.recovery_made_at, former.recovery_made_at);
        }
        // The former store may itself have been restored from an older backup.
        let carried = Record::carried_over(used, backup.clone());
        assert_eq!(carried.recovery_codes, [vec![1], vec![3]]);
        let carried = Record::carried_over(replaced.clone(), backup);
        assert_eq!(carried, replaced);
    }
}
