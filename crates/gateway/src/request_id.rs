//! Request ids, which link a response to its log line.

use domain::rng::Rng;

/// A random id of 32 hexadecimal digits.
#[derive(Clone, Copy)]
pub(crate) struct RequestId([u8; 32]);

impl RequestId {
    pub(crate) fn random(rng: &dyn Rng) -> Self {
        let mut random = [0; 16];
        rng.fill(&mut random);
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(random) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

fn digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'a' + value - 10,
    }
}

#[cfg(test)]
mod tests {
    use domain::rng::SystemRng;

    use super::*;

    #[test]
    fn an_id_is_hexadecimal_and_new_each_time() {
        let one = RequestId::random(&SystemRng);
        assert_eq!(one.as_str().len(), 32);
        assert!(one.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(one.as_str(), RequestId::random(&SystemRng).as_str());
    }
}
