//! Transfer of revocations since the backup into the restored store.

mod rules;
pub(super) mod second_factors;
mod verbatim;

use std::{collections::BTreeMap, fmt};

use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use server::document::{
    codec::{self, Resource},
    load::with_token_ids,
};
use store::{Expected, Operation, SecretWrite, Store, StoreError, Transaction};

use crate::storage::all;

/// The number of changes written at a time.
const BATCH: usize = 500;

/// The number of changed and removed documents by kind.
#[derive(Default)]
pub(super) struct Carried {
    changed: BTreeMap<Kind, usize>,
    removed: BTreeMap<Kind, usize>,
}

/// The decision about a restored document.
enum Verdict<T> {
    Stays,
    Becomes(T),
    Goes,
}

/// Carries the revocations of `former` over into `restored`, a backup made at `backed_up_at`. Also copies the signing
/// keys and audit events since then.
pub(super) async fn carry_over(
    former: &dyn Store,
    restored: &dyn Store,
    backed_up_at: UnixMillis,
    now: UnixMillis,
) -> anyhow::Result<Carried> {
    let mut carried = Carried::default();
    apply(former, restored, now, rules::credential, &mut carried).await?;
    apply(former, restored, now, rules::user, &mut carried).await?;
    apply(former, restored, now, rules::session, &mut carried).await?;
    apply(former, restored, now, rules::device, &mut carried).await?;
    // Removed documents go first, because another User may have registered the same key since.
    verbatim::remove_missing(former, restored, Kind::Authenticator, now, &mut carried).await?;
    apply(former, restored, now, rules::authenticator, &mut carried).await?;
    verbatim::copy_authenticators(former, restored, now).await?;
    second_factors::carry_over(former, restored, now, &mut carried).await?;
    verbatim::remove_missing(former, restored, Kind::SigningKey, now, &mut carried).await?;
    verbatim::copy_signing_keys(former, restored, now).await?;
    verbatim::copy_sessions(former, restored, now).await?;
    verbatim::copy_revoked_tokens(former, restored, now).await?;
    verbatim::copy_audit(former, restored, backed_up_at).await?;
    Ok(carried)
}

async fn apply<T: Resource>(
    former: &dyn Store,
    restored: &dyn Store,
    now: UnixMillis,
    rule: fn(restored: T, former: Option<T>) -> Verdict<T>,
    carried: &mut Carried,
) -> anyhow::Result<()> {
    let mut operations = Vec::new();
    for document in all(restored, T::DOCUMENT, now).await? {
        let Some(stored) = with_token_ids::<T>(restored, document.uid, now).await? else {
            continue;
        };
        let then = with_token_ids::<T>(former, document.uid, now).await?;
        match rule(stored.message, then.map(|then| then.message)) {
            Verdict::Stays => {}
            Verdict::Becomes(message) => {
                *carried.changed.entry(T::DOCUMENT).or_default() += 1;
                let secret = secret(former, T::DOCUMENT, stored.uid).await?;
                let document = codec::encode(stored.uid, stored.created_at, &message, secret);
                operations.push(Operation::Put(
                    document,
                    Expected::Revision(stored.revision),
                ));
            }
            Verdict::Goes => {
                *carried.removed.entry(T::DOCUMENT).or_default() += 1;
                operations.push(Operation::Delete(T::DOCUMENT, stored.uid, None));
            }
        }
    }
    write(restored, operations, now).await
}

/// Returns the encrypted part of a document in `former`.
async fn secret(former: &dyn Store, kind: Kind, uid: Uid) -> Result<SecretWrite, StoreError> {
    let secret = former.secret(kind, uid).await?;
    Ok(secret.map_or(SecretWrite::Keep, SecretWrite::Set))
}

async fn write(
    restored: &dyn Store,
    operations: Vec<Operation>,
    now: UnixMillis,
) -> anyhow::Result<()> {
    for batch in operations.chunks(BATCH) {
        let mut transaction = Transaction::at(now);
        transaction.operations = batch.to_vec();
        restored.commit(transaction).await?;
    }
    Ok(())
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (verb, counts) in [("changed", &self.changed), ("removed", &self.removed)] {
            parts.extend(counts.iter().map(|(kind, count)| {
                let kind = kind.as_str();
                let needs_none = *count == 1 || kind.ends_with('s');
                let plural = if needs_none { "" } else { "s" };
                format!("{count} {kind}{plural} {verb}")
            }));
        }
        if parts.is_empty() {
            parts.push("none".to_owned());
        }
        write!(
            f,
            "Revocations since the backup were carried over: {}.",
            parts.join(", ")
        )
    }
}

#[cfg(test)]
mod tests;
