//! What the fuzz targets call.

/// Checks what must hold of a regular expression.
///
/// # Panics
/// If it does not hold.
pub fn regular_expression(pattern: &str) {
    crate::cel::check_translation(pattern);
}
