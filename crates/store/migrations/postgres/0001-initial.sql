-- Instants are milliseconds since 1970; "never" is the greatest integer, so that liveness is one comparison.
-- Text is compared byte for byte, as in SQLite.

CREATE TABLE meta (
  name  TEXT COLLATE "C" PRIMARY KEY,
  value BYTEA NOT NULL
);

CREATE TABLE documents (
  kind       TEXT COLLATE "C" NOT NULL,
  uid        BYTEA NOT NULL,
  name       TEXT COLLATE "C" NOT NULL,
  revision   BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  body       BYTEA NOT NULL,
  sealed     BYTEA,
  CONSTRAINT documents_uid PRIMARY KEY (kind, uid),
  CONSTRAINT documents_name UNIQUE (kind, name)
);

-- Holds the expiry too, so that counting live documents reads no document.
CREATE INDEX documents_created ON documents (kind, created_at, uid) INCLUDE (expires_at);
CREATE INDEX documents_expiry ON documents (expires_at) WHERE expires_at < 9223372036854775807;

-- The expiry is that of the document, so that a limit is counted without reading documents.
CREATE TABLE entries (
  kind       TEXT COLLATE "C" NOT NULL,
  name       TEXT COLLATE "C" NOT NULL,
  value      BYTEA NOT NULL,
  uid        BYTEA NOT NULL,
  expires_at BIGINT NOT NULL,
  is_unique  BOOLEAN NOT NULL,
  PRIMARY KEY (kind, name, value, uid, is_unique)
);

CREATE UNIQUE INDEX entries_unique ON entries (kind, name, value) WHERE is_unique;
CREATE INDEX entries_document ON entries (uid);

-- A null revision is a deletion. Cursors are assigned under an advisory lock that is held to commit: they become
-- visible in their order.
CREATE TABLE changes (
  cursor   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at       BIGINT NOT NULL,
  kind     TEXT COLLATE "C" NOT NULL,
  uid      BYTEA NOT NULL,
  name     TEXT COLLATE "C" NOT NULL,
  revision BIGINT
);

CREATE TABLE records (
  kind       TEXT COLLATE "C" NOT NULL,
  key        BYTEA NOT NULL,
  value      BYTEA NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (kind, key)
);

CREATE INDEX records_expiry ON records (expires_at);

CREATE TABLE counters (
  key       BYTEA PRIMARY KEY,
  count     BIGINT NOT NULL,
  resets_at BIGINT NOT NULL
);

CREATE INDEX counters_expiry ON counters (resets_at);

CREATE TABLE usage (
  uid     BYTEA PRIMARY KEY,
  count   BIGINT NOT NULL,
  last_at BIGINT NOT NULL
);

CREATE TABLE audit (
  id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at           BIGINT NOT NULL,
  event_type   TEXT COLLATE "C" NOT NULL,
  user_uid     BYTEA,
  resource_uid BYTEA,
  body         BYTEA NOT NULL
);

CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_type ON audit (event_type, at);
CREATE INDEX audit_user ON audit (user_uid, at) WHERE user_uid IS NOT NULL;
CREATE INDEX audit_resource ON audit (resource_uid, at) WHERE resource_uid IS NOT NULL;
