//! Equality and order, across numeric types and across the representations of a value.

use std::{cmp::Ordering, net::IpAddr};

use super::{
    ast::Relation,
    collection,
    error::Error,
    state::Evaluation,
    value::{Map, Value},
};

/// Maximum nesting depth of compared values.
const MAX_DEPTH: u16 = 600;

/// Returns whether two values are equal. Values of different types are not equal, except numbers.
pub(crate) fn equal<'a>(
    evaluation: &mut Evaluation<'a>,
    left: &Value<'a>,
    right: &Value<'a>,
    depth: u16,
) -> Result<bool, Error> {
    if let (Some(left), Some(right)) = (left.as_str(), right.as_str()) {
        evaluation.charge(left.len().min(right.len()) / 64)?;
        return Ok(left == right);
    }
    if let Some(ordering) = numeric(left, right) {
        return Ok(ordering == Some(Ordering::Equal));
    }
    match (left, right) {
        (Value::Null, Value::Null) => return Ok(true),
        (Value::Bool(left), Value::Bool(right)) => return Ok(left == right),
        (Value::Timestamp(left), Value::Timestamp(right)) => return Ok(left == right),
        (Value::Duration(left), Value::Duration(right)) => return Ok(left == right),
        (Value::Type(left), Value::Type(right)) => return Ok(left == right),
        (Value::Message(a, left), Value::Message(b, right)) => {
            evaluation.charge_bytes(left.len())?;
            return Ok(std::ptr::eq(*a, *b) && left == right);
        }
        (Value::Part(left), Value::Part(right)) => return Ok(std::ptr::eq(*left, *right)),
        (Value::Ip(left), Value::Ip(right)) => return Ok(same_address(*left, *right)),
        (Value::Cidr(left, a), Value::Cidr(right, b)) => return Ok(left == right && a == b),
        _ => {}
    }
    if let (Some(left), Some(right)) = (left.as_bytes(), right.as_bytes()) {
        evaluation.charge(left.len().min(right.len()) / 64)?;
        return Ok(left == right);
    }
    evaluation.charge(1)?;
    if depth > MAX_DEPTH {
        return Err(Error::TooExpensive);
    }
    if let (Value::Optional(left), Value::Optional(right)) = (left, right) {
        return match (left, right) {
            (Some(left), Some(right)) => equal(evaluation, left, right, depth + 1),
            (left, right) => Ok(left.is_none() && right.is_none()),
        };
    }
    if let Some(left) = collection::items(evaluation, left)? {
        let Some(right) = collection::items(evaluation, right)? else {
            return Ok(false);
        };
        if left.len() != right.len() {
            return Ok(false);
        }
        for (left, right) in left.iter().zip(right.iter()) {
            if !equal(evaluation, left, right, depth + 1)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    equal_maps(evaluation, left, right, depth)
}

fn equal_maps<'a>(
    evaluation: &mut Evaluation<'a>,
    left: &Value<'a>,
    right: &Value<'a>,
    depth: u16,
) -> Result<bool, Error> {
    let (Some(left), Some(pairs)) = (
        collection::pairs(evaluation, left)?,
        collection::pairs(evaluation, right)?,
    ) else {
        return Ok(false);
    };
    if left.len() != pairs.len() {
        return Ok(false);
    }
    let mut right = Map::default();
    for (key, value) in pairs {
        right.insert(key, value);
    }
    for (key, value) in &left {
        let Some(other) = right.get(key) else {
            return Ok(false);
        };
        if !equal(evaluation, value, &other.clone(), depth + 1)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Evaluates a comparison or `in`.
pub(crate) fn relation<'a>(
    evaluation: &mut Evaluation<'a>,
    relation: Relation,
    left: &Value<'a>,
    right: &Value<'a>,
) -> Result<bool, Error> {
    let ordered: fn(Ordering) -> bool = match relation {
        Relation::Equal => return equal(evaluation, left, right, 0),
        Relation::NotEqual => return Ok(!equal(evaluation, left, right, 0)?),
        Relation::In => return contains(evaluation, right, left),
        Relation::Less => Ordering::is_lt,
        Relation::LessOrEqual => Ordering::is_le,
        Relation::Greater => Ordering::is_gt,
        Relation::GreaterOrEqual => Ordering::is_ge,
    };
    let ordering =
        partial(evaluation, left, right)?.ok_or_else(|| Error::overload(relation.symbol()))?;
    // NaN is neither less nor greater than any number.
    Ok(ordering.is_some_and(ordered))
}

/// Evaluates `needle in haystack`.
fn contains<'a>(
    evaluation: &mut Evaluation<'a>,
    haystack: &Value<'a>,
    needle: &Value<'a>,
) -> Result<bool, Error> {
    if let Some(found) = collection::contains_text(evaluation, haystack, needle)? {
        return Ok(found);
    }
    if let Some(elements) = collection::items(evaluation, haystack)? {
        for element in elements.iter() {
            if equal(evaluation, element, needle, 0)? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    match collection::lookup(evaluation, haystack, needle) {
        Ok(found) => Ok(found.is_some()),
        Err(_) => Err(Error::overload("in")),
    }
}

/// Compares two values. Returns `None` if their types have no order, and `Some(None)` for NaN.
#[allow(
    clippy::option_option,
    reason = "not comparable, or comparable and unordered"
)]
pub(crate) fn partial(
    evaluation: &mut Evaluation<'_>,
    left: &Value<'_>,
    right: &Value<'_>,
) -> Result<Option<Option<Ordering>>, Error> {
    if let Some(ordering) = numeric(left, right) {
        return Ok(Some(ordering));
    }
    if let (Some(left), Some(right)) = (left.as_str(), right.as_str()) {
        evaluation.charge(left.len().min(right.len()) / 64)?;
        return Ok(Some(Some(left.cmp(right))));
    }
    if let (Some(left), Some(right)) = (left.as_bytes(), right.as_bytes()) {
        evaluation.charge(left.len().min(right.len()) / 64)?;
        return Ok(Some(Some(left.cmp(right))));
    }
    Ok(match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(Some(left.cmp(right))),
        (Value::Timestamp(left), Value::Timestamp(right)) => Some(Some(left.cmp(right))),
        (Value::Duration(left), Value::Duration(right)) => Some(Some(left.cmp(right))),
        _ => None,
    })
}

