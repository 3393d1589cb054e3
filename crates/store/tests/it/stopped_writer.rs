//! Tests with a replica that is stopped in the middle of a write.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use domain::kind::Kind;
use store::{
    DatabaseUrl, Store,
    testing::{self, Relay, Server},
};
use tokio::task::JoinSet;

use crate::fixture::{create, document, uid};

const DATABASE: &str = "STORE_TEST_STOPPED_WRITER_DATABASE";
const WRITERS: usize = 4;
const ROUNDS: u32 = 25;
/// The latency between the stopped replica and its database. A lock held across a round trip is held for this long.
const DELAY: Duration = Duration::from_millis(10);
/// The limit for a write on another replica.
const BOUND: Duration = Duration::from_secs(2);

/// Not a test: the test below starts this as a separate process and stops it.
#[tokio::test(flavor = "multi_thread")]
async fn writer() {
    #[allow(
        clippy::disallowed_methods,
        reason = "how the test tells its child what to do"
    )]
    let Ok(url) = std::env::var(DATABASE) else {
        return;
    };
    let store: Arc<dyn Store> = Arc::new(testing::postgres_at(&DatabaseUrl::new(url)).await);
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(write_for_ever(store));
    }
    // No writer ends by itself.
    writers.join_next().await.unwrap().unwrap();
}

async fn write_for_ever(store: Arc<dyn Store>) {
    loop {
        let user = document(Kind::User, &uid().to_string());
        // The server may have aborted its transaction while the process was stopped.
        if create(&store, user).await.is_ok() {
            std::io::stdout().write_all(b"\nwrote\n").unwrap();
        }
    }
}

/// A child process that is killed when dropped.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(child: &Child, name: &str) {
    let command = format!("kill -{name} {}", child.id());
    let status = Command::new("sh").arg("-c").arg(command).status().unwrap();
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_replica_holds_up_no_writes_of_others_d3() {
    let server = Server::start_separate().await;
    let url = server.database().await;
    let relay = Relay::to(&server).await;
    let store: Arc<dyn Store> = Arc::new(testing::postgres_at(&url).await);
    relay.delay(DELAY);
    let database = url.expose().rsplit('/').next().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "stopped_writer::writer",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(
            DATABASE,
            format!("postgres://postgres@{}/{database}", relay.address()),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    let victim = Victim(child);
    let (wrote, mut writes) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if line == "wrote" && wrote.send(()).is_err() {
                return;
            }
        }
    });
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        // Let it write again, each time to a slightly later point of its transaction.
        while writes.try_recv().is_ok() {}
        let woken = tokio::time::timeout(Duration::from_secs(30), writes.recv());
        woken.await.expect("the replica writes").expect("it runs");
        tokio::time::sleep(DELAY * 2 / 5 * (round % 16)).await;
        signal(&victim.0, "STOP");
        let began = Instant::now();
        create(&store, document(Kind::User, &format!("round-{round}")))
            .await
            .unwrap();
        slowest = slowest.max(began.elapsed());
        signal(&victim.0, "CONT");
    }
    assert!(slowest < BOUND, "a write took {slowest:?}");
}
