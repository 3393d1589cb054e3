//! The `format` function of the strings extension.

use std::fmt::Write as _;

use super::{Evaluation, Outcome, Value};
use crate::{collection, error::Error, time};

/// Maximum number of digits after the decimal point.
const MAX_PRECISION: usize = 1_000;

/// Evaluates `"%s of %d".format([a, b])`.
pub(super) fn run<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let overload = || Error::overload("format");
    let [template, list] = arguments else {
        return Err(overload());
    };
    let template = template.as_str().ok_or_else(overload)?;
    let values = collection::items(evaluation, list)?.ok_or_else(overload)?;
    evaluation.charge_bytes(template.len())?;
    let mut values = values.iter();
    let mut output = String::with_capacity(template.len());
    let mut characters = template.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '%' {
            output.push(character);
            continue;
        }
        if characters.next_if_eq(&'%').is_some() {
            output.push('%');
            continue;
        }
        let mut precision = None;
        if characters.next_if_eq(&'.').is_some() {
            let mut value = 0_usize;
            while let Some(digit) = characters.peek().and_then(|c| c.to_digit(10)) {
                characters.next();
                value = value * 10 + digit as usize;
                if value > MAX_PRECISION {
                    return Err(Error::InvalidArgument("the precision is too large"));
                }
            }
            precision = Some(value);
        }
        let clause = characters
            .next()
            .ok_or(Error::InvalidArgument("the format ends in %"))?;
        let value = values
            .next()
            .ok_or(Error::InvalidArgument("too few values for the format"))?;
        let before = output.len();
        write_clause(evaluation, &mut output, clause, precision, value)?;
        evaluation.charge_bytes(output.len() - before)?;
    }
    if values.next().is_some() {
        return Err(Error::InvalidArgument("too many values for the format"));
    }
    Ok(Value::text(output))
}

fn write_clause<'a>(
    evaluation: &mut Evaluation<'a>,
    output: &mut String,
    clause: char,
    precision: Option<usize>,
    value: &Value<'a>,
) -> Result<(), Error> {
    match clause {
        's' => plain(evaluation, output, value, 0),
        'd' => decimal(output, value),
        'f' | 'e' => floating(output, clause, precision.unwrap_or(6), value),
        'b' => radix(output, value, Base::Binary),
        'o' => radix(output, value, Base::Octal),
        'x' => radix(output, value, Base::LowerHex),
        'X' => radix(output, value, Base::UpperHex),
        _ => Err(Error::InvalidArgument("unknown clause in the format")),
    }
}

/// Formats a value for `%s`.
fn plain<'a>(
    evaluation: &mut Evaluation<'a>,
    output: &mut String,
    value: &Value<'a>,
    depth: u16,
) -> Result<(), Error> {
    evaluation.charge(1)?;
    if depth > 100 {
        return Err(Error::TooExpensive);
    }
    if let Some(text) = value.as_str() {
        evaluation.charge_bytes(text.len())?;
        output.push_str(text);
        return Ok(());
    }
    if let Some(bytes) = value.as_bytes() {
        evaluation.charge_bytes(bytes.len())?;
        output.push_str(&String::from_utf8_lossy(bytes));
        return Ok(());
    }
    match value {
        Value::Null => output.push_str("null"),
        Value::Bool(value) => push(output, value),
        Value::Int(value) => push(output, value),
        Value::Uint(value) => push(output, value),
        Value::Double(value) => match special(*value) {
            Some(text) => output.push_str(text),
            None => push(output, value),
        },
        Value::Timestamp(instant) => output.push_str(&time::format_timestamp(*instant)),
        Value::Duration(nanos) => output.push_str(&time::format_duration(*nanos)),
        Value::Type(name) => output.push_str(name),
        Value::Ip(address) => push(output, address),
        Value::Cidr(address, length) => {
            let _ = write!(output, "{address}/{length}");
        }
        other => return composite(evaluation, output, other, depth),
    }
    Ok(())
}

