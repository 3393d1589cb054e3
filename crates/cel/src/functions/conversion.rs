//! Conversions between types.

use super::{Evaluation, Line, Outcome, Value};
use crate::{error::Error, time};

pub(super) const FUNCTIONS: &[Line] = &[
    (
        "int",
        &[
            "int -> int",
            "uint -> int",
            "double -> int",
            "string -> int",
            "timestamp -> int",
        ],
        int,
    ),
    (
        "uint",
        &[
            "uint -> uint",
            "int -> uint",
            "double -> uint",
            "string -> uint",
        ],
        uint,
    ),
    (
        "double",
        &[
            "double -> double",
            "int -> double",
            "uint -> double",
            "string -> double",
        ],
        double,
    ),
    (
        "string",
        &[
            "string -> string",
            "bool -> string",
            "int -> string",
            "uint -> string",
            "double -> string",
            "bytes -> string",
            "timestamp -> string",
            "duration -> string",
            "net.IP -> string",
            "net.CIDR -> string",
        ],
        string,
    ),
    ("bytes", &["bytes -> bytes", "string -> bytes"], bytes),
    ("bool", &["bool -> bool", "string -> bool"], bool),
    (
        "timestamp",
        &[
            "timestamp -> timestamp",
            "string -> timestamp",
            "int -> timestamp",
        ],
        timestamp,
    ),
    (
        "duration",
        &["duration -> duration", "string -> duration"],
        duration,
    ),
];

fn one<'v, 'a>(name: &str, arguments: &'v [Value<'a>]) -> Result<&'v Value<'a>, Error> {
    match arguments {
        [value] => Ok(value),
        _ => Err(Error::overload(name)),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the range was checked before"
)]
fn int<'a>(_: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let value = one("int", arguments)?;
    let range = || Error::OutOfRange("int");
    Ok(Value::Int(match value {
        Value::Int(value) => *value,
        Value::Uint(value) => i64::try_from(*value).map_err(|_| range())?,
        Value::Double(value) => {
            // Both bounds are exclusive: 2^63 is not an int, and a double that rounds to -2^63 may be out of range.
            if *value > -9_223_372_036_854_775_808.0 && *value < 9_223_372_036_854_775_808.0 {
                *value as i64
            } else {
                return Err(range());
            }
        }
        Value::Timestamp(instant) => instant.seconds,
        other => {
            let text = other.as_str().ok_or_else(|| Error::overload("int"))?;
            text.parse()
                .map_err(|_| Error::InvalidArgument("the text is not an int"))?
        }
    }))
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range was checked before"
)]
fn uint<'a>(_: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let value = one("uint", arguments)?;
    let range = || Error::OutOfRange("uint");
    Ok(Value::Uint(match value {
        Value::Uint(value) => *value,
        Value::Int(value) => u64::try_from(*value).map_err(|_| range())?,
        Value::Double(value) => {
            if *value > -1.0 && *value < 18_446_744_073_709_551_616.0 && *value >= 0.0 {
                *value as u64
            } else {
                return Err(range());
            }
        }
        other => {
            let text = other.as_str().ok_or_else(|| Error::overload("uint"))?;
            text.parse()
                .map_err(|_| Error::InvalidArgument("the text is not a uint"))?
        }
    }))
}

#[allow(clippy::cast_precision_loss, reason = "rounds, as the language says")]
fn double<'a>(_: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Double(match one("double", arguments)? {
        Value::Double(value) => *value,
        Value::Int(value) => *value as f64,
        Value::Uint(value) => *value as f64,
        other => {
            let text = other.as_str().ok_or_else(|| Error::overload("double"))?;
            text.parse()
                .map_err(|_| Error::InvalidArgument("the text is not a double"))?
        }
    }))
}

fn string<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let value = one("string", arguments)?;
    Ok(Value::text(match value {
        Value::Str(_) | Value::Text(_) => return Ok(value.clone()),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => double_text(*value),
        Value::Timestamp(instant) => time::format_timestamp(*instant),
        Value::Duration(nanos) => time::format_duration(*nanos),
        Value::Ip(address) => address.to_string(),
        Value::Cidr(address, length) => format!("{address}/{length}"),
        other => {
            let bytes = other.as_bytes().ok_or_else(|| Error::overload("string"))?;
            evaluation.charge_bytes(bytes.len())?;
            let text = std::str::from_utf8(bytes);
            text.map_err(|_| Error::InvalidArgument("invalid UTF-8"))?
                .to_owned()
        }
    }))
}

fn bytes<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let value = one("bytes", arguments)?;
    if value.as_bytes().is_some() {
        return Ok(value.clone());
    }
    let text = value.as_str().ok_or_else(|| Error::overload("bytes"))?;
    evaluation.charge_bytes(text.len())?;
    Ok(Value::Bytes(text.as_bytes().into()))
}

fn bool<'a>(_: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let value = one("bool", arguments)?;
    if let Value::Bool(value) = value {
        return Ok(Value::Bool(*value));
    }
    match value.as_str().ok_or_else(|| Error::overload("bool"))? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
        _ => Err(Error::InvalidArgument("the text is not a bool")),
    }
}

fn timestamp<'a>(_: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let value = one("timestamp", arguments)?;
    match value {
        Value::Timestamp(_) => Ok(value.clone()),
        Value::Int(seconds) => time::instant(*seconds, 0),
        other => time::parse_timestamp(other.as_str().ok_or_else(|| Error::overload("timestamp"))?),
    }
}

fn duration<'a>(_: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let value = one("duration", arguments)?;
    match value {
        Value::Duration(_) => Ok(value.clone()),
        other => time::parse_duration(other.as_str().ok_or_else(|| Error::overload("duration"))?),
    }
}

/// Formats the shortest text that parses to the same double, with an exponent for very large and very small numbers.
fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = value.abs();
    if value == 0.0 || (1e-4..1e6).contains(&magnitude) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}
