-- What was asked of Services: the newest of it.
CREATE TABLE access (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  at           INTEGER NOT NULL,
  decision     INTEGER NOT NULL,
  user_uid     BLOB,
  service_uid  BLOB,
  body         BLOB NOT NULL
) STRICT;

CREATE INDEX access_at ON access (at);
CREATE INDEX access_decision ON access (decision, at);
CREATE INDEX access_user ON access (user_uid, at) WHERE user_uid IS NOT NULL;
CREATE INDEX access_service ON access (service_uid, at) WHERE service_uid IS NOT NULL;
