//! Tests that a process killed at any point loses no acknowledged write.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use domain::{kind::Kind, rng::SeededRng};
use store::{Expected, Operation, Revision, Store, Transaction, testing};

use crate::fixture::{NOW, document};

const DIRECTORY: &str = "STORE_TEST_VICTIM_DIRECTORY";
const WRITERS: usize = 8;

/// Not a test: the test below starts this as a separate process and kills it.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    #[allow(
        clippy::disallowed_methods,
        reason = "the test passes instructions to its child process"
    )]
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let store: Arc<dyn Store> = Arc::new(testing::sqlite_in(Path::new(&directory)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| tokio::spawn(write_forever(Arc::clone(&store))))
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Creates and updates documents, and prints each acknowledged write.
async fn write_forever(store: Arc<dyn Store>) {
    loop {
        let user = document(Kind::User, &crate::fixture::uid().to_string());
        let mut expected = Expected::Absent;
        for _ in 0..2 {
            let mut transaction = Transaction::at(NOW);
            transaction.push(Operation::Put(user.clone(), expected));
            let revision = store.commit(transaction).await.unwrap().revisions[0];
            expected = Expected::Revision(revision);
            let line = format!("\nacknowledged {} {}\n", user.uid, revision.0);
            std::io::stdout().write_all(line.as_bytes()).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_loses_no_acknowledged_write() {
    let directory = tempfile::tempdir().unwrap();
    let rng = SeededRng::new(7);
    let mut acknowledged = Vec::new();
    for _ in 0..5 {
        let mut bytes = [0; 1];
        domain::rng::Rng::fill(&rng, &mut bytes);
        let lines = 100 + usize::from(bytes[0]) * 4;
        acknowledged.extend(run_and_kill(directory.path(), lines));
        let store = testing::sqlite_in(directory.path());
        for (uid, revision) in &acknowledged {
            let uid = uid.parse().unwrap();
            let read = store.get(Kind::User, uid, NOW).await.unwrap();
            let read = read.unwrap_or_else(|| panic!("{uid} is lost"));
            assert!(read.revision >= Revision(*revision), "{uid} fell back");
        }
    }
    assert!(acknowledged.len() > 500);
}

/// Runs the victim until it has acknowledged `lines` writes, kills it, and returns every acknowledged write.
fn run_and_kill(directory: &Path, lines: usize) -> Vec<(String, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "durability::victim",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIRECTORY, directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = Vec::new();
    for line in output.lines().map_while(Result::ok) {
        let Some(rest) = line.strip_prefix("acknowledged ") else {
            continue;
        };
        // The kill may have truncated the last line.
        let Some((uid, revision)) = rest.split_once(' ') else {
            continue;
        };
        if let (36, Ok(revision)) = (uid.len(), revision.parse()) {
            acknowledged.push((uid.to_owned(), revision));
        }
        if acknowledged.len() == lines {
            // SIGKILL; the loop still reads the output written before it.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= lines, "the victim ended by itself");
    acknowledged
}

/// A restore relies on this when it moves the database: a dropped store has nothing left in its log and writes nothing
/// more.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_store_has_closed_its_files() {
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let store = testing::sqlite_in(directory.path());
        let mut transaction = Transaction::at(NOW);
        let user = document(Kind::User, "alice");
        transaction.push(Operation::Put(user.clone(), Expected::Absent));
        store.commit(transaction).await.unwrap();
        assert!(
            store
                .get(Kind::User, user.uid, NOW)
                .await
                .unwrap()
                .is_some()
        );
        drop(store);
        let files: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with(store::sqlite::DATABASE_FILE))
            .collect();
        assert_eq!(files, [store::sqlite::DATABASE_FILE]);
    }
}