/// Compares two numbers. Returns `None` if a value is not a number, and `Some(None)` for NaN.
#[allow(
    clippy::option_option,
    reason = "not comparable, or comparable and unordered"
)]
pub(crate) fn numeric(left: &Value<'_>, right: &Value<'_>) -> Option<Option<Ordering>> {
    Some(match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Uint(left), Value::Uint(right)) => Some(left.cmp(right)),
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::Int(left), Value::Uint(right)) => Some(i128::from(*left).cmp(&i128::from(*right))),
        (Value::Uint(left), Value::Int(right)) => Some(i128::from(*left).cmp(&i128::from(*right))),
        (Value::Int(left), Value::Double(right)) => int_double(*left, *right),
        (Value::Uint(left), Value::Double(right)) => uint_double(*left, *right),
        (Value::Double(left), Value::Int(right)) => {
            int_double(*right, *left).map(Ordering::reverse)
        }
        (Value::Double(left), Value::Uint(right)) => {
            uint_double(*right, *left).map(Ordering::reverse)
        }
        _ => return None,
    })
}

/// Compares in the precision of doubles, as the conformance suite requires. A double outside of the range of int is
/// less or greater than every int.
#[allow(clippy::cast_precision_loss, reason = "see above")]
fn int_double(left: i64, right: f64) -> Option<Ordering> {
    if right < i64::MIN as f64 {
        return Some(Ordering::Greater);
    }
    if right > i64::MAX as f64 {
        return Some(Ordering::Less);
    }
    (left as f64).partial_cmp(&right)
}

/// Compares like [`int_double`].
#[allow(clippy::cast_precision_loss, reason = "see above")]
fn uint_double(left: u64, right: f64) -> Option<Ordering> {
    if right < 0.0 {
        return Some(Ordering::Greater);
    }
    if right > u64::MAX as f64 {
        return Some(Ordering::Less);
    }
    (left as f64).partial_cmp(&right)
}

fn same_address(left: IpAddr, right: IpAddr) -> bool {
    left.to_canonical() == right.to_canonical()
}
