//! The list functions `hasAny`, `hasAll`, `min` and `max`.

use std::cmp::Ordering;

use super::{Evaluation, Line, Outcome, Value};
use crate::{
    collection,
    compare::{equal, partial},
    error::Error,
};

pub(super) const FUNCTIONS: &[Line] = &[
    (".hasAny", SUBSET, |evaluation, arguments| {
        subset(evaluation, arguments, true)
    }),
    (".hasAll", SUBSET, |evaluation, arguments| {
        subset(evaluation, arguments, false)
    }),
    (".min", EXTREME, |evaluation, arguments| {
        extreme(evaluation, arguments, Ordering::Less)
    }),
    (".max", EXTREME, |evaluation, arguments| {
        extreme(evaluation, arguments, Ordering::Greater)
    }),
];

const SUBSET: &[&str] = &["list(A), list(A) -> bool"];
const EXTREME: &[&str] = &["list(A) -> A"];

fn subset<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>], any: bool) -> Outcome<'a> {
    let name = if any { "hasAny" } else { "hasAll" };
    let [list, wanted] = arguments else {
        return Err(Error::overload(name));
    };
    let list = collection::items(evaluation, list)?.ok_or_else(|| Error::overload(name))?;
    let wanted = collection::items(evaluation, wanted)?.ok_or_else(|| Error::overload(name))?;
    for wanted in wanted.iter() {
        let mut found = false;
        for element in list.iter() {
            evaluation.charge(1)?;
            if equal(evaluation, element, wanted, 0)? {
                found = true;
                break;
            }
        }
        if found == any {
            return Ok(Value::Bool(any));
        }
    }
    Ok(Value::Bool(!any))
}

fn extreme<'a>(
    evaluation: &mut Evaluation<'a>,
    arguments: &[Value<'a>],
    wanted: Ordering,
) -> Outcome<'a> {
    let name = if wanted == Ordering::Less {
        "min"
    } else {
        "max"
    };
    let items = match arguments {
        [list] => collection::items(evaluation, list)?,
        _ => None,
    };
    let items = items.ok_or_else(|| Error::overload(name))?;
    evaluation.charge(items.len())?;
    let mut items = items.iter();
    let mut best = items
        .next()
        .ok_or(Error::InvalidArgument("the list is empty"))?;
    // A single element must have an ordered type too.
    partial(evaluation, best, best)?.ok_or_else(|| Error::overload(name))?;
    for item in items {
        let ordering = partial(evaluation, item, best)?.ok_or_else(|| Error::overload(name))?;
        if ordering == Some(wanted) {
            best = item;
        }
    }
    Ok(best.clone())
}
