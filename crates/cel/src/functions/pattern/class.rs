//! Translates character classes and escapes of RE2.

use super::{
    names::{CATEGORIES, POSIX, SCRIPTS},
    re2::Refusal,
};

const NEVER: &str = r"[^\x{0}-\x{10FFFF}]";
const NOT_CLOSED: Refusal = "`[` without `]`";
const BAD_ESCAPE: Refusal = "unknown escape sequence";

/// Translates a bracketed class at the start of the text. Returns the translation and the remaining text.
pub(super) fn bracketed(text: &str) -> Result<(String, &str), Refusal> {
    let mut rest = text.strip_prefix('[').ok_or(NOT_CLOSED)?;
    let mut output = String::from("[");
    if let Some(negated) = rest.strip_prefix('^') {
        output.push('^');
        rest = negated;
    }
    let mut first = true;
    loop {
        if rest.is_empty() {
            return Err(NOT_CLOSED);
        }
        if let Some(after) = rest.strip_prefix(']').filter(|_| !first) {
            output.push(']');
            return Ok((output, after));
        }
        first = false;
        if let Some((class, after)) = posix(rest)? {
            output.push_str(&class);
            rest = after;
        } else if let Some((class, after)) = escaped(rest)? {
            output.push_str(&class);
            rest = after;
        } else {
            let (low, after) = character(rest)?;
            rest = after;
            let mut high = low;
            // A hyphen before the closing bracket is a literal.
            if let Some(end) = rest
                .strip_prefix('-')
                .filter(|end| !end.starts_with(']') && !end.is_empty())
            {
                (high, rest) = character(end)?;
            }
            if high < low {
                return Err("a range of characters ends before it begins");
            }
            output.push_str(&written(low));
            output.push('-');
            output.push_str(&written(high));
        }
    }
}

/// Writes a character in a form that the crate reads literally inside and outside of brackets.
pub(super) fn written(character: char) -> String {
    if character.is_ascii_alphanumeric() {
        character.to_string()
    } else {
        format!("\\x{{{:X}}}", u32::from(character))
    }
}

/// Parses one end of a range.
fn character(text: &str) -> Result<(char, &str), Refusal> {
    if text.starts_with('\\') {
        return escaped_character(text);
    }
    let mut characters = text.chars();
    let character = characters.next().ok_or(NOT_CLOSED)?;
    Ok((character, characters.as_str()))
}

/// Parses `[:alpha:]` or `[:^alpha:]`. Returns `None` if nothing closes it; the bracket is a literal then.
fn posix(text: &str) -> Result<Option<(String, &str)>, Refusal> {
    let Some((name, rest)) = text
        .strip_prefix("[:")
        .and_then(|inner| inner.split_once(":]"))
    else {
        return Ok(None);
    };
    if POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
        Ok(Some((format!("[:{name}:]"), rest)))
    } else {
        Err("unknown class in `[:…:]`")
    }
}

/// Translates `\d`, `\pN` and similar escapes to items of a bracketed class.
pub(super) fn escaped(text: &str) -> Result<Option<(String, &str)>, Refusal> {
    let Some(after) = text.strip_prefix('\\') else {
        return Ok(None);
    };
    let mut characters = after.chars();
    let kind = characters.next();
    let rest = characters.as_str();
    let perl = match kind {
        Some('d') => "0-9",
        Some('D') => "[^0-9]",
        Some('s') => r"\t\n\x{C}\r\x{20}",
        Some('S') => r"[^\t\n\x{C}\r\x{20}]",
        Some('w') => "0-9A-Za-z_",
        Some('W') => "[^0-9A-Za-z_]",
        Some(kind @ ('p' | 'P')) => return unicode(rest, kind == 'P').map(Some),
        _ => return Ok(None),
    };
    Ok(Some((perl.to_owned(), rest)))
}

/// Parses `N`, `{Greek}` or `{^Greek}`, after `\p`.
fn unicode(text: &str, negated: bool) -> Result<(String, &str), Refusal> {
    const UNKNOWN: Refusal = "unknown class of characters after `\\p`";
    let (name, rest) = if let Some(braced) = text.strip_prefix('{') {
        braced.split_once('}').ok_or(UNKNOWN)?
    } else {
        let length = text.chars().next().ok_or(UNKNOWN)?.len_utf8();
        text.split_at_checked(length).ok_or(UNKNOWN)?
    };
    let (name, negated) = match name.strip_prefix('^') {
        Some(name) => (name, !negated),
        None => (name, negated),
    };
    let items = match name {
        "Any" => r"\x{0}-\x{10FFFF}".to_owned(),
        "C" => r"\p{gc=Cc}\p{gc=Cf}\p{gc=Co}".to_owned(),
        // Texts contain no surrogates.
        "Cs" => NEVER.to_owned(),
        category if CATEGORIES.contains(&category) => format!(r"\p{{gc={category}}}"),
        script if SCRIPTS.contains(&script) => format!(r"\p{{sc={script}}}"),
        _ => return Err(UNKNOWN),
    };
    let sign = if negated { "^" } else { "" };
    Ok((format!("[{sign}{items}]"), rest))
}

/// Parses an escape that denotes one character. Returns the character and the remaining text.
pub(super) fn escaped_character(text: &str) -> Result<(char, &str), Refusal> {
    let mut characters = text.strip_prefix('\\').ok_or(BAD_ESCAPE)?.chars();
    let escaped = characters.next().ok_or("a backslash ends the pattern")?;
    let rest = characters.as_str();
    let character = match escaped {
        'a' => '\x07',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        'x' => return hexadecimal(rest),
        '0'..='7' => return octal(escaped, rest),
        '_' => '_',
        other if other.is_ascii() && !other.is_ascii_alphanumeric() => other,
        _ => return Err(BAD_ESCAPE),
    };
    Ok((character, rest))
}

/// Parses `41` or `{1F600}`, after `\x`.
fn hexadecimal(text: &str) -> Result<(char, &str), Refusal> {
    let (digits, rest) = match text.strip_prefix('{') {
        Some(braced) => braced.split_once('}').ok_or(BAD_ESCAPE)?,
        None => text.split_at_checked(2).ok_or(BAD_ESCAPE)?,
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(BAD_ESCAPE);
    }
    let significant = match digits.trim_start_matches('0') {
        "" => "0",
        significant => significant,
    };
    let code = u32::from_str_radix(significant, 16).map_err(|_| BAD_ESCAPE)?;
    Ok((named(code)?, rest))
}

/// Parses up to three octal digits. A first digit other than zero needs a second one, because `\1` is a back-reference.
fn octal(first: char, text: &str) -> Result<(char, &str), Refusal> {
    let more = text
        .bytes()
        .take(2)
        .take_while(|byte| matches!(byte, b'0'..=b'7'))
        .count();
    if first != '0' && more == 0 {
        return Err("back-references are not supported");
    }
    let (digits, rest) = text.split_at_checked(more).ok_or(BAD_ESCAPE)?;
    let code = u32::from_str_radix(&format!("{first}{digits}"), 8).map_err(|_| BAD_ESCAPE)?;
    Ok((named(code)?, rest))
}

fn named(code: u32) -> Result<char, Refusal> {
    char::from_u32(code).ok_or("the escape sequence names no character")
}
