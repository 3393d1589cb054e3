//! Strict CBOR parsing (RFC 8949): no duplicate keys, limited depth and size, no trailing bytes.

use ciborium::Value;

use super::error::{Refusal, Result};

/// Maximum nesting depth. Attestations need three levels of maps.
const LEVELS: usize = 8;
/// Maximum size of an item in bytes. Several certificates fit.
const LARGEST: usize = 64 * 1024;

/// Parses one item and returns the bytes after it.
pub(super) fn item<'a>(bytes: &'a [u8], what: &'static str) -> Result<(Value, &'a [u8])> {
    if bytes.len() > LARGEST {
        return Err(Refusal::Malformed(what));
    }
    let mut rest = bytes;
    let value: Value = ciborium::de::from_reader_with_recursion_limit(&mut rest, LEVELS)
        .map_err(|_| Refusal::Malformed(what))?;
    if has_one_meaning(&value) {
        Ok((value, rest))
    } else {
        Err(Refusal::Malformed(what))
    }
}

/// Parses one item and rejects trailing bytes.
pub(super) fn whole(bytes: &[u8], what: &'static str) -> Result<Value> {
    match item(bytes, what)? {
        (value, []) => Ok(value),
        _ => Err(Refusal::Malformed(what)),
    }
}

fn has_one_meaning(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(has_one_meaning),
        Value::Map(entries) => entries.iter().enumerate().all(|(index, (key, value))| {
            let is_name = key.is_text() || key.is_integer();
            let mut before = entries.iter().take(index);
            is_name && before.all(|(other, _)| other != key) && has_one_meaning(value)
        }),
        Value::Integer(_)
        | Value::Bytes(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Bool(_)
        | Value::Null => true,
        // Tags are not used by any supported structure.
        _ => false,
    }
}

/// Returns the value of a text key.
pub(super) fn named<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    let entries = map.as_map()?.iter();
    let mut found = entries.filter(|(key, _)| key.as_text() == Some(name));
    found.next().map(|(_, value)| value)
}

/// Returns the value of an integer key.
pub(super) fn numbered(map: &Value, number: i64) -> Option<&Value> {
    let entries = map.as_map()?.iter();
    let mut found = entries.filter(|(key, _)| integer(key) == Some(number));
    found.next().map(|(_, value)| value)
}

pub(super) fn integer(value: &Value) -> Option<i64> {
    value.as_integer()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    // {1: 2}, with one trailing byte
    #[case(&[0xa1, 1, 2, 0])]
    // {1: 2, 1: 3}
    #[case(&[0xa2, 1, 2, 1, 3])]
    // {1: {"a": 1, "a": 1}}
    #[case(&[0xa1, 1, 0xa2, 0x61, b'a', 1, 0x61, b'a', 1])]
    // {[]: 1}
    #[case(&[0xa1, 0x80, 1])]
    // a tagged text
    #[case(&[0xc0, 0x61, b'a'])]
    // an array and a text of 2^32 - 1 bytes
    #[case(&[0x9a, 0xff, 0xff, 0xff, 0xff])]
    #[case(&[0x7a, 0xff, 0xff, 0xff, 0xff])]
    // [[[[[[[[[]]]]]]]]]
    #[case(&[0x81; 20])]
    #[case(&[])]
    fn b16_ambiguous_or_oversized_cbor_is_refused(#[case] bytes: &[u8]) {
        assert_eq!(whole(bytes, "it"), Err(Refusal::Malformed("it")));
    }

    #[test]
    fn bytes_after_an_item_are_returned() {
        let (value, rest) = item(&[0xa2, 0x20, 3, 0x61, b'a', 0xf5, 0xff], "it").unwrap();
        assert_eq!(numbered(&value, -1).and_then(integer), Some(3));
        assert_eq!(named(&value, "a").and_then(Value::as_bool), Some(true));
        assert_eq!(named(&value, "b"), None);
        assert_eq!(rest, [0xff]);
    }
}
