//! Checks for paths that all servers interpret alike (RFC 3986 §3.3, §6.2).
//!
//! A path is never rewritten: it passes unchanged or is rejected. So the Policies and the upstream see the same bytes.

use crate::canonical::Ambiguity;

/// Rejects a path that an upstream could interpret differently from a Policy.
pub(crate) fn check(path: &str) -> Result<(), Ambiguity> {
    let relative = path.strip_prefix('/').ok_or(Ambiguity::Target)?;
    let mut segments = relative.split('/').peekable();
    while let Some(segment) = segments.next() {
        // Only the last segment may be empty: a trailing slash.
        if segment.is_empty() && segments.peek().is_some() {
            return Err(Ambiguity::EmptySegment);
        }
        check_segment(segment)?;
    }
    Ok(())
}

/// Rejects a query with bytes that must be encoded.
pub(super) fn check_query(query: &str) -> Result<(), Ambiguity> {
    if query.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(Ambiguity::UnencodedByte)
    }
}

fn check_segment(segment: &str) -> Result<(), Ambiguity> {
    let mut encoded = false;
    for byte in segment.bytes() {
        match byte {
            b'%' => encoded = true,
            b'\\' => return Err(Ambiguity::Separator),
            // Servlet containers cut off parameters before they match a path; other servers do not.
            b';' => return Err(Ambiguity::PathParameter),
            byte if !byte.is_ascii_graphic() => return Err(Ambiguity::UnencodedByte),
            _ => {}
        }
    }
    if encoded {
        check_decoded(segment.as_bytes())
    } else {
        check_dots(segment.as_bytes())
    }
}

fn check_decoded(segment: &[u8]) -> Result<(), Ambiguity> {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let &[high, low, ref tail @ ..] = rest else {
            return Err(Ambiguity::Escape);
        };
        rest = tail;
        match escaped(high, low).ok_or(Ambiguity::Escape)? {
            b'/' | b'\\' => return Err(Ambiguity::Separator),
            byte => decoded.push(byte),
        }
    }
    // Checks the decoded bytes, because the digits after an encoded percent sign may be encoded themselves.
    let mut escapes = decoded.windows(3);
    if escapes.any(|bytes| matches!(bytes, &[b'%', high, low] if escaped(high, low).is_some())) {
        return Err(Ambiguity::DoubleEncoding);
    }
    // This also rejects overlong forms and surrogates.
    let text = std::str::from_utf8(&decoded).map_err(|_| Ambiguity::NotUtf8)?;
    if text.chars().any(char::is_control) {
        return Err(Ambiguity::ControlCharacter);
    }
    check_dots(&decoded)
}

fn check_dots(decoded: &[u8]) -> Result<(), Ambiguity> {
    let name = decoded.split(|&byte| byte == b';').next();
    match name {
        Some(b"." | b"..") => Err(Ambiguity::DotSegment),
        _ => Ok(()),
    }
}

