//! Escape sequences of string and bytes literals.

use std::str::Chars;

/// Decodes the body of a string literal.
pub(crate) fn text(body: &str) -> Result<String, String> {
    let mut output = String::with_capacity(body.len());
    let mut characters = body.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            output.push(character);
            continue;
        }
        let code = match escape(&mut characters)? {
            Escape::Simple(character) => character,
            Escape::Byte(value) => char::from(value),
            Escape::Unicode(value @ 0xd800..0xdc00) => {
                let low = match (characters.next(), characters.next()) {
                    (Some('\\'), Some('u')) => digits(&mut characters, 4, 16, 0)?,
                    _ => 0,
                };
                char::decode_utf16([value, low].map(|unit| u16::try_from(unit).unwrap_or(0)))
                    .next()
                    .and_then(Result::ok)
                    .ok_or("half of a surrogate pair is missing")?
            }
            Escape::Unicode(value) => {
                char::from_u32(value).ok_or("the escape is not a Unicode character")?
            }
        };
        output.push(code);
    }
    Ok(output)
}

/// Decodes the body of a bytes literal.
pub(crate) fn bytes(body: &str) -> Result<Vec<u8>, String> {
    let mut output = Vec::with_capacity(body.len());
    let mut characters = body.chars();
    let mut buffer = [0; 4];
    while let Some(character) = characters.next() {
        if character != '\\' {
            output.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
            continue;
        }
        match escape(&mut characters)? {
            Escape::Simple(character) => {
                output.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
            }
            Escape::Byte(value) => output.push(value),
            Escape::Unicode(_) => return Err("\\u and \\U cannot be used in bytes".to_owned()),
        }
    }
    Ok(output)
}

enum Escape {
    Simple(char),
    Byte(u8),
    Unicode(u32),
}

fn escape(characters: &mut Chars<'_>) -> Result<Escape, String> {
    let Some(kind) = characters.next() else {
        return Err("the text ends in a backslash".to_owned());
    };
    Ok(match kind {
        'a' => Escape::Simple('\x07'),
        'b' => Escape::Simple('\x08'),
        'f' => Escape::Simple('\x0c'),
        'n' => Escape::Simple('\n'),
        'r' => Escape::Simple('\r'),
        't' => Escape::Simple('\t'),
        'v' => Escape::Simple('\x0b'),
        '\\' | '?' | '"' | '\'' | '`' => Escape::Simple(kind),
        'x' | 'X' => Escape::Byte(digits(characters, 2, 16, 0).and_then(byte)?),
        'u' => Escape::Unicode(digits(characters, 4, 16, 0)?),
        'U' => Escape::Unicode(digits(characters, 8, 16, 0)?),
        '0'..='3' => {
            let first = kind.to_digit(8).unwrap_or_default();
            Escape::Byte(digits(characters, 2, 8, first).and_then(byte)?)
        }
        other => {
            return Err(format!(
                "\\{other} is not an escape sequence; write \\\\ for a backslash"
            ));
        }
    })
}

fn digits(characters: &mut Chars<'_>, count: usize, radix: u32, start: u32) -> Result<u32, String> {
    let mut value = start;
    for _ in 0..count {
        let digit = characters
            .next()
            .and_then(|character| character.to_digit(radix))
            .ok_or_else(|| format!("an escape sequence here needs {count} digits"))?;
        value = value
            .checked_mul(radix)
            .and_then(|value| value.checked_add(digit))
            .ok_or("the escape is out of range")?;
    }
    Ok(value)
}

fn byte(value: u32) -> Result<u8, String> {
    u8::try_from(value).map_err(|_| "the escape is out of range".to_owned())
}
