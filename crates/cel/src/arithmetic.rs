//! Arithmetic. Integer overflow is an error.

use super::{
    ast::Arithmetic,
    collection,
    error::Error,
    state::{Evaluation, Outcome},
    time,
    value::Value,
};

/// Evaluates `-value`.
pub(crate) fn negate<'a>(value: &Value<'_>) -> Outcome<'a> {
    match value {
        Value::Int(value) => value.checked_neg().map(Value::Int).ok_or(Error::Overflow),
        Value::Double(value) => Ok(Value::Double(-value)),
        _ => Err(Error::overload("-")),
    }
}

/// Evaluates a binary arithmetic operator, such as `left + right`.
pub(crate) fn binary<'a>(
    evaluation: &mut Evaluation<'a>,
    operator: Arithmetic,
    left: &Value<'a>,
    right: &Value<'a>,
) -> Outcome<'a> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => int(operator, *left, *right).map(Value::Int),
        (Value::Uint(left), Value::Uint(right)) => uint(operator, *left, *right).map(Value::Uint),
        (Value::Double(left), Value::Double(right)) => double(operator, *left, *right),
        _ => match operator {
            Arithmetic::Add => add(evaluation, left, right),
            Arithmetic::Subtract => subtract(left, right),
            Arithmetic::Multiply | Arithmetic::Divide | Arithmetic::Remainder => {
                Err(Error::overload(operator.symbol()))
            }
        },
    }
}

fn int(operator: Arithmetic, left: i64, right: i64) -> Result<i64, Error> {
    let divides = matches!(operator, Arithmetic::Divide | Arithmetic::Remainder);
    if divides && right == 0 {
        return Err(Error::DivisionByZero);
    }
    match operator {
        Arithmetic::Add => left.checked_add(right),
        Arithmetic::Subtract => left.checked_sub(right),
        Arithmetic::Multiply => left.checked_mul(right),
        Arithmetic::Divide => left.checked_div(right),
        Arithmetic::Remainder => left.checked_rem(right),
    }
    .ok_or(Error::Overflow)
}

fn uint(operator: Arithmetic, left: u64, right: u64) -> Result<u64, Error> {
    let divides = matches!(operator, Arithmetic::Divide | Arithmetic::Remainder);
    if divides && right == 0 {
        return Err(Error::DivisionByZero);
    }
    match operator {
        Arithmetic::Add => left.checked_add(right),
        Arithmetic::Subtract => left.checked_sub(right),
        Arithmetic::Multiply => left.checked_mul(right),
        Arithmetic::Divide => left.checked_div(right),
        Arithmetic::Remainder => left.checked_rem(right),
    }
    .ok_or(Error::Overflow)
}

fn double<'a>(operator: Arithmetic, left: f64, right: f64) -> Outcome<'a> {
    Ok(Value::Double(match operator {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => left / right,
        Arithmetic::Remainder => return Err(Error::overload(operator.symbol())),
    }))
}

fn add<'a>(evaluation: &mut Evaluation<'a>, left: &Value<'a>, right: &Value<'a>) -> Outcome<'a> {
    if let (Some(left), Some(right)) = (left.as_str(), right.as_str()) {
        evaluation.charge_bytes(left.len() + right.len())?;
        return Ok(Value::text([left, right].concat()));
    }
    if let (Some(left), Some(right)) = (left.as_bytes(), right.as_bytes()) {
        evaluation.charge_bytes(left.len() + right.len())?;
        return Ok(Value::Bytes([left, right].concat().into()));
    }
    match (left, right) {
        (Value::Timestamp(instant), Value::Duration(nanos))
        | (Value::Duration(nanos), Value::Timestamp(instant)) => time::shift(*instant, *nanos),
        (Value::Duration(left), Value::Duration(right)) => left
            .checked_add(*right)
            .map(Value::Duration)
            .ok_or(Error::OutOfRange("duration")),
        _ => {
            let left = collection::items(evaluation, left)?;
            let right = collection::items(evaluation, right)?;
            let (Some(left), Some(right)) = (left, right) else {
                return Err(Error::overload("+"));
            };
            evaluation.charge(left.len() + right.len())?;
            Ok(Value::list([&*left, &*right].concat()))
        }
    }
}

fn subtract<'a>(left: &Value<'_>, right: &Value<'_>) -> Outcome<'a> {
    match (left, right) {
        (Value::Timestamp(left), Value::Timestamp(right)) => time::between(*left, *right),
        (Value::Timestamp(instant), Value::Duration(nanos)) => {
            let nanos = nanos.checked_neg().ok_or(Error::OutOfRange("duration"))?;
            time::shift(*instant, nanos)
        }
        (Value::Duration(left), Value::Duration(right)) => left
            .checked_sub(*right)
            .map(Value::Duration)
            .ok_or(Error::OutOfRange("duration")),
        _ => Err(Error::overload("-")),
    }
}
