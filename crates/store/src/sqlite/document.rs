//! Writes of documents. Every expectation is part of the statement that writes.

use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, params};

use super::change;
use crate::{
    CommitError, Expected, NewDocument, Revision, StoreError,
    row::{self, EntryRow},
};

/// Writes a document if its expected state matches.
pub(super) fn put(
    connection: &Connection,
    document: &NewDocument,
    sealed: Option<&[u8]>,
    expected: Expected,
    now: UnixMillis,
) -> Result<Revision, CommitError> {
    let (id, revision) = match expected {
        Expected::Absent => insert(connection, document, sealed, now)?,
        Expected::Revision(revision) => update(connection, document, sealed, revision, now)?,
    };
    let is_new = expected == Expected::Absent;
    put_entries(connection, document, id, is_new, now)?;
    // The creation of a Session is not logged, so that logins do not wait for the log. Replicas fetch a Session at its
    // first use.
    if !(is_new && document.kind == Kind::Session) {
        change::append(
            connection,
            now,
            document.kind,
            document.uid,
            &document.name,
            Some(revision),
        )?;
    }
    Ok(revision)
}

/// Deletes a document if it is at `revision`, or at any revision if `None`.
pub(super) fn delete(
    connection: &Connection,
    kind: Kind,
    uid: Uid,
    revision: Option<Revision>,
    now: UnixMillis,
) -> Result<(), CommitError> {
    let deleted: Option<(i64, String)> = connection
        .prepare_cached(
            "DELETE FROM documents
             WHERE kind = ?1 AND uid = ?2 AND expires_at > ?3 AND (?4 IS NULL OR revision = ?4)
             RETURNING id, name",
        )
        .and_then(|mut statement| {
            statement
                .query_row(
                    params![
                        kind.as_str(),
                        uid.as_bytes(),
                        now.0,
                        revision.map(|revision| row::to_column(revision.0))
                    ],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()
        })
        .map_err(StoreError::from)?;
    let (id, name) = deleted.ok_or(CommitError::Conflict { kind, uid })?;
    remove_attachments(connection, id, uid)?;
    change::append(connection, now, kind, uid, &name, None)?;
    Ok(())
}

/// Fails unless the document is at `revision`. There is a single writer, so the document cannot change before commit.
pub(super) fn unchanged(
    connection: &Connection,
    kind: Kind,
    uid: Uid,
    revision: Revision,
    now: UnixMillis,
) -> Result<(), CommitError> {
    let is_there = connection
        .prepare_cached(
            "SELECT 1 FROM documents WHERE kind = ?1 AND uid = ?2 AND revision = ?3 AND expires_at > ?4",
        )
        .and_then(|mut statement| {
            statement.exists(params![
                kind.as_str(),
                uid.as_bytes(),
                row::to_column(revision.0),
                now.0
            ])
        })
        .map_err(StoreError::from)?;
    is_there
        .then_some(())
        .ok_or(CommitError::Conflict { kind, uid })
}

/// Fails unless fewer than `below` live documents have the index entry.
pub(super) fn limit(
    connection: &Connection,
    kind: Kind,
    index: &'static str,
    value: &str,
    below: u32,
    now: UnixMillis,
) -> Result<(), CommitError> {
    let count: i64 = connection
        .prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM entries
             WHERE kind = ?1 AND name = ?2 AND value = ?3 AND expires_at > ?4 LIMIT ?5)",
        )
        .and_then(|mut statement| {
            statement.query_row(
                params![kind.as_str(), index, row::index_value(value), now.0, below],
                |row| row.get(0),
            )
        })
        .map_err(StoreError::from)?;
    (count < i64::from(below))
        .then_some(())
        .ok_or(CommitError::LimitReached { kind, index })
}

/// Deletes the index entries and the usage of a document.
pub(super) fn remove_attachments(
    connection: &Connection,
    id: i64,
    uid: Uid,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM entries WHERE document = ?1")?
        .execute([id])?;
    connection
        .prepare_cached("DELETE FROM usage WHERE uid = ?1")?
        .execute([uid.as_bytes()])?;
    Ok(())
}

fn insert(
    connection: &Connection,
    document: &NewDocument,
    sealed: Option<&[u8]>,
    now: UnixMillis,
) -> Result<(i64, Revision), CommitError> {
    loop {
        if let Some(id) = try_insert(connection, document, sealed)? {
            return Ok((id, Revision(1)));
        }
        let (id, holder) = holder(connection, document)?;
        if !evict_expired(connection, id, now)? {
            return Err(if holder == document.uid {
                CommitError::Conflict {
                    kind: document.kind,
                    uid: document.uid,
                }
            } else {
                CommitError::NameTaken {
                    kind: document.kind,
                    name: document.name.clone(),
                }
            });
        }
    }
}

