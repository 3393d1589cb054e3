//! A scanner that finds the frames in an HTTP/2 stream (RFC 9113 §4.1).

const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    /// Length of the payload in bytes.
    pub(super) length: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// HEADERS or CONTINUATION.
    Headers,
    /// DATA with a payload or `END_STREAM`.
    Data,
    /// Any other frame, including DATA without a payload and without `END_STREAM`.
    Control,
}

/// The state of the scanner.
pub(super) struct Scanner {
    /// Bytes until the next head.
    skip: u32,
    head: [u8; HEAD],
    /// Bytes of the head received.
    filled: usize,
}

impl Scanner {
    /// Creates a scanner for a stream whose first frame starts after `skip` bytes.
    pub(super) fn after(skip: u32) -> Self {
        Self {
            skip,
            head: [0; HEAD],
            filled: 0,
        }
    }

    /// Scans the next bytes and calls `found` for each complete frame head.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut found: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let count = self.skip.min(length);
                self.skip -= count;
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                bytes = bytes.get(count..).unwrap_or_default();
                continue;
            }
            let (taken, rest) = bytes.split_at((HEAD - self.filled).min(bytes.len()));
            for (place, byte) in self.head.iter_mut().skip(self.filled).zip(taken) {
                *place = *byte;
            }
            self.filled += taken.len();
            bytes = rest;
            if self.filled == HEAD {
                self.filled = 0;
                let frame = frame(self.head);
                self.skip = frame.length;
                found(frame);
            }
        }
    }
}

fn frame(head: [u8; HEAD]) -> Frame {
    let [high, middle, low, kind, flags, ..] = head;
    let length = u32::from_be_bytes([0, high, middle, low]);
    let kind = match kind {
        // The size limit of a head bounds its number of frames.
        HEADERS | CONTINUATION => Kind::Headers,
        DATA if length > 0 || flags & END_STREAM != 0 => Kind::Data,
        _ => Kind::Control,
    };
    Frame { kind, length }
}