fn escaped(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    /// Reads a path like the most lenient upstream: decodes twice, treats backslashes as slashes, cuts parameters, and
    /// drops empty and dot segments.
    fn careless(path: &str) -> Vec<String> {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let decoded = decode(&decode(path)).replace('\\', "/");
        let mut segments: Vec<String> = Vec::new();
        for segment in decoded.split('/') {
            match segment.split(';').next().unwrap_or_default() {
                "" | "." => {}
                ".." => drop(segments.pop()),
                name => segments.push(name.to_owned()),
            }
        }
        segments
    }

    /// Reads the path without normalization.
    fn literal(path: &str) -> Vec<String> {
        path.split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| {
                percent_decode_str(segment)
                    .decode_utf8()
                    .unwrap()
                    .into_owned()
            })
            .collect()
    }

    proptest! {
        #[test]
        fn c05_accepted_paths_mean_the_same_to_strict_and_lenient_parsers(
            path in "(/|//|\\.|\\.\\.|;|%2[eEfF]|%5c|%25|%252e|%00|%c0%ae|%3[bB]|%41|\\\\|a|b=|é|%C3%A9|%|-|~){0,12}"
        ) {
            let path = format!("/{path}");
            if check(&path).is_ok() {
                // The only difference is an encoded `;`: data for one reader, the end of the name for the other. Such a
                // name is not a dot segment in either reading.
                let cut = |segments: Vec<String>| -> Vec<String> {
                    segments.iter().map(|segment| segment.split(';').next().unwrap().to_owned()).collect()
                };
                let literal: Vec<String> = cut(literal(&path)).into_iter().filter(|name| !name.is_empty()).collect();
                prop_assert_eq!(careless(&path), literal);
            }
        }
    }

    #[rstest]
    #[case("/")]
    #[case("/a/b")]
    #[case("/a/b/")]
    #[case("/.well-known/x")]
    #[case("/a..b/...")]
    #[case("/caf%C3%A9")]
    #[case("/100%25")]
    #[case("/a%20b")]
    #[case("/a%3Bb")]
    #[case("/v1/things:search,one+two@x=y")]
    fn c05_unambiguous_paths_pass(#[case] path: &str) {
        assert_eq!(check(path), Ok(()));
    }

    #[rstest]
    #[case("", Ambiguity::Target)]
    #[case("*", Ambiguity::Target)]
    #[case("a/b", Ambiguity::Target)]
    #[case("/public/../admin", Ambiguity::DotSegment)]
    #[case("/public/..", Ambiguity::DotSegment)]
    #[case("/./admin", Ambiguity::DotSegment)]
    #[case("/admin/.", Ambiguity::DotSegment)]
    #[case("/%2e%2e/admin", Ambiguity::DotSegment)]
    #[case("/%2E./admin", Ambiguity::DotSegment)]
    #[case("/.%2e/admin", Ambiguity::DotSegment)]
    #[case("/..%3b/admin", Ambiguity::DotSegment)]
    #[case("/..;/admin", Ambiguity::PathParameter)]
    #[case("/admin;a=b", Ambiguity::PathParameter)]
    #[case("/a%2fb", Ambiguity::Separator)]
    #[case("/a%2Fb", Ambiguity::Separator)]
    #[case("/a%5cb", Ambiguity::Separator)]
    #[case("/a\\b", Ambiguity::Separator)]
    #[case("//admin", Ambiguity::EmptySegment)]
    #[case("/a//b", Ambiguity::EmptySegment)]
    #[case("/a//", Ambiguity::EmptySegment)]
    #[case("/a%00", Ambiguity::ControlCharacter)]
    #[case("/a%0d%0ab", Ambiguity::ControlCharacter)]
    #[case("/a%7f", Ambiguity::ControlCharacter)]
    #[case("/a%C2%85", Ambiguity::ControlCharacter)]
    #[case("/%252e%252e/admin", Ambiguity::DoubleEncoding)]
    #[case("/a%252fb", Ambiguity::DoubleEncoding)]
    #[case("/%252%65%252%65/admin", Ambiguity::DoubleEncoding)]
    #[case("/%25%32e/admin", Ambiguity::DoubleEncoding)]
    #[case("/%c0%ae%c0%ae/admin", Ambiguity::NotUtf8)]
    #[case("/%e0%80%af", Ambiguity::NotUtf8)]
    #[case("/%ff", Ambiguity::NotUtf8)]
    #[case("/%u002e", Ambiguity::Escape)]
    #[case("/%", Ambiguity::Escape)]
    #[case("/%2", Ambiguity::Escape)]
    #[case("/caf\u{e9}", Ambiguity::UnencodedByte)]
    #[case("/a\tb", Ambiguity::UnencodedByte)]
    fn c05_ambiguous_paths_are_refused(#[case] path: &str, #[case] ambiguity: Ambiguity) {
        assert_eq!(check(path), Err(ambiguity));
    }
}
