//! Strict JSON parsing of untrusted input. Duplicate keys are rejected, because parsers disagree on which one counts.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Parses exactly one value.
///
/// # Errors
/// Returns an error if the input is not JSON, or has a duplicate key at any depth.
pub fn value(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let Strict(value) = serde_json::from_slice(bytes)?;
    Ok(value)
}

/// Parses exactly one object.
///
/// # Errors
/// Returns an error if the input is not a JSON object, or has a duplicate key at any depth.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    match value(bytes)? {
        Value::Object(object) => Ok(object),
        _ => Err(serde_json::Error::custom("not an object")),
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Strict, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a number"))?;
        Ok(Strict(number.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Strict(list.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Strict, A::Error> {
        let mut object = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key is given twice"));
            }
        }
        Ok(Strict(object.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_whole() {
        let object = object(br#"{"a": [1, -1, 1.5, "x", null, true], "b": {"c": "d"}}"#).unwrap();
        assert_eq!(
            Value::Object(object).to_string(),
            r#"{"a":[1,-1,1.5,"x",null,true],"b":{"c":"d"}}"#
        );
    }

    #[test]
    fn ambiguous_json_is_refused() {
        for text in [
            r#"{"aud": "a", "aud": "b"}"#,
            r#"{"a": {"b": 1, "b": 2}}"#,
            r#"{"aud": "a", "a\u0075d": "b"}"#,
            "{} {}",
            "[]",
            "\"x\"",
            "",
            r#"{"a": 1e999}"#,
            r#"{"a": NaN}"#,
        ] {
            assert!(object(text.as_bytes()).is_err(), "{text}");
        }
        // Names with a meaning inside of `serde_json` have none here.
        let raw = br#"{"$serde_json::private::RawValue": "{}"}"#;
        assert_eq!(object(raw).unwrap()["$serde_json::private::RawValue"], "{}");
        assert!(object(b"{\"a\": \"\xff\"}").is_err());
        let deep = format!("{}1{}", "{\"a\":".repeat(1000), "}".repeat(1000));
        assert!(object(deep.as_bytes()).is_err());
    }
}
