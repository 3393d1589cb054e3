//! Regular expressions in the syntax of RE2, which the language names.

use regex::{Regex, RegexBuilder};

use crate::cel::error::Error;

/// Memory of a compiled pattern, in bytes.
const MAX_MEMORY: usize = 256 * 1024;
const MAX_NESTING: u32 = 50;

/// Compiles a pattern within bounds; matching is linear in the text.
pub(crate) fn regex(pattern: &str) -> Result<Regex, Error> {
    RegexBuilder::new(&translate(pattern))
        .size_limit(MAX_MEMORY)
        .dfa_size_limit(MAX_MEMORY)
        .nest_limit(MAX_NESTING)
        .build()
        .map_err(|_| Error::InvalidRegex)
}

/// RE2 has ASCII classes behind `\d`, `\s`, `\w` and `\b`, and no set operators within brackets; a digit of another
/// script must not pass a policy that asks for `\d`.
fn translate(pattern: &str) -> String {
    let mut output = String::with_capacity(pattern.len());
    let mut characters = pattern.chars().peekable();
    let mut in_class = false;
    let mut class_start = false;
    while let Some(character) = characters.next() {
        let first_in_class = std::mem::take(&mut class_start);
        match character {
            '\\' => {
                let Some(escaped) = characters.next() else {
                    output.push('\\');
                    break;
                };
                match escaped {
                    'd' => output.push_str("[0-9]"),
                    'D' => output.push_str("[^0-9]"),
                    's' => output.push_str("[\\t\\n\\x0c\\r ]"),
                    'S' => output.push_str("[^\\t\\n\\x0c\\r ]"),
                    'w' => output.push_str("[0-9A-Za-z_]"),
                    'W' => output.push_str("[^0-9A-Za-z_]"),
                    'b' if !in_class => output.push_str("(?-u:\\b)"),
                    other => output.extend(['\\', other]),
                }
            }
            '[' if !in_class => {
                in_class = true;
                class_start = true;
                output.push('[');
                if characters.next_if_eq(&'^').is_some() {
                    output.push('^');
                }
            }
            '[' if characters.peek() != Some(&':') => output.push_str("\\["),
            '[' => {
                // A named class, such as [:alpha:].
                output.push('[');
                for inner in characters.by_ref() {
                    output.push(inner);
                    if inner == ']' {
                        break;
                    }
                }
            }
            ']' if in_class && !first_in_class => {
                in_class = false;
                output.push(']');
            }
            ']' => output.push_str("\\]"),
            '&' | '~' if in_class => output.extend(['\\', character]),
            other => output.push(other),
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_re2() {
        for (pattern, text, matches) in [
            (r"^\d+$", "12", true),
            (r"^\d+$", "\u{663}", false),
            (r"^[\d.]+$", "1.2", true),
            (r"^[^\d]+$", "ab", true),
            (r"^[^\d]+$", "a1", false),
            (r"^\w+$", "a_1", true),
            (r"^\w+$", "\u{e9}", false),
            (r"^[\w-]+$", "a-b", true),
            (r"^.$", "\u{e9}", true),
            (r"\bcat\b", "a cat!", true),
            (r"^[a&&b]+$", "&a", true),
            (r"^[[a]+$", "[a", true),
            (r"^[]a]+$", "]a", true),
            (r"^[^]a]+$", "b", true),
            (r"^[[:alpha:]]+$", "ab", true),
            (r"^\[\]$", "[]", true),
            (r"^\\d$", "\\d", true),
            (r"(?i)^abc$", "ABC", true),
        ] {
            assert_eq!(
                regex(pattern).unwrap().is_match(text),
                matches,
                "{pattern} {text}"
            );
        }
        assert_eq!(regex(r"(?=a)").unwrap_err(), Error::InvalidRegex);
        assert_eq!(regex(r"a\").unwrap_err(), Error::InvalidRegex);
    }
}
