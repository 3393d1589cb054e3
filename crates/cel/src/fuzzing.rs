//! Entry points of the fuzz targets.

/// Checks the invariants of the translation of a regular expression.
///
/// # Panics
/// Panics if an invariant does not hold.
pub fn regular_expression(pattern: &str) {
    crate::functions::check_translation(pattern);
}
