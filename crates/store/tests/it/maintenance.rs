//! Backup and restore between the backends, consistency checks, rotation of the master key.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use api::platform_v1::AuditEvent;
use domain::{
    clock::{SystemClock, UnixMillis},
    kind::Kind,
    rng::SeededRng,
};
use store::{
    AuditQuery, Backend, CommitError, Cursor, Expected, Location, Operation, Revision, SecretWrite,
    Store, StoreConfig, StoreError, Usage, open_backend,
    postgres::PostgresOptions,
    seal::{MasterKey, MasterKeys},
    testing,
    transfer::{ImportOptions, Summary, export, import},
};
use zeroize::Zeroizing;

use crate::fixture::{NOW, commit, create, document, entry, update};

fn key(seed: u64) -> MasterKey {
    MasterKey::random(&SeededRng::new(seed))
}

fn config(location: Location, keys: MasterKeys) -> StoreConfig {
    StoreConfig {
        location,
        keys: Some(keys),
        clock: Arc::new(SystemClock),
    }
}

fn directory(path: &Path) -> Location {
    Location::Directory(path.to_owned())
}

async fn database() -> Location {
    Location::Postgres(PostgresOptions {
        url: testing::postgres_database().await,
        ca_certificate: None,
        connections: 2,
        changes_wait_for_standby: false,
    })
}

/// Fills a store with every kind of data.
async fn fill(store: &Arc<dyn Store>) {
    let mut user = document(Kind::User, "alice");
    user.indexes = vec![
        entry("email", "a@example.com", true),
        entry("group", "staff", false),
    ];
    create(store, user.clone()).await.unwrap();
    update(store, user.clone(), Revision(1)).await.unwrap();
    let mut secret = document(Kind::Secret, "password");
    secret.secret = SecretWrite::Set(Zeroizing::new(b"hunter2".to_vec()));
    create(store, secret).await.unwrap();
    let mut session = document(Kind::Session, "session");
    session.expires_at = Some(UnixMillis(NOW.0 + 10_000));
    let record = Operation::Record {
        kind: "code",
        key: b"k".to_vec(),
        value: b"v".to_vec(),
        expires_at: UnixMillis(NOW.0 + 10_000),
    };
    let event = Operation::Audit(AuditEvent {
        r#type: "user.created".to_owned(),
        count: 1,
        ..AuditEvent::default()
    });
    commit(
        store,
        vec![Operation::Put(session, Expected::Absent), record, event],
    )
    .await
    .unwrap();
    let usage = Usage {
        count: 3,
        last_at: NOW,
    };
    store
        .add_usage(BTreeMap::from([(user.uid, usage)]))
        .await
        .unwrap();
    store
        .count("login/alice", Duration::from_mins(1), NOW)
        .await
        .unwrap();
}

async fn backup(backend: &Backend) -> (Vec<u8>, Summary) {
    let mut bytes = Vec::new();
    let summary = export(backend, &mut bytes, NOW).await.unwrap();
    (bytes, summary)
}

/// Restores a backup completely.
async fn restore(
    config: StoreConfig,
    bytes: &[u8],
    options: &ImportOptions,
) -> Result<Summary, StoreError> {
    import(config, bytes, options).await?.finish().await
}