fn composite<'a>(
    evaluation: &mut Evaluation<'a>,
    output: &mut String,
    value: &Value<'a>,
    depth: u16,
) -> Result<(), Error> {
    if let Some(items) = collection::items(evaluation, value)? {
        output.push('[');
        for (index, item) in items.iter().enumerate() {
            output.push_str(if index == 0 { "" } else { ", " });
            plain(evaluation, output, item, depth + 1)?;
        }
        output.push(']');
        return Ok(());
    }
    let Some(pairs) = collection::pairs(evaluation, value)? else {
        return Err(Error::overload("%s"));
    };
    let mut written = Vec::with_capacity(pairs.len());
    for (key, value) in &pairs {
        let (mut name, mut text) = (String::new(), String::new());
        plain(evaluation, &mut name, key, depth + 1)?;
        plain(evaluation, &mut text, value, depth + 1)?;
        written.push((name, text));
    }
    written.sort();
    output.push('{');
    for (index, (key, value)) in written.iter().enumerate() {
        output.push_str(if index == 0 { "" } else { ", " });
        let _ = write!(output, "{key}: {value}");
    }
    output.push('}');
    Ok(())
}

fn decimal(output: &mut String, value: &Value<'_>) -> Result<(), Error> {
    match value {
        Value::Int(value) => push(output, value),
        Value::Uint(value) => push(output, value),
        Value::Double(value) => match special(*value) {
            Some(text) => output.push_str(text),
            None => push(output, value),
        },
        _ => return Err(Error::overload("%d")),
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "the caller requested a double")]
fn floating(
    output: &mut String,
    clause: char,
    precision: usize,
    value: &Value<'_>,
) -> Result<(), Error> {
    let value = match value {
        Value::Double(value) => *value,
        Value::Int(value) => *value as f64,
        Value::Uint(value) => *value as f64,
        _ => return Err(Error::overload("%f")),
    };
    if let Some(text) = special(value) {
        output.push_str(text);
    } else if clause == 'f' {
        let _ = write!(output, "{value:.precision$}");
    } else {
        let text = format!("{value:.precision$e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        let _ = write!(output, "{mantissa}e{sign}{digits:0>2}");
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    Binary,
    Octal,
    LowerHex,
    UpperHex,
}

fn radix(output: &mut String, value: &Value<'_>, base: Base) -> Result<(), Error> {
    let (negative, magnitude) = match value {
        Value::Int(value) => (*value < 0, value.unsigned_abs()),
        Value::Uint(value) => (false, *value),
        Value::Bool(value) if base == Base::Binary => (false, u64::from(*value)),
        other => {
            let text = other.as_str().map(str::as_bytes);
            let bytes = text.or_else(|| other.as_bytes());
            return hexadecimal(output, bytes, base);
        }
    };
    if negative {
        output.push('-');
    }
    let _ = match base {
        Base::Binary => write!(output, "{magnitude:b}"),
        Base::Octal => write!(output, "{magnitude:o}"),
        Base::LowerHex => write!(output, "{magnitude:x}"),
        Base::UpperHex => write!(output, "{magnitude:X}"),
    };
    Ok(())
}

fn hexadecimal(output: &mut String, bytes: Option<&[u8]>, base: Base) -> Result<(), Error> {
    let Some(bytes) = bytes else {
        return Err(Error::overload("format"));
    };
    if matches!(base, Base::Binary | Base::Octal) {
        return Err(Error::overload("format"));
    }
    for byte in bytes {
        let _ = match base {
            Base::UpperHex => write!(output, "{byte:02X}"),
            _ => write!(output, "{byte:02x}"),
        };
    }
    Ok(())
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value.is_infinite() {
        Some(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        None
    }
}

fn push(output: &mut String, value: impl std::fmt::Display) {
    let _ = write!(output, "{value}");
}