fn try_insert(
    connection: &Connection,
    document: &NewDocument,
    sealed: Option<&[u8]>,
) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached(
            "INSERT INTO documents (kind, uid, name, revision, created_at, expires_at, body, sealed)
             VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7)
             ON CONFLICT DO NOTHING RETURNING id",
        )?
        .query_row(
            params![
                document.kind.as_str(),
                document.uid.as_bytes(),
                document.name,
                document.created_at.0,
                row::expiry_to_column(document.expires_at),
                document.body,
                sealed
            ],
            |row| row.get(0),
        )
        .optional()?)
}

/// Returns the document that has the uid, or else the one that has the name.
fn holder(connection: &Connection, document: &NewDocument) -> Result<(i64, Uid), StoreError> {
    let (id, uid): (i64, Vec<u8>) = connection
        .prepare_cached(
            "SELECT id, uid FROM documents WHERE kind = ?1 AND (uid = ?2 OR name = ?3)
             ORDER BY uid = ?2 DESC LIMIT 1",
        )?
        .query_row(
            params![
                document.kind.as_str(),
                document.uid.as_bytes(),
                document.name
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
    Ok((id, row::uid(&uid)?))
}

/// The parameters of both update statements.
macro_rules! update_parameters {
    ($document:ident, $sealed:ident, $revision:ident, $now:ident) => {
        params![
            $document.kind.as_str(),
            $document.uid.as_bytes(),
            $document.name,
            row::expiry_to_column($document.expires_at),
            $document.body,
            $sealed,
            row::to_column($revision.0),
            $now.0
        ]
    };
}

fn update(
    connection: &Connection,
    document: &NewDocument,
    sealed: Option<&[u8]>,
    revision: Revision,
    now: UnixMillis,
) -> Result<(i64, Revision), CommitError> {
    let conflict = || CommitError::Conflict {
        kind: document.kind,
        uid: document.uid,
    };
    loop {
        if let Some(updated) = update_body(connection, document, sealed, revision, now)? {
            return Ok(updated);
        }
        let updated = connection
            .prepare_cached(
                "UPDATE documents SET name = ?3, revision = revision + 1, expires_at = ?4, body = ?5,
                   sealed = coalesce(?6, sealed)
                 WHERE kind = ?1 AND uid = ?2 AND revision = ?7 AND expires_at > ?8
                 RETURNING id, revision",
            )
            .and_then(|mut statement| {
                let parameters = update_parameters!(document, sealed, revision, now);
                statement.query_row(parameters, updated_row).optional()
            });
        match updated {
            Ok(updated) => return updated.ok_or_else(conflict),
            // An update does not change the uid, so the only constraint that it can violate is that of the name.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                let taken = holder_of_name(connection, document)?;
                if !evict_expired(connection, taken, now)? {
                    return Err(CommitError::NameTaken {
                        kind: document.kind,
                        name: document.name.clone(),
                    });
                }
            }
            Err(error) => return Err(StoreError::from(error).into()),
        }
    }
}

/// Updates a document that keeps its name and expiry, as most do. SQLite rewrites the entry of each index over a column
/// that is set, even to the same value. With many documents, each of these entries is on a different page.
fn update_body(
    connection: &Connection,
    document: &NewDocument,
    sealed: Option<&[u8]>,
    revision: Revision,
    now: UnixMillis,
) -> Result<Option<(i64, Revision)>, StoreError> {
    Ok(connection
        .prepare_cached(
            "UPDATE documents SET revision = revision + 1, body = ?5, sealed = coalesce(?6, sealed)
             WHERE kind = ?1 AND uid = ?2 AND revision = ?7 AND expires_at > ?8
               AND name = ?3 AND expires_at = ?4
             RETURNING id, revision",
        )?
        .query_row(
            update_parameters!(document, sealed, revision, now),
            updated_row,
        )
        .optional()?)
}

fn updated_row(row: &Row<'_>) -> rusqlite::Result<(i64, Revision)> {
    Ok((row.get(0)?, Revision(row::from_column(row.get(1)?))))
}

fn holder_of_name(connection: &Connection, document: &NewDocument) -> Result<i64, StoreError> {
    Ok(connection
        .prepare_cached("SELECT id FROM documents WHERE kind = ?1 AND name = ?2")?
        .query_row(params![document.kind.as_str(), document.name], |row| {
            row.get(0)
        })?)
}

/// Replaces the index entries of the document. Writes only the entries that differ.
fn put_entries(
    connection: &Connection,
    document: &NewDocument,
    id: i64,
    is_new: bool,
    now: UnixMillis,
) -> Result<(), CommitError> {
    let wanted = row::entries(&document.indexes);
    let expires_at = row::expiry_to_column(document.expires_at);
    let present = if is_new {
        Vec::new()
    } else {
        present_entries(connection, id)?
    };
    for entry in &present {
        let stays = wanted.iter().any(|wanted| entry.equals(wanted));
        if !stays {
            remove_entry(connection, document.kind, id, entry)?;
        } else if entry.expires_at != expires_at {
            move_expiry(connection, document.kind, id, entry, expires_at)?;
        }
    }
    for entry in &wanted {
        if !present.iter().any(|present| present.equals(entry)) {
            insert_entry(connection, document, id, entry, now)?;
        }
    }
    Ok(())
}

struct PresentEntry {
    name: String,
    value: Vec<u8>,
    unique: bool,
    expires_at: i64,
}

impl PresentEntry {
    fn equals(&self, wanted: &EntryRow) -> bool {
        self.name == wanted.name && self.value == wanted.value && self.unique == wanted.unique
    }
}

fn present_entries(connection: &Connection, id: i64) -> Result<Vec<PresentEntry>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT name, value, is_unique, expires_at FROM entries WHERE document = ?1",
    )?;
    let entries = statement.query_map([id], |row| {
        Ok(PresentEntry {
            name: row.get(0)?,
            value: row.get(1)?,
            unique: row.get(2)?,
            expires_at: row.get(3)?,
        })
    })?;
    Ok(entries.collect::<Result<_, _>>()?)
}

