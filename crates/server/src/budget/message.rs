//! The boundaries of the messages in a gRPC stream: one byte of flags, four bytes of length, the message
//! (`Length-Prefixed-Message` of gRPC over HTTP/2).

/// Bytes before each message: the flags and the length.
pub(super) const PREFIX: usize = 5;

/// The position in a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Messages {
    /// Received bytes of the prefix.
    prefix: usize,
    length: usize,
    /// Received bytes of the message.
    come: usize,
    /// True if at least one message is complete.
    has_completed: bool,
}

/// The error for a message whose announced length is too large.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Messages {
    /// Reads more bytes of the stream. Returns [`TooLarge`] if a message is larger than `most` bytes.
    pub(super) fn push(&mut self, mut data: &[u8], most: usize) -> Result<(), TooLarge> {
        loop {
            while self.prefix < PREFIX {
                let Some((&byte, rest)) = data.split_first() else {
                    return Ok(());
                };
                data = rest;
                // The first byte has the flags.
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

    /// Returns the received bytes of the incomplete message, with its prefix.
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
