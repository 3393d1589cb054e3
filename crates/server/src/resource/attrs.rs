//! Free-form attributes.

use prost::Message as _;
use prost_types::{Struct, Value, value::Kind};

use crate::Error;

const BYTES: usize = 20_000;
const KEY_LENGTH: usize = 100;

/// Checks the size of `attrs`, and that all keys, also of nested maps, are camelCase: a lower-case letter, then letters
/// and digits.
///
/// # Errors
/// Returns `InvalidArgument` with the path of the key.
pub(super) fn check(path: &str, attrs: Option<&Struct>) -> Result<(), Error> {
    let Some(attrs) = attrs else { return Ok(()) };
    let length = attrs.encoded_len();
    if length > BYTES {
        return Err(Error::invalid(format!(
            "{path} has {length} encoded bytes; at most {BYTES} are allowed"
        )));
    }
    check_keys(path, attrs)
}

fn check_keys(path: &str, attrs: &Struct) -> Result<(), Error> {
    for (key, value) in &attrs.fields {
        let is_camel_case = key.starts_with(|c: char| c.is_ascii_lowercase())
            && key.chars().all(|c| c.is_ascii_alphanumeric());
        if !is_camel_case || key.len() > KEY_LENGTH {
            return Err(Error::invalid(format!(
                "{path}: the key {key:?} is invalid: it must begin with a lower-case letter and have at most \
                 {KEY_LENGTH} letters and digits"
            )));
        }
        check_value(&format!("{path}.{key}"), value)?;
    }
    Ok(())
}

fn check_value(path: &str, value: &Value) -> Result<(), Error> {
    match &value.kind {
        Some(Kind::StructValue(nested)) => check_keys(path, nested),
        Some(Kind::ListValue(list)) => list
            .values
            .iter()
            .try_for_each(|value| check_value(path, value)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attrs(key: &str, value: Kind) -> Struct {
        let value = Value { kind: Some(value) };
        Struct {
            fields: [(key.to_owned(), value)].into(),
        }
    }

    #[test]
    fn keys_are_camel_case_at_every_depth() {
        let text = |text: &str| Kind::StringValue(text.to_owned());
        check("spec.attrs", None).unwrap();
        check("spec.attrs", Some(&attrs("teamName2", text("x")))).unwrap();
        for key in ["", "Team", "team-name", "2team", "té"] {
            check("spec.attrs", Some(&attrs(key, text("x")))).unwrap_err();
            let nested = attrs("outer", Kind::StructValue(attrs(key, text("x"))));
            let error = check("spec.attrs", Some(&nested)).unwrap_err();
            assert!(error.public().contains("spec.attrs.outer"), "{error}");
        }
    }

    #[test]
    fn the_size_is_limited() {
        let long = attrs("text", Kind::StringValue("x".repeat(BYTES)));
        check("spec.attrs", Some(&long)).unwrap_err();
    }
}