fn remove_entry(
    connection: &Connection,
    kind: Kind,
    id: i64,
    entry: &PresentEntry,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "DELETE FROM entries WHERE kind = ?1 AND name = ?2 AND value = ?3 AND document = ?4",
        )?
        .execute(params![kind.as_str(), entry.name, entry.value, id])?;
    Ok(())
}

fn move_expiry(
    connection: &Connection,
    kind: Kind,
    id: i64,
    entry: &PresentEntry,
    expires_at: i64,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE entries SET expires_at = ?5
             WHERE kind = ?1 AND name = ?2 AND value = ?3 AND document = ?4",
        )?
        .execute(params![
            kind.as_str(),
            entry.name,
            entry.value,
            id,
            expires_at
        ])?;
    Ok(())
}

fn insert_entry(
    connection: &Connection,
    document: &NewDocument,
    id: i64,
    entry: &EntryRow,
    now: UnixMillis,
) -> Result<(), CommitError> {
    while !try_insert_entry(connection, document, id, entry)? {
        let holder = holder_of_entry(connection, document.kind, entry)?;
        if !evict_expired(connection, holder, now)? {
            return Err(CommitError::IndexTaken {
                kind: document.kind,
                index: entry.name,
            });
        }
    }
    Ok(())
}

fn try_insert_entry(
    connection: &Connection,
    document: &NewDocument,
    id: i64,
    entry: &EntryRow,
) -> Result<bool, StoreError> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO entries (kind, name, value, document, expires_at, is_unique)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            document.kind.as_str(),
            entry.name,
            entry.value,
            id,
            row::expiry_to_column(document.expires_at),
            entry.unique
        ])?;
    Ok(inserted == 1)
}

fn holder_of_entry(
    connection: &Connection,
    kind: Kind,
    entry: &EntryRow,
) -> Result<i64, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT document FROM entries
             WHERE kind = ?1 AND name = ?2 AND value = ?3 AND is_unique = 1",
        )?
        .query_row(params![kind.as_str(), entry.name, entry.value], |row| {
            row.get(0)
        })?)
}

/// Deletes the document if it has expired, so that uncollected documents cause no conflicts. Returns whether it did.
fn evict_expired(connection: &Connection, id: i64, now: UnixMillis) -> Result<bool, StoreError> {
    let evicted: Option<(String, Vec<u8>, String)> = connection
        .prepare_cached(
            "DELETE FROM documents WHERE id = ?1 AND expires_at <= ?2 RETURNING kind, uid, name",
        )?
        .query_row(params![id, now.0], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((kind, uid, name)) = evicted else {
        return Ok(false);
    };
    let (kind, uid) = (row::kind(&kind)?, row::uid(&uid)?);
    remove_attachments(connection, id, uid)?;
    change::append(connection, now, kind, uid, &name, None)?;
    Ok(true)
}
