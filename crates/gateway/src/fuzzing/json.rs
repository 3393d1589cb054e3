//! The parser of JSON bodies, compared with `serde_json`.

use prost_types::{Value, value::Kind};
use serde_json::{Number, Value as Json};

use crate::{
    denial_reason::Denial,
    inbound::{MAX_NODES, read_json},
};

/// The largest integer that a double represents without ambiguity (RFC 7493 §2.2).
const LARGEST: u64 = (1 << 53) - 1;
/// The start of an input that is read again among as many other values as accepted, and among one more.
const FILLED: &[u8] = b"\t\t";
/// Part of a key that `serde_json::Value` replaces by the JSON in its text, if the feature `raw_value` is on. It is on in
/// builds with axum.
const RAW_VALUE: &[u8] = b"serde_json::private";

/// Reads a body as JSON.
pub fn json_body(bytes: &[u8]) {
    check(bytes);
    if !bytes.starts_with(FILLED) {
        return;
    }
    let Ok(plain) = serde_json::from_slice::<Json>(bytes) else {
        return;
    };
    // The list around all values is a value, too.
    let others = MAX_NODES.saturating_sub(1 + Size::of(&plain).values);
    for others in [others, others + 1] {
        let others = b"0,".repeat(usize::try_from(others).unwrap_or_default());
        check(&[b"[".as_slice(), &others, bytes, b"]"].concat());
    }
}

fn check(bytes: &[u8]) {
    let mut parts = bytes.windows(RAW_VALUE.len());
    if parts.any(|part| part == RAW_VALUE) {
        let _ = read_json(bytes);
        return;
    }
    let plain = serde_json::from_slice::<Json>(bytes);
    match (read_json(bytes), plain) {
        (Ok(read), Ok(plain)) => {
            assert!(is_same(&read, &plain), "read as another value: {read:?}");
            let size = Size::of(&plain);
            assert!(size.values <= MAX_NODES, "{} values", size.values);
            assert!(size.is_exact, "a number does not fit a double");
            assert_eq!(size.keys, count_keys(bytes), "a key is repeated");
        }
        (Ok(_), Err(error)) => panic!("accepted, but not JSON: {error}"),
        (Err(denial), Ok(plain)) => {
            let size = Size::of(&plain);
            if size.keys == count_keys(bytes) && size.is_exact {
                assert!(size.values > MAX_NODES, "refused: {denial:?}");
                assert_eq!(denial, Denial::BodyTooLarge);
            }
        }
        (Err(_), Err(_)) => {}
    }
}

fn is_same(read: &Value, plain: &Json) -> bool {
    match (&read.kind, plain) {
        (Some(Kind::NullValue(_)), Json::Null) => true,
        (Some(Kind::BoolValue(read)), Json::Bool(plain)) => read == plain,
        (Some(Kind::NumberValue(read)), Json::Number(plain)) => {
            plain.as_f64().map(f64::to_bits) == Some(read.to_bits())
        }
        (Some(Kind::StringValue(read)), Json::String(plain)) => read == plain,
        (Some(Kind::ListValue(read)), Json::Array(plain)) => {
            let mut pairs = read.values.iter().zip(plain);
            read.values.len() == plain.len() && pairs.all(|(read, plain)| is_same(read, plain))
        }
        (Some(Kind::StructValue(read)), Json::Object(plain)) => {
            let mut fields = read.fields.iter();
            let is_field = |(key, read): (&String, &Value)| {
                plain.get(key).is_some_and(|plain| is_same(read, plain))
            };
            read.fields.len() == plain.len() && fields.all(is_field)
        }
        _ => false,
    }
}

/// The size of a value with all values inside.
struct Size {
    values: u32,
    keys: usize,
    /// True if a double represents each number without ambiguity.
    is_exact: bool,
}

impl Size {
    fn of(value: &Json) -> Self {
        let mut size = Self {
            values: 0,
            keys: 0,
            is_exact: true,
        };
        size.add(value);
        size
    }

    fn add(&mut self, value: &Json) {
        self.values += 1;
        match value {
            Json::Null | Json::Bool(_) | Json::String(_) => {}
            Json::Number(number) => self.is_exact &= is_exact(number),
            Json::Array(items) => {
                for item in items {
                    self.add(item);
                }
            }
            Json::Object(fields) => {
                self.keys += fields.len();
                for field in fields.values() {
                    self.add(field);
                }
            }
        }
    }
}

fn is_exact(number: &Number) -> bool {
    if let Some(number) = number.as_u64() {
        return number <= LARGEST;
    }
    if let Some(number) = number.as_i64() {
        return number.unsigned_abs() <= LARGEST;
    }
    #[allow(clippy::cast_precision_loss, reason = "2^53 - 1 is exact")]
    let is_exact = |number: f64| number.fract() != 0.0 || number.abs() <= LARGEST as f64;
    number.as_f64().is_some_and(is_exact)
}

/// Returns the number of keys in valid JSON, with the repeated ones: the colons outside of texts.
fn count_keys(json: &[u8]) -> usize {
    let mut count = 0;
    let mut is_text = false;
    let mut is_escaped = false;
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_text = !is_text,
            b':' if !is_text => count += 1,
            _ => {}
        }
    }
    count
}
