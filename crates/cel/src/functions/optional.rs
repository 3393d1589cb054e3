//! Functions for optional values.

use std::sync::Arc;

use super::{Evaluation, Line, Outcome, Value};
use crate::{collection, error::Error};

pub(super) const FUNCTIONS: &[Line] = &[
    (
        "optional.of",
        &["A -> optional(A)"],
        |_, arguments| match arguments {
            [value] => Ok(Value::some(value.clone())),
            _ => Err(Error::overload("optional.of")),
        },
    ),
    (
        "optional.ofNonZeroValue",
        &["A -> optional(A)"],
        |_, arguments| match arguments {
            [value] if collection::is_zero(value) => Ok(Value::Optional(None)),
            [value] => Ok(Value::some(value.clone())),
            _ => Err(Error::overload("optional.ofNonZeroValue")),
        },
    ),
    ("optional.none", &["-> optional(A)"], |_, _| {
        Ok(Value::Optional(None))
    }),
    (".hasValue", &["optional(A) -> bool"], |_, arguments| {
        inner(arguments, "hasValue").map(|inner| Value::Bool(inner.is_some()))
    }),
    (".value", &["optional(A) -> A"], |_, arguments| {
        inner(arguments, "value")?
            .map(|inner| (**inner).clone())
            .ok_or(Error::NoValue)
    }),
    (
        ".or",
        &["optional(A), optional(A) -> optional(A)"],
        |_, arguments| match arguments {
            [Value::Optional(None), other @ Value::Optional(_)] => Ok(other.clone()),
            [first @ Value::Optional(Some(_)), Value::Optional(_)] => Ok(first.clone()),
            _ => Err(Error::overload("or")),
        },
    ),
    (
        ".orValue",
        &["optional(A), A -> A"],
        |_, arguments| match arguments {
            [Value::Optional(None), other] => Ok(other.clone()),
            [Value::Optional(Some(inner)), _] => Ok((**inner).clone()),
            _ => Err(Error::overload("orValue")),
        },
    ),
    ("optional.unwrap", &["list(optional(A)) -> list(A)"], unwrap),
    (".unwrapOpt", &["list(optional(A)) -> list(A)"], unwrap),
];

fn inner<'v, 'a>(
    arguments: &'v [Value<'a>],
    name: &str,
) -> Result<Option<&'v Arc<Value<'a>>>, Error> {
    match arguments {
        [Value::Optional(inner)] => Ok(inner.as_ref()),
        _ => Err(Error::overload(name)),
    }
}

fn unwrap<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let overload = || Error::overload("optional.unwrap");
    let items = match arguments {
        [list] => collection::items(evaluation, list)?,
        _ => None,
    };
    let mut output = Vec::new();
    for item in items.ok_or_else(overload)?.iter() {
        match item {
            Value::Optional(inner) => output.extend(inner.as_ref().map(|inner| (**inner).clone())),
            _ => return Err(overload()),
        }
    }
    Ok(Value::list(output))
}
