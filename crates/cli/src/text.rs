//! Text for terminals.

/// Replaces control characters, which could manipulate the terminal. Keeps line breaks.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}
