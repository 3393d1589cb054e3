//! Standard functions on strings, collections and values of any type.

use std::sync::Arc;

use super::{Evaluation, Line, Outcome, Value, pattern::Pattern};
use crate::{collection, error::Error};

pub(super) const FUNCTIONS: &[Line] = &[
    ("size", SIZE, size),
    (".size", SIZE, size),
    ("dyn", &["A -> dyn"], |_, arguments| match arguments {
        [value] => Ok(value.clone()),
        _ => Err(Error::overload("dyn")),
    }),
    ("type", &["A -> type"], |_, arguments| match arguments {
        [value] => Ok(Value::Type(Arc::from(value.type_name()))),
        _ => Err(Error::overload("type")),
    }),
    (".contains", TEXT_TEST, |evaluation, arguments| {
        test(evaluation, arguments, "contains", |text, part| {
            text.contains(part)
        })
    }),
    (".startsWith", TEXT_TEST, |evaluation, arguments| {
        test(evaluation, arguments, "startsWith", |text, part| {
            text.starts_with(part)
        })
    }),
    (".endsWith", TEXT_TEST, |evaluation, arguments| {
        test(evaluation, arguments, "endsWith", |text, part| {
            text.ends_with(part)
        })
    }),
    (".matches", TEXT_TEST, matches),
    ("matches", TEXT_TEST, matches),
];

const SIZE: &[&str] = &[
    "string -> int",
    "bytes -> int",
    "list(A) -> int",
    "map(A, B) -> int",
];
const TEXT_TEST: &[&str] = &["string, string -> bool"];

/// Maximum length of a pattern that is compiled at run time.
const MAX_DYNAMIC_PATTERN: usize = 512;

fn size<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let [value] = arguments else {
        return Err(Error::overload("size"));
    };
    let size = if let Some(text) = value.as_str() {
        evaluation.charge_bytes(text.len())?;
        text.chars().count()
    } else if let Some(bytes) = value.as_bytes() {
        bytes.len()
    } else {
        collection::length(evaluation, value)?.ok_or_else(|| Error::overload("size"))?
    };
    Ok(Value::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn test<'a>(
    evaluation: &mut Evaluation<'a>,
    arguments: &[Value<'a>],
    name: &str,
    run: fn(&str, &str) -> bool,
) -> Outcome<'a> {
    match arguments {
        [text, part] => match (text.as_str(), part.as_str()) {
            (Some(text), Some(part)) => {
                evaluation.charge_bytes(text.len() + part.len())?;
                Ok(Value::Bool(run(text, part)))
            }
            _ => Err(Error::overload(name)),
        },
        _ => Err(Error::overload(name)),
    }
}

fn matches<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let [text, pattern] = arguments else {
        return Err(Error::overload("matches"));
    };
    let (Some(text), Some(pattern)) = (text.as_str(), pattern.as_str()) else {
        return Err(Error::overload("matches"));
    };
    if pattern.len() > MAX_DYNAMIC_PATTERN {
        return Err(Error::InvalidRegex("it is too long"));
    }
    // Compiling a pattern costs as much as thousands of comparisons.
    evaluation.charge(5_000)?;
    evaluation.charge_bytes(text.len().saturating_mul(4))?;
    Ok(Value::Bool(Pattern::new(pattern)?.is_match(text)))
}
