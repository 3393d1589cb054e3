//! The encoders extension.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{Evaluation, Line, Outcome, Value};
use crate::error::Error;

pub(super) const FUNCTIONS: &[Line] = &[
    ("base64.encode", &["bytes -> string"], encode),
    ("base64.decode", &["string -> bytes"], decode),
];

/// Writes padding and reads with or without it. Ignores trailing bits, like the reference implementations.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

fn encode<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let bytes = match arguments {
        [value] => value.as_bytes(),
        _ => None,
    };
    let bytes = bytes.ok_or_else(|| Error::overload("base64.encode"))?;
    evaluation.charge_bytes(bytes.len().saturating_mul(2))?;
    Ok(Value::text(ENGINE.encode(bytes)))
}

fn decode<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let text = match arguments {
        [value] => value.as_str(),
        _ => None,
    };
    let text = text.ok_or_else(|| Error::overload("base64.decode"))?;
    evaluation.charge_bytes(text.len())?;
    let bytes = ENGINE
        .decode(text)
        .map_err(|_| Error::InvalidArgument("invalid base64"))?;
    Ok(Value::Bytes(bytes.into()))
}
