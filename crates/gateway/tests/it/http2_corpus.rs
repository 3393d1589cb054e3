//! HTTP/2 frame sequences that RFC 9113 allows or forbids.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    http2::{GET, WHOLE, fields, frame, read_frame, speak},
    support::{Upstream, World, service, world::ServiceExt},
};

const PATIENCE: Duration = Duration::from_secs(10);

// Frame types (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITIZED: u8 = 0x20;

/// `:status: 200` of the static table (RFC 7541 Appendix A).
const OK: u8 = 0x88;

type Case = (&'static str, Vec<Vec<u8>>);

fn get() -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &fields(&GET))
}

fn with(extra: &[(&str, &str)]) -> Vec<u8> {
    fields(&[&GET[..], extra].concat())
}

fn post(declared: &str) -> Vec<u8> {
    let mut pseudo = GET;
    pseudo[0].1 = "POST";
    let block = fields(&[&pseudo[..], &[("content-length", declared)]].concat());
    frame(HEADERS, END_HEADERS, 1, &block)
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &payload)
}

fn padded(padding: u8, payload: &[u8]) -> Vec<u8> {
    let zeros = vec![0; usize::from(padding)];
    [&[padding], payload, &zeros].concat()
}

/// Sequences that must be served.
fn allowed() -> Vec<Case> {
    let block = fields(&GET);
    let half = block.len() / 2;
    vec![
        ("a request", vec![get()]),
        (
            "§4.1 unknown types of frames are ignored",
            vec![
                frame(0x7a, 0xff, 0, b"?"),
                frame(0x7a, 0xff, 3, b"?"),
                get(),
            ],
        ),
        (
            "§4.1 undefined flags are ignored",
            vec![
                frame(PING, 0xf6, 0, &[0; 8]),
                frame(HEADERS, WHOLE | 0x40, 1, &block),
            ],
        ),
        (
            "§6.10 a field block in two frames",
            vec![
                frame(HEADERS, END_STREAM, 1, &block[..half]),
                frame(CONTINUATION, END_HEADERS, 1, &block[half..]),
            ],
        ),
        (
            "§6.10 a field block that begins empty",
            vec![
                frame(HEADERS, END_STREAM, 1, &[]),
                frame(CONTINUATION, END_HEADERS, 1, &block),
            ],
        ),
        (
            "§6.2 a field block with padding",
            vec![frame(HEADERS, WHOLE | PADDED, 1, &padded(7, &block))],
        ),
        (
            "§6.2 a field block with a priority",
            vec![frame(
                HEADERS,
                WHOLE | PRIORITIZED,
                1,
                &[&[0, 0, 0, 0, 15][..], &block].concat(),
            )],
        ),
        (
            "§6.3 a priority of a stream that is not open",
            vec![frame(PRIORITY, 0, 9, &[0, 0, 0, 0, 15]), get()],
        ),
        (
            "§6.1 a body with padding",
            vec![
                post("4"),
                frame(DATA, END_STREAM | PADDED, 1, &padded(200, b"body")),
            ],
        ),
        (
            "§8.1 a body, then trailers",
            vec![
                post("4"),
                frame(DATA, 0, 1, b"body"),
                frame(HEADERS, WHOLE, 1, &fields(&[("x-trailer", "y")])),
            ],
        ),
        (
            "§8.1 trailers with a pseudo-header are not forwarded",
            vec![
                post("4"),
                frame(DATA, 0, 1, b"body"),
                frame(HEADERS, WHOLE, 1, &fields(&[(":path", "/admin")])),
            ],
        ),
        ("§6.5 unknown settings", vec![setting(0x9999, 1), get()]),
        (
            "§6.9 a window that grows",
            vec![frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]), get()],
        ),
        (
            "§5.1.1 streams that are passed over",
            vec![frame(HEADERS, WHOLE, 1, &block)],
        ),
    ]
}

