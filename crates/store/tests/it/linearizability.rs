//! Concurrent clients and crashes, checked against the model in [`crate::history`] (E01).

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use domain::{id::Uid, kind::Kind};
use store::{CommitError, NewDocument, Revision, Store, testing};

use crate::{
    fixture::{NOW, create, document, update},
    history::{Event, Seen, contradiction},
};

const DIRECTORY: &str = "STORE_TEST_CLIENTS_DIRECTORY";
const REGISTERS: usize = 3;
const CLIENTS: usize = 6;

/// Returns the time of a clock that processes share.
#[allow(
    clippy::disallowed_methods,
    reason = "events of several processes are put in order"
)]
fn now() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos()
}

fn register(number: usize) -> NewDocument {
    let mut register = document(Kind::Group, &format!("register-{number}"));
    register.uid = uid(number);
    register.body = Vec::new();
    register
}

fn uid(number: usize) -> Uid {
    format!("00000000-0000-4000-8000-00000000000{number}")
        .parse()
        .unwrap()
}

async fn read(store: &Arc<dyn Store>, register: usize) -> Option<Event> {
    let began = now();
    let read = store.get(Kind::Group, uid(register), NOW).await.ok()?;
    let ended = Some(now());
    let document = read.expect("the register is there");
    let seen = Seen::Read {
        revision: document.revision.0,
        value: String::from_utf8(document.body).unwrap(),
    };
    Some(Event {
        register,
        began,
        ended,
        seen,
    })
}

/// Reads a register and then writes it by compare-and-set. Reports to `intent` before the write.
async fn step(
    store: &Arc<dyn Store>,
    register: usize,
    value: &str,
    intent: impl Fn(&Event),
) -> Vec<Event> {
    let Some(before) = read(store, register).await else {
        return Vec::new();
    };
    let Seen::Read {
        revision: expected, ..
    } = before.seen
    else {
        unreachable!("it was read");
    };
    let mut event = Event {
        register,
        began: now(),
        ended: None,
        seen: Seen::Unknown {
            expected,
            value: value.to_owned(),
        },
    };
    intent(&event);
    let mut document = self::register(register);
    document.body = value.as_bytes().to_vec();
    match update(store, document, Revision(expected)).await {
        Ok(revision) => {
            assert_eq!(revision.0, expected + 1);
            event.seen = Seen::Wrote {
                expected,
                value: value.to_owned(),
            };
            event.ended = Some(now());
        }
        Err(CommitError::Conflict { .. }) => {
            event.seen = Seen::Refused { expected };
            event.ended = Some(now());
        }
        Err(CommitError::Store(_)) => {}
        Err(error) => panic!("{error}"),
    }
    vec![before, event]
}

#[tokio::test(flavor = "multi_thread")]
async fn e01_postgres_stays_linearizable_while_its_connections_are_killed() {
    const STEPS: usize = 60;
    let url = testing::postgres_database().await;
    let mut replicas: Vec<Arc<dyn Store>> = Vec::new();
    for _ in 0..2 {
        replicas.push(Arc::new(testing::postgres_at(&url).await));
    }
    for number in 0..REGISTERS {
        create(&replicas[0], register(number)).await.unwrap();
    }
    let done = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let store = Arc::clone(&replicas[client % 2]);
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                let mut history = Vec::new();
                // On a busy machine few writes succeed between two cuts. The clients continue until enough have
                // succeeded.
                for number in 0_usize.. {
                    if number >= STEPS && written(&history) >= STEPS / 2 {
                        break;
                    }
                    let value = format!("{client}-{number}");
                    history.extend(step(&store, number % REGISTERS, &value, |_| ()).await);
                    done.fetch_add(1, Ordering::SeqCst);
                }
                history
            })
        })
        .collect();
    let foreign = testing::postgres_client(&url).await;
    for kills in 1..=8 {
        while done.load(Ordering::SeqCst) < kills * CLIENTS * STEPS / 10 {
            tokio::task::yield_now().await;
        }
        foreign
            .batch_execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await
            .unwrap();
    }
    let mut history = Vec::new();
    for client in clients {
        history.extend(client.await.unwrap());
    }
    hold(&replicas[1], history, CLIENTS * STEPS / 2).await;
}

