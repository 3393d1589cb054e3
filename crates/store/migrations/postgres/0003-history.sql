-- Tells a change from another one with the same number: a failover that loses the end of the log assigns its numbers
-- again. The default is volatile, so each row has a mark of its own.
ALTER TABLE changes ADD COLUMN mark BYTEA NOT NULL DEFAULT uuid_send(gen_random_uuid());

-- Without statistics, the planner finds the entries of a document by this index and not by the primary key, whose
-- first column is the kind.
DROP INDEX entries_document;
CREATE INDEX entries_document ON entries (uid, kind);