/// Sequences that must end the stream or the connection before an upstream sees them.
#[allow(clippy::too_many_lines, reason = "a table")]
fn forbidden() -> Vec<Case> {
    let block = fields(&GET);
    let half = block.len() / 2;
    let pseudo = |index: usize, name: &'static str, value: &'static str| {
        let mut pseudo = GET;
        pseudo[index] = (name, value);
        frame(HEADERS, WHOLE, 1, &fields(&pseudo))
    };
    let extra = |extra: &[(&str, &str)]| frame(HEADERS, WHOLE, 1, &with(extra));
    vec![
        (
            "§4.2 a frame above the largest size",
            vec![frame(HEADERS, WHOLE, 1, &[0; 16_385])],
        ),
        (
            "§4.3 a field block that does not decode",
            vec![frame(HEADERS, WHOLE, 1, &[0x3f, 0xff, 0xff])],
        ),
        (
            "§4.3 an index beyond the table",
            vec![frame(HEADERS, WHOLE, 1, &[0xff, 0x7f])],
        ),
        (
            "§4.3 an index of zero",
            vec![frame(HEADERS, WHOLE, 1, &[0x80])],
        ),
        (
            "RFC 7541 §4.2 a table larger than allowed",
            vec![frame(
                HEADERS,
                WHOLE,
                1,
                &[&[0x3f, 0xe1, 0xff, 0x3f][..], &block].concat(),
            )],
        ),
        (
            "RFC 7541 §5.2 Huffman padding of more than seven bits",
            vec![frame(
                HEADERS,
                WHOLE,
                1,
                &[&block[..], &[0x00, 0x81, 0xff, 0x81, 0xff]].concat(),
            )],
        ),
        (
            "§5.1 DATA on an idle stream",
            vec![frame(DATA, END_STREAM, 1, b"body")],
        ),
        (
            "§5.1 RST_STREAM on an idle stream",
            vec![frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])],
        ),
        (
            "§5.1 WINDOW_UPDATE on an idle stream",
            vec![frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 8])],
        ),
        (
            "§5.1 CONTINUATION on an idle stream",
            vec![frame(CONTINUATION, END_HEADERS, 1, &block)],
        ),
        (
            "§5.1.1 an even stream",
            vec![frame(HEADERS, WHOLE, 2, &block)],
        ),
        (
            "§6.1 DATA on stream 0",
            vec![frame(DATA, END_STREAM, 0, b"body")],
        ),
        (
            "§6.1 padding longer than the frame",
            vec![post("4"), frame(DATA, END_STREAM | PADDED, 1, &[9, b'b'])],
        ),
        (
            "§6.2 HEADERS on stream 0",
            vec![frame(HEADERS, WHOLE, 0, &block)],
        ),
        (
            "§6.2 padding longer than the field block",
            vec![frame(HEADERS, WHOLE | PADDED, 1, &[200, 0x82])],
        ),
        (
            "§6.3 PRIORITY on stream 0",
            vec![frame(PRIORITY, 0, 0, &[0, 0, 0, 0, 15])],
        ),
        (
            "§6.4 RST_STREAM on stream 0",
            vec![frame(RST_STREAM, 0, 0, &[0, 0, 0, 8])],
        ),
        (
            "§6.4 RST_STREAM of three octets",
            vec![frame(RST_STREAM, 0, 1, &[0, 0, 8])],
        ),
        (
            "§6.5 SETTINGS on a stream",
            vec![frame(SETTINGS, 0, 1, &[])],
        ),
        (
            "§6.5 an acknowledgement with a payload",
            vec![frame(SETTINGS, ACK, 0, &[0; 6])],
        ),
        (
            "§6.5 SETTINGS of five octets",
            vec![frame(SETTINGS, 0, 0, &[0; 5])],
        ),
        ("§6.5.2 SETTINGS_ENABLE_PUSH of 2", vec![setting(2, 2)]),
        (
            "§6.5.2 a window above 2^31-1",
            vec![setting(4, 0x8000_0000)],
        ),
        (
            "§6.5.2 frames below the smallest largest size",
            vec![setting(5, 16_383)],
        ),
        (
            "§6.5.2 frames above the largest size",
            vec![setting(5, 16_777_216)],
        ),
        (
            "§6.6 PUSH_PROMISE of a client",
            vec![
                get(),
                frame(
                    PUSH_PROMISE,
                    END_HEADERS,
                    1,
                    &[&[0, 0, 0, 2][..], &block].concat(),
                ),
            ],
        ),
        ("§6.7 PING on a stream", vec![frame(PING, 0, 1, &[0; 8])]),
        ("§6.7 PING of six octets", vec![frame(PING, 0, 0, &[0; 6])]),
        (
            "§6.8 GOAWAY on a stream",
            vec![frame(GOAWAY, 0, 1, &[0; 8])],
        ),
        (
            "§6.9 WINDOW_UPDATE of zero",
            vec![frame(WINDOW_UPDATE, 0, 0, &[0; 4])],
        ),
        (
            "§6.9 WINDOW_UPDATE of three octets",
            vec![frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1])],
        ),
        (
            "§6.9.1 a window above 2^31-1",
            vec![frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])],
        ),
        (
            "§6.10 another frame within a field block",
            vec![
                frame(HEADERS, END_STREAM, 1, &block[..half]),
                frame(PING, 0, 0, &[0; 8]),
            ],
        ),
        (
            "§6.10 another stream within a field block",
            vec![
                frame(HEADERS, END_STREAM, 1, &block[..half]),
                frame(CONTINUATION, END_HEADERS, 3, &block[half..]),
            ],
        ),
        (
            "§6.10 CONTINUATION after the end of a field block",
            vec![
                frame(HEADERS, END_HEADERS, 1, &block),
                frame(CONTINUATION, END_HEADERS, 1, &[]),
            ],
        ),
        (
            "§6.10 CONTINUATION on stream 0",
            vec![
                frame(HEADERS, END_STREAM, 1, &block[..half]),
                frame(CONTINUATION, END_HEADERS, 0, &block[half..]),
            ],
        ),
        (
            "§8.1.1 a body shorter than declared",
            vec![post("9"), frame(DATA, END_STREAM, 1, b"body")],
        ),
        (
            "§8.1.1 a body longer than declared",
            vec![post("2"), frame(DATA, END_STREAM, 1, b"body")],
        ),
        (
            "§8.1 trailers that do not end the stream",
            vec![
                post("4"),
                frame(DATA, 0, 1, b"body"),
                frame(HEADERS, END_HEADERS, 1, &fields(&[("x", "y")])),
            ],
        ),
        (
            "§8.2 a field name in capitals",
            vec![extra(&[("X-Name", "y")])],
        ),
        (
            "§8.2.1 a line end in a value",
            vec![extra(&[("x", "a\nb")])],
        ),
        ("§8.2.1 a NUL in a value", vec![extra(&[("x", "a\0b")])]),
        ("§8.2.1 a space in a name", vec![extra(&[("x y", "z")])]),
        (
            "§8.2.2 Connection",
            vec![extra(&[("connection", "keep-alive")])],
        ),
        (
            "§8.2.2 Proxy-Connection",
            vec![extra(&[("proxy-connection", "keep-alive")])],
        ),
        ("§8.2.2 TE besides trailers", vec![extra(&[("te", "gzip")])]),
        (
            "§8.3 an unknown pseudo-header",
            vec![extra(&[(":evil", "y")])],
        ),
        (
            "§8.3 a pseudo-header of responses",
            vec![extra(&[(":status", "200")])],
        ),
        (
            "§8.3 a pseudo-header after a field",
            vec![frame(
                HEADERS,
                WHOLE,
                1,
                &fields(&[GET[0], GET[1], GET[2], ("x", "y"), GET[3]]),
            )],
        ),
        (
            "§8.3.1 a pseudo-header twice",
            vec![extra(&[(":method", "POST")])],
        ),
        (
            "§8.3.1 no method",
            vec![frame(HEADERS, WHOLE, 1, &fields(&GET[1..]))],
        ),
        (
            "§8.3.1 no path",
            vec![frame(HEADERS, WHOLE, 1, &fields(&GET[..3]))],
        ),
        ("§8.3.1 an empty path", vec![pseudo(3, ":path", "")]),
        (
            "§8.3.1 a path without a slash",
            vec![pseudo(3, ":path", "admin")],
        ),
        (
            "§8.3.1 user information in the authority",
            vec![pseudo(2, ":authority", "u@app.example.com")],
        ),
        (
            "§8.3.1 another host field",
            vec![extra(&[("host", "other.example.com")])],
        ),
        (
            "§8.5 CONNECT",
            vec![frame(
                HEADERS,
                WHOLE,
                1,
                &fields(&[
                    (":method", "CONNECT"),
                    (":authority", "app.example.com:443"),
                ]),
            )],
        ),
    ]
}

