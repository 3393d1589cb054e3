-- Instants are milliseconds since 1970; "never" is the greatest integer, so that liveness is one comparison.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE documents (
  id         INTEGER PRIMARY KEY,
  kind       TEXT NOT NULL,
  uid        BLOB NOT NULL,
  name       TEXT NOT NULL,
  revision   INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  body       BLOB NOT NULL,
  sealed     BLOB
) STRICT;

CREATE UNIQUE INDEX documents_uid ON documents (kind, uid);
CREATE UNIQUE INDEX documents_name ON documents (kind, name);
-- Holds the expiry too, so that counting live documents reads no document.
CREATE INDEX documents_created ON documents (kind, created_at, uid, expires_at);
CREATE INDEX documents_expiry ON documents (expires_at) WHERE expires_at < 9223372036854775807;

-- The expiry is that of the document, so that a limit is counted without reading documents.
CREATE TABLE entries (
  kind       TEXT NOT NULL,
  name       TEXT NOT NULL,
  value      BLOB NOT NULL,
  document   INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  is_unique  INTEGER NOT NULL,
  PRIMARY KEY (kind, name, value, document)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX entries_unique ON entries (kind, name, value) WHERE is_unique = 1;
CREATE INDEX entries_document ON entries (document);

-- A null revision is a deletion.
CREATE TABLE changes (
  cursor   INTEGER PRIMARY KEY AUTOINCREMENT,
  at       INTEGER NOT NULL,
  kind     TEXT NOT NULL,
  uid      BLOB NOT NULL,
  name     TEXT NOT NULL,
  revision INTEGER
) STRICT;

CREATE TABLE records (
  kind       TEXT NOT NULL,
  key        BLOB NOT NULL,
  value      BLOB NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX records_expiry ON records (expires_at);

CREATE TABLE counters (
  key       TEXT PRIMARY KEY,
  count     INTEGER NOT NULL,
  resets_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX counters_expiry ON counters (resets_at);

CREATE TABLE usage (
  uid     BLOB PRIMARY KEY,
  count   INTEGER NOT NULL,
  last_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
  id           INTEGER PRIMARY KEY,
  at           INTEGER NOT NULL,
  event_type   TEXT NOT NULL,
  user_uid     BLOB,
  resource_uid BLOB,
  body         BLOB NOT NULL
) STRICT;

CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_type ON audit (event_type, at);
CREATE INDEX audit_user ON audit (user_uid, at) WHERE user_uid IS NOT NULL;
CREATE INDEX audit_resource ON audit (resource_uid, at) WHERE resource_uid IS NOT NULL;
