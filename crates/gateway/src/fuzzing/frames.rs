//! The scanners of HTTP/2 and WebSocket frames, compared with parsers that have the whole stream.

use std::collections::BTreeSet;

use crate::{forward::websocket_boundaries, listener::scan_frames};

const PREFACE: usize = 24;
const PIECES: [usize; 7] = [1, 2, 3, 8, 9, 10, 64];

/// Reads an HTTP/2 stream, with its preface.
pub fn http2_frames(stream: &[u8]) {
    let expected = http2(stream);
    for piece in pieces(stream) {
        assert_eq!(scan_frames(stream, piece), expected, "in pieces of {piece}");
    }
}

/// Reads one direction of a WebSocket.
pub fn websocket_frames(stream: &[u8]) {
    let boundaries = websocket(stream);
    for piece in pieces(stream) {
        let mut ends = BTreeSet::new();
        let mut end = 0;
        for bytes in stream.chunks(piece) {
            end += bytes.len();
            ends.insert(end);
        }
        let expected: Vec<usize> = ends.intersection(&boundaries).copied().collect();
        let found = websocket_boundaries(stream, piece);
        assert_eq!(found, expected, "in pieces of {piece}");
    }
}

/// Returns the sizes of the pieces in which a stream is read: the whole, common ones, and one that the input selects.
fn pieces(stream: &[u8]) -> impl Iterator<Item = usize> {
    let selected = stream.first().map(|byte| usize::from(*byte) + 1);
    let whole = stream.len().max(1);
    PIECES.into_iter().chain([whole]).chain(selected)
}

/// Returns the kinds and lengths of the frames (RFC 9113 §4.1).
fn http2(stream: &[u8]) -> Vec<(String, u32)> {
    let mut rest = stream.get(PREFACE..).unwrap_or_default();
    let mut found = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<9>() {
        let [high, middle, low, kind, flags, ..] = *head;
        let length = u32::from(high) << 16 | u32::from(middle) << 8 | u32::from(low);
        let kind = match kind {
            0 if length > 0 || flags & 1 == 1 => "Data",
            1 | 9 => "Headers",
            _ => "Control",
        };
        found.push((kind.to_owned(), length));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        rest = after.get(length..).unwrap_or_default();
    }
    found
}

/// Returns the places after each frame.
fn websocket(stream: &[u8]) -> BTreeSet<usize> {
    let mut places = BTreeSet::new();
    let mut rest = stream;
    while let Some(after) = skip_frame(rest) {
        rest = after;
        places.insert(stream.len() - rest.len());
    }
    places
}

/// Skips a frame (RFC 6455 §5.2). Returns `None` if it is incomplete.
fn skip_frame(bytes: &[u8]) -> Option<&[u8]> {
    let (&[_, second], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match second & 0x7f {
        126 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (u64::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*length), rest)
        }
        short => (u64::from(short), rest),
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let payload = rest.get(mask..)?;
    payload.get(usize::try_from(length).ok()?..)
}
