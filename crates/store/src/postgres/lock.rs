//! Advisory locks.
//!
//! A group of transactions first takes all locks for the documents, limits and unique keys that it uses, in ascending
//! order. Groups of different replicas therefore cannot deadlock, and their statements see everything that the previous
//! holders committed. Commit and rollback release the locks.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256};
use deadpool_postgres::ClientWrapper;
use tokio_postgres::Statement;

use crate::{
    Operation,
    prepared::{Prepared, Step},
    row,
};

/// Held from before change numbers are assigned until commit.
pub(super) const CHANGE_LOG: i64 = 0x0c7e_11a3_0000_0001;
/// Each group holds this lock shared. A group that would need too many locks holds this one exclusively instead. It has
/// the smallest number, so it is taken first.
const ALL: i64 = i64::MIN;
/// A server has a few thousand locks for all of its clients.
const MOST_LOCKS: usize = 1000;
/// Held while the schema is migrated.
pub(super) const MIGRATION: i64 = 0x0c7e_11a3_0000_0002;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Shared,
    Exclusive,
}

/// The locks of a group, in the order in which they are taken.
#[derive(Debug, Default)]
pub(super) struct Locks(BTreeMap<i64, Mode>);

impl Locks {
    /// Adds the locks of one transaction.
    pub(super) fn add(&mut self, prepared: &Prepared) {
        for step in &prepared.steps {
            match step {
                Step::Put { document, .. } => {
                    let kind = document.kind.as_str();
                    self.exclusive(&[b"document", kind.as_bytes(), document.uid.as_bytes()]);
                    self.exclusive(&[b"name", kind.as_bytes(), document.name.as_bytes()]);
                    for entry in row::entries(&document.indexes) {
                        if entry.unique {
                            self.exclusive(&[
                                b"unique",
                                kind.as_bytes(),
                                entry.name.as_bytes(),
                                &entry.value,
                            ]);
                        }
                    }
                }
                Step::Other(operation) => self.add_operation(operation),
            }
        }
    }

    /// Takes all locks.
    pub(super) async fn take(
        &self,
        client: &ClientWrapper,
        statement: &Statement,
    ) -> Result<(), tokio_postgres::Error> {
        let (mut keys, mut shared) = (vec![ALL], vec![false]);
        if self.0.len() <= MOST_LOCKS {
            shared = vec![true];
            keys.extend(self.0.keys());
            shared.extend(self.0.values().map(|mode| *mode == Mode::Shared));
        }
        client.query(statement, &[&keys, &shared]).await.map(|_| ())
    }

    fn add_operation(&mut self, operation: &Operation) {
        match operation {
            Operation::Delete(kind, uid, _) => {
                self.exclusive(&[b"document", kind.as_str().as_bytes(), uid.as_bytes()]);
            }
            Operation::Unchanged(kind, uid, _) => {
                let key = key(&[b"document", kind.as_str().as_bytes(), uid.as_bytes()]);
                self.0.entry(key).or_insert(Mode::Shared);
            }
            Operation::Limit {
                kind, index, value, ..
            } => self.exclusive(&[
                b"limit",
                kind.as_str().as_bytes(),
                index.as_bytes(),
                value.as_bytes(),
            ]),
            Operation::Record { kind, key, .. } => {
                self.exclusive(&[b"record", kind.as_bytes(), key]);
            }
            Operation::Put(..) | Operation::Audit(_) => {}
        }
    }

    fn exclusive(&mut self, parts: &[&[u8]]) {
        self.0.insert(key(parts), Mode::Exclusive);
    }
}

/// Returns the number of a lock. A collision only makes transactions wait unnecessarily.
fn key(parts: &[&[u8]]) -> i64 {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    let digest = context.finish();
    digest
        .as_ref()
        .first_chunk()
        .map_or(0, |bytes| i64::from_be_bytes(*bytes))
}
