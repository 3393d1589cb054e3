//! Escaping and unescaping of XML text.

use super::characters::is_char;
use crate::saml::error::{Error, quoted};

/// Appends `text` as character data in the form of Canonical XML.
pub(in crate::saml) fn escape_text(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#xD;"),
            _ => out.push(c),
        }
    }
}

/// Appends `value` as the content of double quotes in the form of Canonical XML.
pub(in crate::saml) fn escape_attribute(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            _ => out.push(c),
        }
    }
}

/// Parses an attribute value: resolves references and normalizes white space (XML 1.0 §3.3.3, CDATA).
pub(super) fn attribute_value(raw: &str) -> Result<String, Error> {
    if raw.contains('<') {
        return Err(Error::malformed("the value of an attribute holds <"));
    }
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once('&') {
        push_normalised(before, &mut value);
        let (reference, behind) = after.split_once(';').ok_or_else(|| {
            Error::malformed("an attribute holds & that does not begin a reference")
        })?;
        value.push(character_of(reference)?);
        rest = behind;
    }
    push_normalised(rest, &mut value);
    Ok(value)
}

fn push_normalised(part: &str, value: &mut String) {
    value.extend(part.chars().map(|c| match c {
        '\t' | '\n' | '\r' => ' ',
        _ => c,
    }));
}

/// Resolves a reference without `&` and `;`: one of the five predefined entities or a character number.
pub(super) fn character_of(reference: &str) -> Result<char, Error> {
    let number = match reference {
        "amp" => return Ok('&'),
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        _ => reference.strip_prefix('#'),
    };
    let Some(number) = number else {
        return Err(Error::malformed(format!(
            "the entity {} is not declared",
            quoted(reference)
        )));
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    // `from_str_radix` accepts a sign.
    let code = if digits.chars().all(|c| c.is_digit(radix)) {
        u32::from_str_radix(digits, radix).ok()
    } else {
        None
    };
    code.and_then(char::from_u32)
        .filter(|c| is_char(*c))
        .ok_or_else(|| {
            Error::malformed(format!(
                "&{reference}; is not an XML character",
                reference = quoted(reference)
            ))
        })
}
