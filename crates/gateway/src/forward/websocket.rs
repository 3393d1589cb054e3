//! Frame boundaries of a WebSocket (RFC 6455 §5.2), where a closing frame can be inserted.

/// Returns the places in a stream where a frame may be inserted, if it is split into pieces of `piece` bytes.
#[cfg(feature = "fuzzing")]
pub(crate) fn boundaries(stream: &[u8], piece: usize) -> Vec<usize> {
    let mut tracker = FrameTracker::default();
    let mut found = Vec::new();
    let mut place = 0;
    for bytes in stream.chunks(piece) {
        tracker.feed(bytes);
        place += bytes.len();
        assert_eq!(tracker.total(), place as u64);
        if tracker.at_boundary() {
            found.push(place);
        }
    }
    found
}

/// Tracks the bytes of one direction.
#[derive(Debug, Default)]
pub(super) struct FrameTracker {
    header: [u8; 14],
    /// Bytes of the current header received.
    seen: usize,
    /// Bytes of the payload remaining.
    payload: u64,
    total: u64,
}

impl FrameTracker {
    /// Processes the next bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        self.total += bytes.len() as u64;
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.payload > 0 {
                let here = self.payload.min(bytes.len() as u64);
                self.payload -= here;
                let here = usize::try_from(here).unwrap_or(bytes.len());
                bytes = bytes.get(here..).unwrap_or_default();
                continue;
            }
            if let Some(slot) = self.header.get_mut(self.seen) {
                *slot = byte;
            }
            self.seen += 1;
            bytes = rest;
            if let Some(payload) = self.payload_length() {
                self.payload = payload;
                self.seen = 0;
            }
        }
    }

    /// Returns true if a frame may be inserted here.
    pub(super) fn at_boundary(&self) -> bool {
        self.seen == 0 && self.payload == 0
    }

    /// Returns the total number of bytes.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Returns the payload length, or `None` while the header is incomplete.
    fn payload_length(&self) -> Option<u64> {
        let seen = self.header.get(..self.seen)?;
        let &[_, second, ref rest @ ..] = seen else {
            return None;
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            short => return (rest.len() == mask).then_some(u64::from(short)),
        };
        let length = rest.get(..extended)?;
        let length = length
            .iter()
            .fold(0, |length, &byte| (length << 8) | u64::from(byte));
        (rest.len() == extended + mask).then_some(length)
    }
}

/// A closing frame with status 1008 (policy violation), unmasked for the client.
pub(super) const CLOSE_TO_CLIENT: [u8; 4] = [0x88, 0x02, 0x03, 0xf0];

/// A closing frame with status 1008 for the upstream, masked with zeros.
pub(super) const CLOSE_TO_UPSTREAM: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf0];

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(masked: bool, length: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x82];
        match length {
            0..=125 => frame.push(mask | u8::try_from(length).unwrap()),
            126..=65535 => {
                frame.push(mask | 0x7e);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(mask | 0x7f);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        if masked {
            frame.extend([1, 2, 3, 4]);
        }
        frame.extend(vec![0xff; length]);
        frame
    }

    #[test]
    fn frames_end_where_they_end_however_the_bytes_come() {
        for masked in [false, true] {
            for length in [0, 1, 125, 126, 65535, 65536] {
                let bytes = frame(masked, length);
                for step in [1, 3, 1000, usize::MAX] {
                    let mut tracker = FrameTracker::default();
                    let (last, body) = bytes.split_last().unwrap();
                    for part in body.chunks(step.min(body.len())) {
                        tracker.feed(part);
                        assert!(!tracker.at_boundary(), "{masked} {length} {step}");
                    }
                    tracker.feed(&[*last]);
                    assert!(tracker.at_boundary(), "{masked} {length} {step}");
                    assert_eq!(tracker.total(), bytes.len() as u64);
                }
            }
        }
    }

    #[test]
    fn closing_frames_are_frames() {
        let mut tracker = FrameTracker::default();
        tracker.feed(&CLOSE_TO_CLIENT);
        assert!(tracker.at_boundary());
        tracker.feed(&CLOSE_TO_UPSTREAM);
        assert!(tracker.at_boundary());
    }
}
