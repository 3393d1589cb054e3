//! HTTP/1.1 requests, as bytes, that RFC 9112 allows or forbids.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{Upstream, World, service, world::ServiceExt};

const CORPUS: &str = include_str!("../data/http1.corpus");

struct Case {
    name: &'static str,
    expectation: Expectation,
    bytes: Vec<u8>,
}

enum Expectation {
    Passed(usize),
    Refused(Option<u16>),
    Incomplete,
}

const PATIENCE: Duration = Duration::from_secs(10);

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in CORPUS.lines() {
        if let Some(head) = line.strip_prefix("=== ") {
            let mut parts = head.split(" | ");
            let mut words = parts.next().unwrap().split(' ');
            let expectation = match (words.next().unwrap(), words.next()) {
                ("passed", Some(count)) => Expectation::Passed(count.parse().unwrap()),
                ("refused", status) => {
                    Expectation::Refused(status.map(|status| status.parse().unwrap()))
                }
                ("incomplete", None) => Expectation::Incomplete,
                other => panic!("{other:?}"),
            };
            cases.push(Case {
                name: parts.next().unwrap(),
                expectation,
                bytes: Vec::new(),
            });
        } else if !line.starts_with('#')
            && let Some(case) = cases.last_mut()
        {
            case.bytes.extend(unescape(line));
        }
    }
    cases
}

fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next().unwrap() {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'0' => 0,
                b'\\' => b'\\',
                b'x' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => panic!("\\{}", char::from(other)),
            },
            byte => byte,
        });
    }
    bytes
}

/// Returns the statuses of all responses.
fn statuses(answers: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answers);
    let statuses = text
        .match_indices("HTTP/1.")
        .map(|(start, _)| text[start + 9..start + 12].parse().unwrap());
    statuses.collect()
}

/// Returns the statuses of all responses until the connection ends, or `None` if it does not end.
async fn exchange(world: &World, case: &Case, piece: usize) -> Option<Vec<u16>> {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for bytes in case.bytes.chunks(piece) {
        if stream.write_all(bytes).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let mut answers = Vec::new();
    let enough = match case.expectation {
        Expectation::Passed(count) => count,
        Expectation::Refused(_) => usize::MAX,
        Expectation::Incomplete => 0,
    };
    let mut buffer = [0; 4096];
    while statuses(&answers).len() < enough {
        match timeout(PATIENCE, stream.read(&mut buffer)).await.ok()? {
            Ok(0) | Err(_) => return Some(statuses(&answers)),
            Ok(count) => answers.extend_from_slice(&buffer[..count]),
        }
    }
    // Reads anything that follows the last expected response.
    stream.shutdown().await.ok();
    let rest = stream.read_to_end(&mut answers);
    timeout(PATIENCE, rest).await.ok()?.ok();
    Some(statuses(&answers))
}

async fn check(case: &Case, piece: usize) -> Result<(), String> {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let statuses = exchange(&world, case, piece).await;
    let seen = upstream.seen();
    let is_as_expected = match (&case.expectation, &statuses) {
        (_, None) => false,
        (Expectation::Passed(count), Some(statuses)) => {
            *statuses == vec![200; *count] && seen.len() == *count
        }
        // A malformed body may have started to stream, but must never look complete.
        (Expectation::Refused(Some(status)), Some(statuses)) => {
            *statuses == [*status] && seen.is_empty()
        }
        (Expectation::Refused(None) | Expectation::Incomplete, Some(statuses)) => {
            statuses.len() <= 1
                && statuses.iter().all(|status| *status >= 400)
                && seen.iter().all(|seen| seen.body.is_empty())
        }
    };
    if is_as_expected {
        Ok(())
    } else {
        Err(format!(
            "{}: answered {statuses:?}, upstream {seen:?}",
            case.name
        ))
    }
}

async fn check_all(piece: usize) {
    let cases = cases();
    assert!(cases.len() > 80, "{}", cases.len());
    let checks = cases.iter().map(|case| check(case, piece));
    let failures: Vec<String> = join_all(checks)
        .await
        .into_iter()
        .filter_map(Result::err)
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn c17_each_request_of_the_corpus_passes_or_is_refused_as_the_rfc_says() {
    check_all(usize::MAX).await;
}

/// The split into TCP segments must not change the result.
#[tokio::test]
async fn c16_c17_requests_that_arrive_octet_by_octet_read_the_same() {
    check_all(1).await;
}