/// Not a test: the test below starts this as a separate process and kills it.
#[tokio::test(flavor = "multi_thread")]
async fn clients() {
    #[allow(
        clippy::disallowed_methods,
        reason = "how the test tells its child what to do"
    )]
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let store: Arc<dyn Store> = Arc::new(testing::sqlite_in(Path::new(&directory)));
    let began = now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in 0_usize.. {
                    let value = format!("{began}-{client}-{number}");
                    for event in step(&store, number % REGISTERS, &value, tell).await {
                        tell(&event);
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}

fn tell(event: &Event) {
    let Event {
        register,
        began,
        ended,
        seen,
    } = event;
    let ended = ended.unwrap_or(0);
    let (what, number, value) = match seen {
        Seen::Read { revision, value } => ("read", revision, value.as_str()),
        Seen::Wrote { expected, value } => ("wrote", expected, value.as_str()),
        Seen::Refused { expected } => ("refused", expected, ""),
        Seen::Unknown { expected, value } => ("unknown", expected, value.as_str()),
    };
    let line = format!("\nevent {register} {began} {ended} {what} {number} {value} .\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// Parses a line of [`tell`]. Returns `None` for other and truncated lines.
fn heard(line: &str) -> Option<Event> {
    let fields: Vec<&str> = line.split(' ').collect();
    let ["event", register, began, ended, what, number, value, "."] = fields[..] else {
        return None;
    };
    let (number, value) = (number.parse().ok()?, value.to_owned());
    let ended = ended.parse().ok()?;
    Some(Event {
        register: register.parse().ok()?,
        began: began.parse().ok()?,
        ended: (ended != 0).then_some(ended),
        seen: match what {
            "read" => Seen::Read {
                revision: number,
                value,
            },
            "wrote" => Seen::Wrote {
                expected: number,
                value,
            },
            "refused" => Seen::Refused { expected: number },
            _ => Seen::Unknown {
                expected: number,
                value,
            },
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn e01_the_embedded_store_stays_linearizable_while_its_process_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(testing::sqlite_in(directory.path()));
    for number in 0..REGISTERS {
        create(&store, register(number)).await.unwrap();
    }
    drop(store);
    let mut history = Vec::new();
    for round in 0..4 {
        history.extend(run_and_kill(directory.path(), 150 + 70 * round));
    }
    let store: Arc<dyn Store> = Arc::new(testing::sqlite_in(directory.path()));
    hold(&store, history, 50).await;
}

/// Runs the clients until they have reported `events` events, kills them, and returns every event.
fn run_and_kill(directory: &Path, events: usize) -> Vec<Event> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "linearizability::clients",
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
    let mut history: Vec<Event> = Vec::new();
    for line in output.lines().map_while(Result::ok) {
        history.extend(heard(&line));
        if history.len() == events {
            // SIGKILL; the loop still reads the output written before it.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(history.len() >= events, "the clients ended by themselves");
    // The known outcome of a write replaces its intent.
    let settled: Vec<(usize, u128)> = history
        .iter()
        .filter(|event| event.ended.is_some())
        .map(|event| (event.register, event.began))
        .collect();
    history
        .retain(|event| event.ended.is_some() || !settled.contains(&(event.register, event.began)));
    history
}

fn written(history: &[Event]) -> usize {
    let is_written = |event: &&Event| matches!(event.seen, Seen::Wrote { .. });
    history.iter().filter(is_written).count()
}

/// Checks a history and the final state of the store against the model.
async fn hold(store: &Arc<dyn Store>, mut history: Vec<Event>, at_least: usize) {
    for number in 0..REGISTERS {
        history.push(read(store, number).await.expect("the store answers"));
    }
    let written = written(&history);
    assert!(written >= at_least, "only {written} writes succeeded");
    assert_eq!(contradiction(&history), None);
}
