//! Stores under test, and documents for them.

use std::{any::Any, sync::Arc};

use domain::{clock::UnixMillis, id::Uid, kind::Kind, rng::SystemRng};
use store::{
    CommitError, Committed, Expected, IndexEntry, NewDocument, Operation, Revision, SecretWrite,
    Store, Transaction, testing,
};

/// 2023-11-14. A time hours after it is also in the past by the clock of the database.
pub(crate) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// A Cluster of two replicas on one database.
pub(crate) struct Fixture {
    pub(crate) store: Arc<dyn Store>,
    /// A second replica, which shares only the database with the first.
    pub(crate) replica: Arc<dyn Store>,
    _kept: Box<dyn Any + Send>,
}

pub(crate) async fn sqlite() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    Fixture {
        store: Arc::new(testing::sqlite_in(directory.path())),
        replica: Arc::new(testing::sqlite_in(directory.path())),
        _kept: Box::new(directory),
    }
}

pub(crate) async fn postgres() -> Fixture {
    let database = testing::postgres_database().await;
    Fixture {
        store: Arc::new(testing::postgres_at(&database).await),
        replica: Arc::new(testing::postgres_at(&database).await),
        _kept: Box::new(()),
    }
}

pub(crate) fn uid() -> Uid {
    Uid::random(&SystemRng)
}

pub(crate) fn document(kind: Kind, name: &str) -> NewDocument {
    NewDocument {
        kind,
        uid: uid(),
        name: name.to_owned(),
        created_at: NOW,
        expires_at: None,
        body: format!("body of {name}").into_bytes(),
        indexes: Vec::new(),
        secret: SecretWrite::Keep,
    }
}

pub(crate) fn entry(index: &'static str, value: &str, unique: bool) -> IndexEntry {
    IndexEntry {
        index,
        value: value.to_owned(),
        unique,
    }
}

pub(crate) async fn commit(
    store: &Arc<dyn Store>,
    operations: Vec<Operation>,
) -> Result<Committed, CommitError> {
    commit_at(store, NOW, operations).await
}

pub(crate) async fn commit_at(
    store: &Arc<dyn Store>,
    now: UnixMillis,
    operations: Vec<Operation>,
) -> Result<Committed, CommitError> {
    store.commit(Transaction { operations, now }).await
}

pub(crate) async fn create(
    store: &Arc<dyn Store>,
    document: NewDocument,
) -> Result<Revision, CommitError> {
    let committed = commit(store, vec![Operation::Put(document, Expected::Absent)]).await?;
    Ok(committed.revisions[0])
}

pub(crate) async fn update(
    store: &Arc<dyn Store>,
    document: NewDocument,
    revision: Revision,
) -> Result<Revision, CommitError> {
    let put = Operation::Put(document, Expected::Revision(revision));
    Ok(commit(store, vec![put]).await?.revisions[0])
}

/// Runs all `tasks` concurrently and returns their results.
pub(crate) async fn race<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}