/// Returns true if the first request gets a 200, and false if the request or the connection is rejected.
async fn outcome(stream: &mut TcpStream) -> Option<bool> {
    loop {
        let frame = timeout(PATIENCE, read_frame(stream)).await.ok()?;
        match frame {
            Ok((HEADERS, 1, block)) => return Some(block.first() == Some(&OK)),
            Ok((RST_STREAM | GOAWAY, ..)) | Err(_) => return Some(false),
            Ok(_) => {}
        }
    }
}

async fn check((name, frames): &Case, is_allowed: bool) -> Result<(), String> {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let mut stream = speak(&world, frames).await;
    let outcome = outcome(&mut stream).await;
    let seen = upstream.seen();
    // A request with a malformed body may have started to stream, but must never look complete.
    let is_harmless = seen
        .iter()
        .all(|seen| seen.body.is_empty() && seen.target == "/");
    if outcome == Some(is_allowed) && (is_allowed || is_harmless) {
        Ok(())
    } else {
        Err(format!("{name}: {outcome:?}, upstream {seen:?}"))
    }
}

async fn check_all(cases: Vec<Case>, is_allowed: bool) {
    let checks = cases.iter().map(|case| check(case, is_allowed));
    let failures = join_all(checks).await.into_iter().filter_map(Result::err);
    let failures: Vec<String> = failures.collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn frames_that_rfc_9113_allows_are_served() {
    check_all(allowed(), true).await;
}

#[tokio::test]
async fn c17_c19_frames_that_rfc_9113_forbids_reach_no_upstream() {
    check_all(forbidden(), false).await;
}
