//! Finds the frames in a stream of HTTP/2 (RFC 9113 §4.1).

const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    /// Of its payload, in bytes.
    pub(super) length: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// HEADERS.
    Headers,
    /// DATA, and what ends a body.
    Data,
    /// Any other, and DATA that neither holds nor ends anything.
    Control,
}

/// Where in the stream it is.
pub(super) struct Scanner {
    /// Bytes until the next head.
    skip: u32,
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    filled: usize,
}

impl Scanner {
    /// The first frame begins after so many bytes.
    pub(super) fn after(skip: u32) -> Self {
        Self {
            skip,
            head: [0; HEAD],
            filled: 0,
        }
    }

    /// Takes the next bytes, and passes on each frame whose head is complete.
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
        // Parts of a head are bounded by its size.
        HEADERS | CONTINUATION => Kind::Headers,
        DATA if length > 0 || flags & END_STREAM != 0 => Kind::Data,
        _ => Kind::Control,
    };
    Frame { kind, length }
}
