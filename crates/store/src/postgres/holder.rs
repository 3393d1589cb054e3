//! Documents that already have the uid, the name or a unique index value of a document to be written.
//!
//! If such a document has expired but was not collected yet, it is removed and the transaction is retried.

use deadpool_postgres::ClientWrapper;
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use tokio_postgres::Error;

use super::{change::PendingChange, statement::Statements};
use crate::{CommitError, NewDocument, row};

pub(super) struct Holder {
    uid: Vec<u8>,
    expires_at: i64,
    /// The unique index in conflict; `None` if the uid or the name is in conflict.
    index: Option<String>,
}

/// Finds the documents that conflict with `document`.
pub(super) async fn find(
    client: &ClientWrapper,
    statements: &Statements,
    document: &NewDocument,
    is_stored: bool,
) -> Result<Vec<Holder>, Error> {
    let unique: Vec<row::EntryRow> = row::entries(&document.indexes)
        .into_iter()
        .filter(|entry| entry.unique)
        .collect();
    let names: Vec<&str> = unique.iter().map(|entry| entry.name).collect();
    let values: Vec<&[u8]> = unique.iter().map(|entry| entry.value.as_slice()).collect();
    let uid = document.uid.as_bytes().as_slice();
    let rows = client
        .query(
            &statements.holders,
            &[
                &document.kind.as_str(),
                &uid,
                &is_stored,
                &document.name,
                &names,
                &values,
            ],
        )
        .await?;
    let mut holders = rows
        .iter()
        .map(|row| {
            Ok(Holder {
                uid: row.try_get(0)?,
                expires_at: row.try_get(1)?,
                index: row.try_get(2)?,
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    // Report a conflict of the uid first, then of the name, then of an index.
    holders.sort_by_key(|holder| (holder.uid != uid, holder.index.is_some()));
    Ok(holders)
}

/// Returns the error if one of `holders` has not expired. Otherwise adds all of them to `expired`, to be removed.
pub(super) fn collect_expired(
    document: &NewDocument,
    holders: Vec<Holder>,
    now: UnixMillis,
    expired: &mut Vec<(Kind, Vec<u8>)>,
) -> Option<CommitError> {
    for holder in holders {
        if holder.expires_at > now.0 {
            return Some(refusal(document, &holder));
        }
        expired.push((document.kind, holder.uid));
    }
    None
}

/// Deletes expired documents.
pub(super) async fn remove_expired(
    client: &ClientWrapper,
    statements: &Statements,
    expired: &[(Kind, Vec<u8>)],
    now: UnixMillis,
    changes: &mut Vec<PendingChange>,
) -> Result<(), Error> {
    for (kind, uid) in expired {
        let rows = client
            .query(
                &statements.remove_expired,
                &[&kind.as_str(), &[uid.as_slice()].as_slice(), &now.0],
            )
            .await?;
        for row in rows {
            if let Ok(uid) = Uid::from_bytes(row.try_get(0)?) {
                changes.push(PendingChange {
                    at: now,
                    kind: *kind,
                    uid,
                    name: row.try_get(1)?,
                    revision: None,
                });
            }
        }
    }
    Ok(())
}

pub(super) fn name_taken(document: &NewDocument) -> CommitError {
    CommitError::NameTaken {
        kind: document.kind,
        name: document.name.clone(),
    }
}

fn refusal(document: &NewDocument, holder: &Holder) -> CommitError {
    let kind = document.kind;
    let index = holder.index.as_deref().and_then(|index| {
        let entry = document.indexes.iter().find(|entry| entry.index == index)?;
        Some(entry.index)
    });
    match index {
        Some(index) => CommitError::IndexTaken { kind, index },
        None if holder.uid == document.uid.as_bytes() => CommitError::Conflict {
            kind,
            uid: document.uid,
        },
        None => name_taken(document),
    }
}
