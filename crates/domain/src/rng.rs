//! Randomness as a parameter.

use std::sync::{Mutex, PoisonError};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// The port that provides randomness.
pub trait Rng: Send + Sync + 'static {
    /// Fills `bytes` with unpredictable bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// The thread-local cryptographic generator, seeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// A deterministic generator for tests.
#[derive(Debug)]
pub struct SeededRng(Mutex<StdRng>);

impl SeededRng {
    /// Creates a generator whose output depends only on `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl Rng for SeededRng {
    fn fill(&self, bytes: &mut [u8]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill_bytes(bytes);
    }
}

/// Generates `length` characters, uniformly distributed over the ASCII `alphabet` (at most 256 characters).
pub fn random_string(rng: &dyn Rng, alphabet: &[u8], length: usize) -> String {
    let size = alphabet.len().min(256);
    if size == 0 {
        return String::new();
    }
    // The largest multiple of `size` that a byte can hold. Larger values are rejected: they would favor the first
    // characters.
    let limit = 256 - 256 % size;
    let mut drawn = String::with_capacity(length);
    while drawn.len() < length {
        let mut bytes = [0; 64];
        rng.fill(&mut bytes);
        let usable = bytes
            .iter()
            .map(|byte| usize::from(*byte))
            .filter(|byte| *byte < limit);
        drawn.extend(
            usable
                .filter_map(|byte| alphabet.get(byte % size))
                .take(length - drawn.len())
                .map(|c| char::from(*c)),
        );
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_string_is_of_its_alphabet_and_length() {
        for length in [0, 1, 63, 64, 65, 1_000] {
            let drawn = random_string(&SystemRng, b"abc", length);
            assert_eq!(drawn.len(), length);
            assert!(drawn.bytes().all(|byte| b"abc".contains(&byte)));
        }
        assert_eq!(random_string(&SystemRng, b"", 10), "");
    }

    #[test]
    fn each_character_is_as_likely_as_the_others() {
        let alphabet: Vec<u8> = (0..200).collect();
        let drawn = random_string(&SeededRng::new(1), &alphabet[..100], 100_000);
        for byte in &alphabet[..100] {
            let count = drawn.bytes().filter(|found| found == byte).count();
            assert!((800..1_200).contains(&count), "{byte}: {count}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_the_system_does_not() {
        let bytes = |rng: &dyn Rng| {
            let mut bytes = [0; 32];
            rng.fill(&mut bytes);
            bytes
        };
        assert_eq!(bytes(&SeededRng::new(5)), bytes(&SeededRng::new(5)));
        assert_ne!(bytes(&SystemRng), bytes(&SystemRng));
    }
}
