//! Where the messages of a gRPC stream begin and end: a byte of flags, four of length, the message
//! (`Length-Prefixed-Message` of gRPC over HTTP/2).

/// Bytes before each message.
pub(super) const PREFIX: usize = 5;

/// How far a stream has come.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Messages {
    /// Bytes of the prefix that have come.
    prefix: usize,
    length: usize,
    /// Bytes of the message that have come.
    come: usize,
    /// Whether a message was complete.
    has_completed: bool,
}

/// A message that is announced is too large.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Messages {
    /// Reads on. A message has at most `most` bytes.
    pub(super) fn push(&mut self, mut data: &[u8], most: usize) -> Result<(), TooLarge> {
        loop {
            while self.prefix < PREFIX {
                let Some((&byte, rest)) = data.split_first() else {
                    return Ok(());
                };
                data = rest;
                // The first is the flags.
                if self.prefix > 0 {
                    self.length = self.length.saturating_mul(256) + usize::from(byte);
                }
                self.prefix += 1;
            }
            if self.length > most {
                return Err(TooLarge);
            }
            let missing = self.length - self.come;
            let Some((_, rest)) = data.split_at_checked(missing) else {
                self.come += data.len();
                return Ok(());
            };
            data = rest;
            *self = Self {
                has_completed: true,
                ..Self::default()
            };
        }
    }

    /// Bytes of the message that is not complete.
    pub(super) fn pending(&self) -> usize {
        self.prefix + self.come
    }

    pub(super) fn has_completed(&self) -> bool {
        self.has_completed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let stream = [0, 0, 0, 0, 2, 7, 7, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 9];
        for size in 1..=stream.len() {
            let mut messages = Messages::default();
            let mut seen = Vec::new();
            for part in stream.chunks(size) {
                messages.push(part, 256).unwrap();
                seen.push(messages.has_completed());
            }
            assert_eq!(messages.pending(), 6, "{size}");
            assert!(seen.contains(&true));
        }
    }

    #[test]
    fn a_large_message_is_refused_by_its_prefix_s02() {
        let mut messages = Messages::default();
        assert_eq!(messages.push(&[0, 0, 0, 1], 256), Ok(()));
        assert_eq!(messages.push(&[0], 256), Ok(()));
        assert_eq!(messages.push(&[0, 0, 0, 1], 256), Ok(()));
        let mut messages = Messages::default();
        assert_eq!(messages.push(&[0, 255, 255, 255, 255], 256), Err(TooLarge));
    }
}
