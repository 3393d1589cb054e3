//! Regular expressions in the syntax of RE2, which the language names.

use regex::bytes::{Regex, RegexBuilder};

use crate::cel::error::Error;

mod class;
#[cfg(test)]
mod differential;
mod names;
mod re2;
#[cfg(test)]
mod tests;

/// Memory of a compiled pattern, in bytes.
const MAX_MEMORY: usize = 256 * 1024;
/// Of the translation, which nests deeper than the pattern: `re2` limits groups.
const MAX_NESTING: u32 = 400;

/// What must hold of any pattern: what is translated has a meaning to the crate, and it may only be too large.
///
/// # Panics
/// If that does not hold.
#[cfg(any(test, feature = "fuzzing"))]
#[allow(
    clippy::panic,
    reason = "a law that does not hold is what a test looks for"
)]
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
    // Over bytes, as RE2 matches: `\B` is a position between two bytes.
    RegexBuilder::new(translated)
        .size_limit(MAX_MEMORY)
        .dfa_size_limit(MAX_MEMORY)
        .nest_limit(MAX_NESTING)
        .build()
}

/// A compiled pattern. Matching is linear in the text.
#[derive(Debug)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// Compiles a pattern within bounds.
    ///
    /// # Errors
    /// Returns [`Error::InvalidRegex`] with the reason.
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
