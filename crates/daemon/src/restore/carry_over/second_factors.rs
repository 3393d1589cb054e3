//! Failed guesses and recovery codes. A restore neither resets the delay after failed guesses nor restores used codes.

use domain::{clock::UnixMillis, kind::Kind};
use server::authentication::second_factors;
use store::{Document, Expected, NewDocument, Operation, SecretWrite, Store};

use super::{Carried, verbatim, write};
use crate::storage::all;

/// Takes over the records of `former`. A record that was removed there is removed here too.
pub(super) async fn carry_over(
    former: &dyn Store,
    restored: &dyn Store,
    now: UnixMillis,
    carried: &mut Carried,
) -> anyhow::Result<()> {
    verbatim::remove_missing(former, restored, Kind::SecondFactors, now, carried).await?;
    let mut operations = Vec::new();
    for document in all(restored, Kind::SecondFactors, now).await? {
        let Some(then) = former.get(Kind::SecondFactors, document.uid, now).await? else {
            continue;
        };
        let body = second_factors::restored(&document, &then)?;
        if body != document.body {
            *carried.changed.entry(Kind::SecondFactors).or_default() += 1;
            operations.push(replace(document, body));
        }
    }
    let users = verbatim::uids(restored, Kind::User, now).await?;
    for document in verbatim::missing(former, restored, Kind::SecondFactors, now).await? {
        if users.contains(&document.uid) {
            operations.push(verbatim::copy(document, Vec::new(), SecretWrite::Keep));
        }
    }
    write(restored, operations, now).await
}

/// Invalidates all recovery codes, because it is unknown which were used since the backup. Returns how many Users had
/// some.
pub(in crate::restore) async fn void_recovery_codes(
    restored: &dyn Store,
    now: UnixMillis,
) -> anyhow::Result<usize> {
    let mut operations = Vec::new();
    for document in all(restored, Kind::SecondFactors, now).await? {
        let body = second_factors::without_recovery_codes(&document)?;
        if body != document.body {
            operations.push(replace(document, body));
        }
    }
    let users = operations.len();
    write(restored, operations, now).await?;
    Ok(users)
}

fn replace(document: Document, body: Vec<u8>) -> Operation {
    let expected = Expected::Revision(document.revision);
    let document = NewDocument {
        kind: document.kind,
        uid: document.uid,
        name: document.name,
        created_at: document.created_at,
        expires_at: document.expires_at,
        body,
        indexes: Vec::new(),
        secret: SecretWrite::Keep,
    };
    Operation::Put(document, expected)
}
