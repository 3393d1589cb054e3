use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

fn raw(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
    let length = u32::try_from(payload).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags, 0, 0, 0, 1]);
    frame.resize(frame.len() + payload, 0);
    frame
}

/// Returns a connection after its preface.
async fn connect() -> (DuplexStream, Frames<DuplexStream>) {
    let (mut client, server) = duplex(1 << 20);
    let mut frames = Frames::new(server, Arc::new(Activity::new()));
    client.write_all(&[0; PREFACE as usize]).await.unwrap();
    frames.read_exact(&mut [0; PREFACE as usize]).await.unwrap();
    (client, frames)
}

/// Sends a frame `count` times. Returns how many were read before the connection failed.
async fn send(
    client: &mut DuplexStream,
    frames: &mut Frames<DuplexStream>,
    frame: &[u8],
    count: u64,
) -> u64 {
    let mut read = vec![0; frame.len()];
    for sent in 0..count {
        client.write_all(frame).await.unwrap();
        if frames.read_exact(&mut read).await.is_err() {
            return sent;
        }
    }
    count
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_control_frames_ends_the_connection_s02() {
    for (kind, payload) in [
        (PING, 8),
        (4, 0),
        (2, 5),
        (DATA, 0),
        (99, 3),
        (WINDOW_UPDATE, 4),
    ] {
        let (mut client, mut frames) = connect().await;
        let frame = raw(kind, 0, payload);
        let read = send(&mut client, &mut frames, &frame, BURST * 2).await;
        assert_eq!(read, BURST, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn resets_of_real_streams_are_no_flood() {
    let (mut client, mut frames) = connect().await;
    let frame = [raw(HEADERS, 0, 20), raw(3, 0, 4)].concat();
    let read = send(&mut client, &mut frames, &frame, BURST * 3).await;
    assert_eq!(read, BURST * 3);
}

#[tokio::test(start_paused = true)]
async fn window_updates_of_a_download_are_no_flood() {
    let (mut client, mut frames) = connect().await;
    let piece = raw(DATA, 0, 16 * 1024);
    let mut received = vec![0; piece.len()];
    for _ in 0..BURST {
        frames.write_all(&piece).await.unwrap();
        client.read_exact(&mut received).await.unwrap();
        let updates = send(&mut client, &mut frames, &raw(WINDOW_UPDATE, 0, 4), 8).await;
        assert_eq!(updates, 8);
    }
}

#[tokio::test(start_paused = true)]
async fn slow_pings_are_no_flood() {
    let (mut client, mut frames) = connect().await;
    for _ in 0..BURST * 2 {
        assert_eq!(send(&mut client, &mut frames, &raw(PING, 0, 8), 1).await, 1);
        tokio::time::advance(Duration::from_millis(MILLIS_PER_FRAME)).await;
    }
}

proptest! {
    #[test]
    fn frames_are_found_however_the_bytes_are_cut(
        kinds in prop::collection::vec((0_u8..12, 0_u8..2, 0_usize..40), 0..20),
        cuts in prop::collection::vec(1_usize..30, 1..40),
    ) {
        let mut stream = vec![0; PREFACE as usize];
        for (kind, flags, payload) in &kinds {
            stream.extend(raw(*kind, *flags, *payload));
        }
        let mut whole = Vec::new();
        Scanner::after(PREFACE).feed(&stream, |frame| whole.push(frame));
        prop_assert_eq!(whole.len(), kinds.len());
        for (frame, (_, _, payload)) in whole.iter().zip(&kinds) {
            prop_assert_eq!(frame.length as usize, *payload);
        }
        let mut scanner = Scanner::after(PREFACE);
        let mut pieces = Vec::new();
        let mut left = stream.as_slice();
        for cut in cuts.iter().cycle() {
            if left.is_empty() {
                break;
            }
            let (piece, rest) = left.split_at((*cut).min(left.len()));
            scanner.feed(piece, |frame| pieces.push(frame));
            left = rest;
        }
        prop_assert_eq!(pieces, whole);
    }
}
