//! The prepared statements of the writer.
//!
//! Each step of a transaction is one statement that includes its expectation, so that steps can be sent without waiting
//! for each other.

use tokio_postgres::{Client, Error, Statement};

/// The statements, prepared for one connection.
pub(super) struct Statements {
    pub(super) lock: Statement,
    pub(super) insert: Statement,
    pub(super) update: Statement,
    pub(super) delete: Statement,
    pub(super) unchanged: Statement,
    pub(super) limit: Statement,
    pub(super) record: Statement,
    pub(super) audit: Statement,
    pub(super) holders: Statement,
    pub(super) remove_expired: Statement,
}

impl Statements {
    pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
        Ok(Self {
            lock: client.prepare(LOCK).await?,
            insert: client.prepare(INSERT).await?,
            update: client.prepare(UPDATE).await?,
            delete: client.prepare(DELETE).await?,
            unchanged: client.prepare(UNCHANGED).await?,
            limit: client.prepare(LIMIT).await?,
            record: client.prepare(RECORD).await?,
            audit: client.prepare(AUDIT).await?,
            holders: client.prepare(HOLDERS).await?,
            remove_expired: client.prepare(REMOVE_EXPIRED).await?,
        })
    }
}

const LOCK: &str = "
SELECT CASE WHEN shared THEN pg_advisory_xact_lock_shared(key)::text ELSE pg_advisory_xact_lock(key)::text END
FROM unnest($1::bigint[], $2::bool[]) AS l (key, shared)";

// kind, uid, name, created_at, expires_at, body, sealed, entries: names, values, unique
const INSERT: &str = "
WITH document AS (
  INSERT INTO documents (kind, uid, name, revision, created_at, expires_at, body, sealed)
  VALUES ($1, $2, $3, 1, $4, $5, $6, $7)
  ON CONFLICT DO NOTHING RETURNING revision
), added AS (
  INSERT INTO entries (kind, name, value, uid, expires_at, is_unique)
  SELECT $1, w.name, w.value, $2, $5, w.is_unique
  FROM unnest($8::text[], $9::bytea[], $10::bool[]) AS w (name, value, is_unique)
  WHERE EXISTS (SELECT FROM document)
  ON CONFLICT DO NOTHING RETURNING 1
)
SELECT (SELECT revision FROM document), (SELECT count(*) FROM added) = cardinality($8::text[])";

// kind, uid, name, expires_at, body, sealed, revision, now, entries: names, values, unique
const UPDATE: &str = "
WITH document AS (
  UPDATE documents SET name = $3, revision = revision + 1, expires_at = $4, body = $5,
    sealed = coalesce($6, sealed)
  WHERE kind = $1 AND uid = $2 AND revision = $7 AND expires_at > $8
  RETURNING revision
), wanted AS (
  SELECT * FROM unnest($9::text[], $10::bytea[], $11::bool[]) AS w (name, value, is_unique)
), present AS (
  SELECT name, value, is_unique FROM entries WHERE kind = $1 AND uid = $2
), removed AS (
  DELETE FROM entries e WHERE e.kind = $1 AND e.uid = $2 AND EXISTS (SELECT FROM document)
    AND (e.name, e.value, e.is_unique) NOT IN (SELECT name, value, is_unique FROM wanted)
), moved AS (
  UPDATE entries e SET expires_at = $4
  WHERE e.kind = $1 AND e.uid = $2 AND e.expires_at <> $4 AND EXISTS (SELECT FROM document)
    AND (e.name, e.value, e.is_unique) IN (SELECT name, value, is_unique FROM wanted)
), lacking AS (
  SELECT * FROM wanted EXCEPT SELECT * FROM present
), added AS (
  INSERT INTO entries (kind, name, value, uid, expires_at, is_unique)
  SELECT $1, l.name, l.value, $2, $4, l.is_unique FROM lacking l WHERE EXISTS (SELECT FROM document)
  ON CONFLICT DO NOTHING RETURNING 1
)
SELECT (SELECT revision FROM document), (SELECT count(*) FROM added) = (SELECT count(*) FROM lacking)";

// kind, uid, now, revision or null
const DELETE: &str = "
WITH document AS (
  DELETE FROM documents WHERE kind = $1 AND uid = $2 AND expires_at > $3
    AND ($4::bigint IS NULL OR revision = $4)
  RETURNING name
), entry AS (
  DELETE FROM entries WHERE kind = $1 AND uid = $2 AND EXISTS (SELECT FROM document)
), used AS (
  DELETE FROM usage WHERE uid = $2 AND EXISTS (SELECT FROM document)
)
SELECT name FROM document";

// kind, uid, revision, now
const UNCHANGED: &str = "
SELECT 1 FROM documents WHERE kind = $1 AND uid = $2 AND revision = $3 AND expires_at > $4";

// kind, index, value, now, below
const LIMIT: &str = "
SELECT count(*) FROM (
  SELECT FROM entries WHERE kind = $1 AND name = $2 AND value = $3 AND expires_at > $4 LIMIT $5) AS counted";

// kind, key, value, expires_at, now
const RECORD: &str = "
INSERT INTO records (kind, key, value, expires_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
WHERE records.expires_at <= $5
RETURNING 1";

// at, type, user, resource, body
const AUDIT: &str = "
INSERT INTO audit (at, event_type, user_uid, resource_uid, body) VALUES ($1, $2, $3, $4, $5)";

// Finds other documents that have the uid, the name or one of the unique values. Parameters: kind, uid, is it stored,
// name, unique entries: names, values
const HOLDERS: &str = "
SELECT d.uid, d.expires_at, NULL AS index_name FROM documents d
WHERE d.kind = $1 AND ((d.uid = $2 AND NOT $3::bool) OR (d.name = $4 AND d.uid <> $2))
UNION ALL
SELECT e.uid, e.expires_at, e.name FROM entries e
JOIN unnest($5::text[], $6::bytea[]) AS w (name, value) ON e.name = w.name AND e.value = w.value
WHERE e.kind = $1 AND e.is_unique AND e.uid <> $2";

// kind, uids, now
const REMOVE_EXPIRED: &str = "
WITH document AS (
  DELETE FROM documents WHERE kind = $1 AND uid = ANY($2::bytea[]) AND expires_at <= $3
  RETURNING uid, name
), entry AS (
  DELETE FROM entries WHERE kind = $1 AND uid IN (SELECT uid FROM document)
), used AS (
  DELETE FROM usage WHERE uid IN (SELECT uid FROM document)
)
SELECT uid, name FROM document";
