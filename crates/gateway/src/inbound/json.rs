//! Strict parsing of JSON bodies (RFC 8259), so that Policies and every upstream read the same values.

use std::{collections::BTreeMap, fmt};

use http::header;
use prost_types::{ListValue, Struct, Value, value::Kind};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

use crate::{
    canonical::{Canonical, Length},
    denial::Denial,
};

/// The largest integer that a double represents without ambiguity (RFC 7493 §2.2).
const LARGEST: u64 = (1 << 53) - 1;

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
        .ok_or(Denial::NotJsonType)?
        .to_ascii_lowercase();
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let is_json = essence == "application/json"
        || essence
            .strip_prefix("application/")
            .is_some_and(|subtype| subtype.ends_with("+json"));
    let is_utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some(("charset", charset)) => matches!(charset.trim_matches('"'), "utf-8" | "utf8"),
        _ => true,
    });
    if is_json && is_utf8 {
        Ok(())
    } else {
        Err(Denial::NotJsonType)
    }
}

/// Parses the body. Returns `None` if it is empty or not an object.
pub(super) fn parse(request: &Canonical, bytes: &[u8]) -> Result<Option<Struct>, Denial> {
    if bytes.is_empty() && request.length == Length::Exact(0) {
        return Ok(None);
    }
    let Strict(value) = serde_json::from_slice(bytes).map_err(|_| Denial::NotJson)?;
    Ok(match value.kind {
        Some(Kind::StructValue(object)) => Some(object),
        _ => None,
    })
}

/// A JSON value without repeated keys, in which every number fits a double exactly.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

fn value(kind: Kind) -> Strict {
    Strict(Value { kind: Some(kind) })
}

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Strict, E> {
        Ok(value(Kind::NullValue(0)))
    }

    fn visit_bool<E: Error>(self, given: bool) -> Result<Strict, E> {
        Ok(value(Kind::BoolValue(given)))
    }

    fn visit_i64<E: Error>(self, given: i64) -> Result<Strict, E> {
        if given.unsigned_abs() > LARGEST {
            return Err(E::custom("an integer is too large"));
        }
        #[allow(clippy::cast_precision_loss, reason = "checked")]
        Ok(value(Kind::NumberValue(given as f64)))
    }

    fn visit_u64<E: Error>(self, given: u64) -> Result<Strict, E> {
        if given > LARGEST {
            return Err(E::custom("an integer is too large"));
        }
        #[allow(clippy::cast_precision_loss, reason = "checked")]
        Ok(value(Kind::NumberValue(given as f64)))
    }

    fn visit_f64<E: Error>(self, given: f64) -> Result<Strict, E> {
        #[allow(clippy::cast_precision_loss, reason = "a bound")]
        if !given.is_finite() || (given.fract() == 0.0 && given.abs() > LARGEST as f64) {
            return Err(E::custom("a number is too large"));
        }
        Ok(value(Kind::NumberValue(given)))
    }

    fn visit_str<E: Error>(self, given: &str) -> Result<Strict, E> {
        Ok(value(Kind::StringValue(given.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            values.push(item);
        }
        Ok(value(Kind::ListValue(ListValue { values })))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Strict, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            let Strict(item) = entries.next_value()?;
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
    fn c25_json_has_one_meaning_or_is_refused(#[case] bytes: &[u8], #[case] accepted: bool) {
        assert_eq!(serde_json::from_slice::<Strict>(bytes).is_ok(), accepted);
    }

    #[test]
    fn c24_deep_json_is_refused() {
        let deep = [b"[".repeat(10_000), b"]".repeat(10_000)].concat();
        assert!(serde_json::from_slice::<Strict>(&deep).is_err());
    }
}
