//! Strict parsing of JSON bodies (RFC 8259), so that Policies and every upstream read the same values.

use std::{cell::Cell, collections::BTreeMap, fmt};

use http::header;
use prost_types::{ListValue, Struct, Value, value::Kind};
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

use crate::{
    canonical::{Canonical, Length},
    denial_reason::Denial,
};

/// The largest integer that a double represents without ambiguity (RFC 7493 §2.2).
const LARGEST: u64 = (1 << 53) - 1;

/// The most values in a body. Each takes up to some hundred bytes of memory, and as little as two in the body.
pub(crate) const MAX_NODES: u32 = 100_000;

/// Checks the header fields that describe the body.
pub(super) fn check_fields(request: &Canonical) -> Result<(), Denial> {
    if request.length == Length::Exact(0) {
        return Ok(());
    }
    let headers = &request.headers;
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Denial::NotJsonType);
    }
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .ok_or(Denial::NotJsonType)?;
    if is_utf8_json(content_type) {
        Ok(())
    } else {
        Err(Denial::NotJsonType)
    }
}

/// Returns true for a JSON media type without parameters that readers could take for another character encoding (RFC
/// 9110 §8.3.1). Spellings that only some readers understand are refused.
fn is_utf8_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';');
    let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json"
        || essence
            .strip_prefix("application/")
            .is_some_and(|subtype| subtype.ends_with("+json"));
    let mut charsets = 0;
    let is_plain = parts.all(|parameter| {
        let Some((name, value)) = parameter.trim().split_once('=') else {
            return false;
        };
        let unquoted = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'));
        let value = unquoted.unwrap_or(value);
        if !is_token(name) || !is_token(value) {
            return false;
        }
        if !name.eq_ignore_ascii_case("charset") {
            return true;
        }
        charsets += 1;
        value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
    });
    is_json && is_plain && charsets <= 1
}

/// Returns true for a token (RFC 9110 §5.6.2) without `*`, which begins extended parameters (RFC 8187). `/` and `:` are
/// allowed, for profiles.
fn is_token(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&'+-.^_`|~/:".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// Parses the body. Returns `None` if it is empty or not an object.
pub(super) fn parse(request: &Canonical, bytes: &[u8]) -> Result<Option<Struct>, Denial> {
    if bytes.is_empty() && request.length == Length::Exact(0) {
        return Ok(None);
    }
    let value = read(bytes)?;
    Ok(match value.kind {
        Some(Kind::StructValue(object)) => Some(object),
        _ => None,
    })
}

/// Parses a whole body.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, Denial> {
    let nodes = Cell::new(0);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict(&nodes).deserialize(&mut deserializer);
    let value = value.and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|_| match nodes.get() {
        MAX_NODES.. => Denial::BodyTooLarge,
        _ => Denial::NotJson,
    })
}

/// Reads JSON without repeated keys, in which every number fits a double exactly. Counts the values.
#[derive(Clone, Copy)]
struct Strict<'a>(&'a Cell<u32>);

impl Strict<'_> {
    fn count<E: Error>(self) -> Result<(), E> {
        if self.0.get() >= MAX_NODES {
            return Err(E::custom("there are too many values"));
        }
        self.0.set(self.0.get() + 1);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(value(Kind::NullValue(0)))
    }

    fn visit_bool<E: Error>(self, given: bool) -> Result<Value, E> {
        Ok(value(Kind::BoolValue(given)))
    }

    fn visit_i64<E: Error>(self, given: i64) -> Result<Value, E> {
        if given.unsigned_abs() > LARGEST {
            return Err(E::custom("an integer is too large"));
        }
        #[allow(clippy::cast_precision_loss, reason = "checked")]
        Ok(value(Kind::NumberValue(given as f64)))
    }

    fn visit_u64<E: Error>(self, given: u64) -> Result<Value, E> {
        if given > LARGEST {
            return Err(E::custom("an integer is too large"));
        }
        #[allow(clippy::cast_precision_loss, reason = "checked")]
        Ok(value(Kind::NumberValue(given as f64)))
    }

    fn visit_f64<E: Error>(self, given: f64) -> Result<Value, E> {
        #[allow(clippy::cast_precision_loss, reason = "a bound")]
        if !given.is_finite() || (given.fract() == 0.0 && given.abs() > LARGEST as f64) {
            return Err(E::custom("a number is too large"));
        }
        Ok(value(Kind::NumberValue(given)))
    }

    fn visit_str<E: Error>(self, given: &str) -> Result<Value, E> {
        Ok(value(Kind::StringValue(given.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            values.push(item);
        }
        Ok(value(Kind::ListValue(ListValue { values })))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            let item = entries.next_value_seed(self)?;
            if fields.insert(key, item).is_some() {
                return Err(A::Error::custom("a key is repeated"));
            }
        }
        Ok(value(Kind::StructValue(Struct { fields })))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(br#"{"a": 1, "b": [null, true, "x", 1.5, {"a": {}}]}"#, true)]
    #[case(br#""text""#, true)]
    #[case(br#"{"n": 9007199254740991}"#, true)]
    #[case(br#"{"n": 9007199254740993}"#, false)]
    #[case(br#"{"n": 1e400}"#, false)]
    #[case(br#"{"n": 1e300}"#, false)]
    #[case(br#"{"role": "user", "role": "admin"}"#, false)]
    #[case(br#"{"role": "user", "\u0072ole": "admin"}"#, false)]
    #[case(br#"{"a": {"b": 1, "b": 2}}"#, false)]
    #[case(b"\xef\xbb\xbf{}", false)]
    #[case(b"{} {}", false)]
    #[case(b"{\"a\": \"\xff\"}", false)]
    #[case(br#"{"a": "\ud800"}"#, false)]
    #[case(b"{'a': 1}", false)]
    #[case(b"{\"a\": 1,}", false)]
    #[case(b"{\"a\": NaN}", false)]
    #[case(b"{", false)]
    #[case(b" ", false)]
    fn c25_ambiguous_json_is_refused(#[case] bytes: &[u8], #[case] accepted: bool) {
        assert_eq!(read(bytes).is_ok(), accepted);
    }

    #[test]
    fn c24_deep_json_is_refused() {
        let deep = [b"[".repeat(10_000), b"]".repeat(10_000)].concat();
        assert!(read(&deep).is_err());
    }

    #[test]
    fn a_body_of_many_small_values_is_too_large_s02() {
        let values = |count: u32| format!("[{}0]", "0,".repeat(count as usize - 2));
        assert!(read(values(MAX_NODES).as_bytes()).is_ok());
        let refused = read(values(MAX_NODES + 1).as_bytes());
        assert_eq!(refused, Err(Denial::BodyTooLarge));
    }

    #[rstest]
    #[case("application/json", true)]
    #[case("Application/Problem+JSON; charset=UTF-8", true)]
    #[case(
        "application/json;charset=\"utf-8\"; profile=https://example.com/x",
        true
    )]
    #[case("text/plain", false)]
    #[case("application/json; charset=utf-7", false)]
    #[case("application/json; charset =utf-7", false)]
    #[case("application/json; charset= utf-7", false)]
    #[case("application/json; charset*0=utf-7", false)]
    #[case("application/json; charset*=utf-8''utf-7", false)]
    #[case("application/json; charset=utf-8; charset=utf-7", false)]
    #[case("application/json; charset=\"utf-7", false)]
    #[case("application/json; charset", false)]
    fn c25_no_spelling_hides_a_character_encoding(#[case] text: &str, #[case] accepted: bool) {
        assert_eq!(is_utf8_json(text), accepted);
    }
}
