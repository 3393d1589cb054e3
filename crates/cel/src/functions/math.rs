//! The math extension.

use std::cmp::Ordering;

use super::{Evaluation, Line, Outcome, Value};
use crate::{collection, compare::numeric, error::Error};

pub(super) const FUNCTIONS: &[Line] = &[
    ("math.greatest", EXTREME, |e, a| {
        extreme(e, a, "math.greatest", Ordering::Greater)
    }),
    ("math.least", EXTREME, |e, a| {
        extreme(e, a, "math.least", Ordering::Less)
    }),
    ("math.ceil", DOUBLE, |_, a| {
        double(a, "math.ceil", f64::ceil)
    }),
    ("math.floor", DOUBLE, |_, a| {
        double(a, "math.floor", f64::floor)
    }),
    ("math.round", DOUBLE, |_, a| {
        double(a, "math.round", f64::round)
    }),
    ("math.trunc", DOUBLE, |_, a| {
        double(a, "math.trunc", f64::trunc)
    }),
    (
        "math.sqrt",
        &["double -> double", "int -> double", "uint -> double"],
        square_root,
    ),
    ("math.abs", SAME, absolute),
    ("math.sign", SAME, sign),
    ("math.isNaN", TEST, |_, a| {
        test(a, "math.isNaN", f64::is_nan)
    }),
    ("math.isInf", TEST, |_, a| {
        test(a, "math.isInf", f64::is_infinite)
    }),
    ("math.isFinite", TEST, |_, a| {
        test(a, "math.isFinite", f64::is_finite)
    }),
    ("math.bitAnd", BITS, |_, a| {
        bits(a, "math.bitAnd", |left, right| left & right)
    }),
    ("math.bitOr", BITS, |_, a| {
        bits(a, "math.bitOr", |left, right| left | right)
    }),
    ("math.bitXor", BITS, |_, a| {
        bits(a, "math.bitXor", |left, right| left ^ right)
    }),
    (
        "math.bitNot",
        &["int -> int", "uint -> uint"],
        |_, a| match a {
            [Value::Int(value)] => Ok(Value::Int(!value)),
            [Value::Uint(value)] => Ok(Value::Uint(!value)),
            _ => Err(Error::overload("math.bitNot")),
        },
    ),
    ("math.bitShiftLeft", SHIFT, |_, a| {
        shift(a, "math.bitShiftLeft", u64::checked_shl)
    }),
    ("math.bitShiftRight", SHIFT, |_, a| {
        shift(a, "math.bitShiftRight", u64::checked_shr)
    }),
];

/// Overloads of functions that take numbers or a list of numbers. The call checker allows any number of arguments.
const EXTREME: &[&str] = &[
    "int -> int",
    "uint -> uint",
    "double -> double",
    "list(int) -> int",
    "list(uint) -> uint",
    "list(double) -> double",
    "list(dyn) -> dyn",
    "int, int -> int",
    "uint, uint -> uint",
    "double, double -> double",
    "int, uint -> dyn",
    "int, double -> dyn",
    "uint, int -> dyn",
    "uint, double -> dyn",
    "double, int -> dyn",
    "double, uint -> dyn",
];
const DOUBLE: &[&str] = &["double -> double"];
const SAME: &[&str] = &["int -> int", "uint -> uint", "double -> double"];
const TEST: &[&str] = &["double -> bool"];
const BITS: &[&str] = &["int, int -> int", "uint, uint -> uint"];
const SHIFT: &[&str] = &["int, int -> int", "uint, int -> uint"];

fn extreme<'a>(
    evaluation: &mut Evaluation<'a>,
    arguments: &[Value<'a>],
    name: &str,
    wanted: Ordering,
) -> Outcome<'a> {
    let list = match arguments {
        [one] => collection::items(evaluation, one)?,
        _ => None,
    };
    let values = list.as_deref().unwrap_or(arguments);
    evaluation.charge(values.len())?;
    let mut values = values.iter();
    let mut best = values.next().ok_or_else(|| Error::overload(name))?;
    numeric(best, best).ok_or_else(|| Error::overload(name))?;
    for value in values {
        if numeric(value, best).ok_or_else(|| Error::overload(name))? == Some(wanted) {
            best = value;
        }
    }
    Ok(best.clone())
}

fn double<'a>(arguments: &[Value<'a>], name: &str, run: fn(f64) -> f64) -> Outcome<'a> {
    match arguments {
        [Value::Double(value)] => Ok(Value::Double(run(*value))),
        _ => Err(Error::overload(name)),
    }
}

fn test<'a>(arguments: &[Value<'a>], name: &str, run: fn(f64) -> bool) -> Outcome<'a> {
    match arguments {
        [Value::Double(value)] => Ok(Value::Bool(run(*value))),
        _ => Err(Error::overload(name)),
    }
}

#[allow(clippy::cast_precision_loss, reason = "a root is a double")]
fn square_root<'a>(_: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let value = match arguments {
        [Value::Double(value)] => *value,
        [Value::Int(value)] => *value as f64,
        [Value::Uint(value)] => *value as f64,
        _ => return Err(Error::overload("math.sqrt")),
    };
    Ok(Value::Double(value.sqrt()))
}

fn absolute<'a>(_: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    match arguments {
        [Value::Int(value)] => value.checked_abs().map(Value::Int).ok_or(Error::Overflow),
        [Value::Uint(value)] => Ok(Value::Uint(*value)),
        [Value::Double(value)] => Ok(Value::Double(value.abs())),
        _ => Err(Error::overload("math.abs")),
    }
}

fn sign<'a>(_: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    match arguments {
        [Value::Int(value)] => Ok(Value::Int(value.signum())),
        [Value::Uint(value)] => Ok(Value::Uint((*value).min(1))),
        // Zero and NaN have no sign.
        [Value::Double(value)] if *value == 0.0 => Ok(Value::Double(0.0)),
        [Value::Double(value)] if value.is_nan() => Ok(Value::Double(*value)),
        [Value::Double(value)] => Ok(Value::Double(value.signum())),
        _ => Err(Error::overload("math.sign")),
    }
}

fn bits<'a>(arguments: &[Value<'a>], name: &str, run: fn(u64, u64) -> u64) -> Outcome<'a> {
    match arguments {
        [Value::Int(left), Value::Int(right)] => Ok(Value::Int(
            run(left.cast_unsigned(), right.cast_unsigned()).cast_signed(),
        )),
        [Value::Uint(left), Value::Uint(right)] => Ok(Value::Uint(run(*left, *right))),
        _ => Err(Error::overload(name)),
    }
}

fn shift<'a>(arguments: &[Value<'a>], name: &str, run: fn(u64, u32) -> Option<u64>) -> Outcome<'a> {
    let [value, Value::Int(count)] = arguments else {
        return Err(Error::overload(name));
    };
    if *count < 0 {
        return Err(Error::InvalidArgument("a shift cannot be negative"));
    }
    let count = u32::try_from(*count).unwrap_or(u32::MAX);
    match value {
        Value::Int(value) => {
            let shifted = run(value.cast_unsigned(), count).unwrap_or(0);
            Ok(Value::Int(shifted.cast_signed()))
        }
        Value::Uint(value) => Ok(Value::Uint(run(*value, count).unwrap_or(0))),
        _ => Err(Error::overload(name)),
    }
}
