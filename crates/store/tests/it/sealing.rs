//! Tests that no secret appears in files, errors or debug output.

use std::{fs, sync::Arc};

use domain::{clock::SystemClock, kind::Kind, rng::SeededRng};
use store::{
    Expected, Operation, SecretWrite, Store, StoreConfig, Transaction,
    seal::{MasterKey, MasterKeys},
    sqlite::{DATABASE_FILE, MASTER_KEY_FILE, Sqlite},
    testing,
};
use zeroize::Zeroizing;

use crate::fixture::{NOW, document};

const SECRET: &[u8] = b"correct horse battery staple";

fn with_secret() -> Transaction {
    let mut document = document(Kind::Secret, "password");
    document.secret = SecretWrite::Set(Zeroizing::new(SECRET.to_vec()));
    let mut transaction = Transaction::at(NOW);
    transaction.push(Operation::Put(document, Expected::Absent));
    assert!(!format!("{transaction:?}").contains("horse"));
    transaction
}

#[tokio::test]
async fn no_file_of_the_database_holds_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let store = testing::sqlite_in(directory.path());
    let mut marker = document(Kind::User, "marker");
    marker.body = b"a body that is not sealed".to_vec();
    let mut transaction = with_secret();
    transaction.push(Operation::Put(marker, Expected::Absent));
    store.commit(transaction).await.unwrap();
    let mut found_marker = false;
    for file in fs::read_dir(directory.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let contains = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!contains(SECRET), "{}", path.display());
        found_marker |= contains(b"a body that is not sealed");
    }
    assert!(
        found_marker,
        "the files that were searched are those of the store"
    );
}

#[tokio::test]
async fn a_wrong_master_key_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let store = testing::sqlite_in(directory.path());
    store.commit(with_secret()).await.unwrap();
    let wrong = MasterKeys::new(MasterKey::random(&SeededRng::new(2)));
    let error = Sqlite::open(directory.path(), Some(wrong.clone()), &SystemClock)
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("sealed with the master key"),
        "{error}"
    );

    let url = testing::postgres_database().await;
    testing::postgres_at(&url).await;
    let options = store::postgres::PostgresOptions {
        url,
        ca_certificate: None,
        connections: 1,
        changes_wait_for_standby: false,
    };
    let error = store::postgres::Postgres::connect(&options, &wrong, Arc::new(SystemClock))
        .await
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("sealed with the master key"),
        "{error}"
    );
}

#[tokio::test]
async fn an_embedded_store_keeps_a_key_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Sqlite::open(directory.path(), None, &SystemClock);
    open().unwrap().commit(with_secret()).await.unwrap();
    let store = open().unwrap();
    let document = store
        .get_by_name(Kind::Secret, "password", NOW)
        .await
        .unwrap()
        .unwrap();
    let secret = store
        .secret(Kind::Secret, document.uid)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(secret.as_slice(), SECRET);
    fs::remove_file(directory.path().join(MASTER_KEY_FILE)).unwrap();
    let error = open().err().unwrap();
    assert!(error.to_string().contains("put the key back"), "{error}");
    assert!(directory.path().join(DATABASE_FILE).exists());
}

#[tokio::test]
async fn a_database_url_with_a_password_is_not_printed() {
    let config = StoreConfig {
        location: store::Location::Postgres(store::postgres::PostgresOptions {
            url: store::DatabaseUrl::new("postgres://user:hunter2@localhost:1/db?nonsense=hunter2"),
            ca_certificate: None,
            connections: 1,
            changes_wait_for_standby: false,
        }),
        keys: Some(testing::master_keys()),
        clock: std::sync::Arc::new(SystemClock),
    };
    let error = store::open(config.clone()).await.err().unwrap();
    assert!(
        !format!("{error} {error:?}").contains("hunter2"),
        "{error:?}"
    );
    let without_key = StoreConfig {
        keys: None,
        ..config
    };
    let error = store::open(without_key).await.err().unwrap();
    assert!(error.to_string().contains("needs a master key"), "{error}");
}
