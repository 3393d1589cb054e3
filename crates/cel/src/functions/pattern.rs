//! Regular expressions in the RE2 syntax, which the CEL specification requires.

use regex::bytes::{Regex, RegexBuilder};

use crate::error::Error;

mod class;
#[cfg(test)]
mod differential;
mod names;
mod re2;
#[cfg(test)]
mod tests;

/// Memory limit of a compiled pattern, in bytes.
const MAX_MEMORY: usize = 256 * 1024;
/// Nesting limit of the translated pattern. It nests deeper than the original, whose groups `re2` limits.
const MAX_NESTING: u32 = 400;

/// Checks the translation of a pattern: the `regex` crate must accept it, unless it is too large.
///
/// # Panics
/// Panics if the crate rejects the translation for another reason.
#[cfg(any(test, feature = "fuzzing"))]
#[allow(clippy::panic, reason = "a failed assertion fails the test")]
pub(crate) fn check_translation(pattern: &str) {
    let Ok(translated) = re2::translate(pattern) else {
        return;
    };
    match build(&translated) {
        Ok(_) | Err(regex::Error::CompiledTooBig(_)) => {}
        Err(error) => panic!("{pattern:?} is translated to {translated:?}: {error}"),
    }
}

fn build(translated: &str) -> Result<Regex, regex::Error> {
    // Matches bytes like RE2, where `\B` is a position between two bytes.
    RegexBuilder::new(translated)
        .size_limit(MAX_MEMORY)
        .dfa_size_limit(MAX_MEMORY)
        .nest_limit(MAX_NESTING)
        .build()
}

/// A compiled pattern. Matching takes linear time in the length of the text.
#[derive(Debug)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// Compiles a pattern within the limits.
    ///
    /// # Errors
    /// Returns [`Error::InvalidRegex`] if the pattern is malformed or too large.
    pub(crate) fn new(pattern: &str) -> Result<Self, Error> {
        let translated = re2::translate(pattern).map_err(Error::InvalidRegex)?;
        let built = build(&translated);
        built
            .map(Self)
            .map_err(|_| Error::InvalidRegex("it is too large"))
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text.as_bytes())
    }
}