async fn check_restored(location: Location, keys: MasterKeys, original: &Arc<dyn Store>) {
    let backend = open_backend(config(location, keys)).await.unwrap();
    let store = backend.store();
    assert_eq!(store.cluster_uid(), original.cluster_uid());
    for kind in [Kind::User, Kind::Secret, Kind::Session] {
        let expected = original.scan(kind, None, 10, NOW).await.unwrap();
        assert_eq!(store.scan(kind, None, 10, NOW).await.unwrap(), expected);
        assert_eq!(expected.len(), 1);
    }
    let user = store
        .get_by_name(Kind::User, "alice", NOW)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(user.revision, Revision(2));
    let secret = store
        .get_by_name(Kind::Secret, "password", NOW)
        .await
        .unwrap()
        .unwrap();
    let secret = store
        .secret(Kind::Secret, secret.uid)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(secret.as_slice(), b"hunter2");
    let mut same_email = document(Kind::User, "mallory");
    same_email.indexes = vec![entry("email", "a@example.com", true)];
    let refused = create(&store, same_email).await;
    assert!(
        matches!(refused, Err(CommitError::IndexTaken { .. })),
        "index entries are restored"
    );
    assert_eq!(store.usage(&[user.uid]).await.unwrap()[&user.uid].count, 3);
    assert_eq!(
        store
            .counter("login/alice", NOW)
            .await
            .unwrap()
            .unwrap()
            .count,
        1
    );
    let query = AuditQuery {
        limit: 10,
        ..AuditQuery::default()
    };
    assert_eq!(store.audit(query).await.unwrap().1, 1);
    assert_eq!(
        store.take("code", b"k", NOW).await.unwrap(),
        None,
        "what may have been consumed stays gone"
    );
    assert!(matches!(
        store.changes(Cursor(3), 10).await.unwrap(),
        store::Changes::Trimmed(_)
    ));
    create(&store, document(Kind::User, "bob")).await.unwrap();
    assert_eq!(backend.check().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_either_backend_restores_into_either() {
    let source = tempfile::tempdir().unwrap();
    let keys = || MasterKeys::new(key(1));
    for location in [directory(source.path()), database().await] {
        let backend = open_backend(config(location, keys())).await.unwrap();
        let original = backend.store();
        fill(&original).await;
        let (bytes, written) = backup(&backend).await;
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"));
        let target = tempfile::tempdir().unwrap();
        for location in [directory(target.path()), database().await] {
            let options = ImportOptions::default();
            let read = restore(config(location.clone(), keys()), &bytes, &options)
                .await
                .unwrap();
            assert_eq!(read, written);
            check_restored(location.clone(), keys(), &original).await;
            let again = restore(config(location, keys()), &bytes, &options).await;
            let error = again.unwrap_err().to_string();
            assert!(error.contains("not empty"), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_takes_another_master_key_and_leaves_sessions_out() {
    let source = tempfile::tempdir().unwrap();
    let backend = open_backend(config(directory(source.path()), MasterKeys::new(key(1))))
        .await
        .unwrap();
    fill(&backend.store()).await;
    let (bytes, _) = backup(&backend).await;
    let options = ImportOptions {
        without: vec![Kind::Session],
        ..ImportOptions::default()
    };
    for location in [
        directory(tempfile::tempdir().unwrap().path()),
        database().await,
    ] {
        let unknown = config(location.clone(), MasterKeys::new(key(2)));
        let error = restore(unknown, &bytes, &options).await.unwrap_err();
        assert!(error.to_string().contains("which was not given"), "{error}");
        let keys = MasterKeys::new(key(2)).with_former(key(1));
        let summary = restore(config(location.clone(), keys), &bytes, &options)
            .await
            .unwrap();
        assert_eq!(
            summary.documents,
            BTreeMap::from([(Kind::User, 1), (Kind::Secret, 1)])
        );
        // Everything is sealed under the new key, so the former key is not needed.
        let restored = open_backend(config(location, MasterKeys::new(key(2))))
            .await
            .unwrap();
        assert_eq!(restored.check().await.unwrap(), []);
        let sessions = restored
            .store()
            .scan(Kind::Session, None, 10, NOW)
            .await
            .unwrap();
        assert_eq!(sessions, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_altered_backup_restores_nothing() {
    let source = tempfile::tempdir().unwrap();
    let keys = || MasterKeys::new(key(1));
    let backend = open_backend(config(directory(source.path()), keys()))
        .await
        .unwrap();
    fill(&backend.store()).await;
    let (bytes, _) = backup(&backend).await;
    let target = tempfile::tempdir().unwrap();
    let database = database().await;
    for (index, place) in (0..bytes.len()).step_by(bytes.len() / 40).enumerate() {
        let mut altered = bytes.clone();
        altered[place] ^= 0x01;
        let location = if index % 10 == 0 {
            database.clone()
        } else {
            directory(target.path())
        };
        for bad in [altered.as_slice(), &bytes[..place]] {
            let config = config(location.clone(), keys());
            let result = restore(config, bad, &ImportOptions::default()).await;
            assert!(result.is_err(), "byte {place}");
        }
    }
    for location in [directory(target.path()), database] {
        let restored = open_backend(config(location.clone(), keys()))
            .await
            .unwrap();
        assert!(
            restored
                .store()
                .scan(Kind::User, None, 1, NOW)
                .await
                .unwrap()
                .is_empty()
        );
        drop(restored);
        restore(config(location, keys()), &bytes, &ImportOptions::default())
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_restore_is_refused_until_it_is_repeated_e05() {
    let source = tempfile::tempdir().unwrap();
    let keys = || MasterKeys::new(key(1));
    let backend = open_backend(config(directory(source.path()), keys()))
        .await
        .unwrap();
    let original = backend.store();
    fill(&original).await;
    let (bytes, _) = backup(&backend).await;
    let options = ImportOptions::default();
    let target = tempfile::tempdir().unwrap();
    for location in [directory(target.path()), database().await] {
        let config = || config(location.clone(), keys());
        let unfinished = import(config(), bytes.as_slice(), &options).await.unwrap();
        let store = unfinished.store();
        create(&store, document(Kind::User, "left-over"))
            .await
            .unwrap();
        drop((unfinished, store));
        let error = open_backend(config()).await.err().unwrap().to_string();
        assert!(error.contains("repeat the restore"), "{error}");

        assert!(
            restore(config(), &bytes[..bytes.len() / 2], &options)
                .await
                .is_err()
        );
        assert!(open_backend(config()).await.is_err(), "it is still marked");

        restore(config(), &bytes, &options).await.unwrap();
        let restored = open_backend(config()).await.unwrap();
        let store = restored.store();
        assert_eq!(store.cluster_uid(), original.cluster_uid());
        for kind in [Kind::User, Kind::Secret, Kind::Session] {
            let expected = original.scan(kind, None, 10, NOW).await.unwrap();
            assert_eq!(store.scan(kind, None, 10, NOW).await.unwrap(), expected);
        }
        assert_eq!(restored.check().await.unwrap(), []);
        drop((restored, store));
        let again = restore(config(), &bytes, &options).await.unwrap_err();
        assert!(again.to_string().contains("not empty"), "{again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_another_cluster_leaves_the_store_unchanged_e05() {
    let keys = || MasterKeys::new(key(1));
    let (source, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let backend = open_backend(config(directory(source.path()), keys()))
        .await
        .unwrap();
    fill(&backend.store()).await;
    let (bytes, _) = backup(&backend).await;
    let other = store::open(config(directory(other.path()), keys()))
        .await
        .unwrap();
    let options = ImportOptions {
        cluster: Some(other.cluster_uid()),
        ..ImportOptions::default()
    };
    let target = tempfile::tempdir().unwrap();
    for location in [directory(target.path()), database().await] {
        let error = restore(config(location.clone(), keys()), &bytes, &options)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("is of Cluster"), "{error}");
        let untouched = open_backend(config(location, keys())).await.unwrap();
        let users = untouched.store().scan(Kind::User, None, 1, NOW).await;
        assert!(users.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_master_key_opens_everything_and_the_former_one_nothing() {
    let path = tempfile::tempdir().unwrap();
    for location in [directory(path.path()), database().await] {
        let old = open_backend(config(location.clone(), MasterKeys::new(key(1))))
            .await
            .unwrap();
        fill(&old.store()).await;
        drop(old);
        let both = MasterKeys::new(key(2)).with_former(key(1));
        let rotating = open_backend(config(location.clone(), both)).await.unwrap();
        assert_eq!(rotating.reseal().await.unwrap(), 1);
        assert_eq!(rotating.reseal().await.unwrap(), 0);
        drop(rotating);
        let error = open_backend(config(location.clone(), MasterKeys::new(key(1))))
            .await
            .err()
            .unwrap();
        assert!(
            error.to_string().contains("sealed with the master key"),
            "{error}"
        );
        let new = open_backend(config(location, MasterKeys::new(key(2))))
            .await
            .unwrap();
        assert_eq!(new.check().await.unwrap(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_problems() {
    let path = tempfile::tempdir().unwrap();
    let backend = open_backend(config(directory(path.path()), MasterKeys::new(key(1))))
        .await
        .unwrap();
    fill(&backend.store()).await;
    let raw = rusqlite::Connection::open(path.path().join(store::sqlite::DATABASE_FILE)).unwrap();
    raw.execute_batch(
        "UPDATE documents SET sealed = zeroblob(60) WHERE kind = 'Secret';
         DELETE FROM documents WHERE kind = 'User';
         UPDATE documents SET kind = 'Unicorn' WHERE kind = 'Session';",
    )
    .unwrap();
    let findings: Vec<String> = backend
        .check()
        .await
        .unwrap()
        .into_iter()
        .map(|finding| finding.0)
        .collect();
    for expected in ["2 index entries", "Unicorn", "cannot be decrypted"] {
        assert!(
            findings.iter().any(|finding| finding.contains(expected)),
            "{findings:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_replaces_a_master_key_of_its_own() {
    let path = tempfile::tempdir().unwrap();
    let own = || StoreConfig {
        location: directory(path.path()),
        keys: None,
        clock: Arc::new(SystemClock),
    };
    let read_key = || std::fs::read_to_string(path.path().join("master-key")).unwrap();
    fill(&store::open(own()).await.unwrap()).await;
    let before = read_key();
    // The state after an interruption: the next key exists, and nothing is sealed under it yet.
    store::seal::load_or_create(
        &path.path().join("master-key.next"),
        &domain::rng::SystemRng,
    )
    .unwrap();
    assert_eq!(
        open_backend(own()).await.unwrap().check().await.unwrap(),
        []
    );
    assert_eq!(
        store::sqlite::rotate_own_key(path.path(), &SystemClock)
            .await
            .unwrap(),
        1
    );
    assert_ne!(read_key(), before);
    let rotated = open_backend(own()).await.unwrap();
    assert_eq!(rotated.check().await.unwrap(), []);
    let former = MasterKeys::new(MasterKey::parse(&before).unwrap());
    assert!(
        open_backend(config(directory(path.path()), former))
            .await
            .is_err()
    );
}
