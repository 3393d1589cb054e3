//! Lists and maps: elements, lookup, selection, presence and length.

use std::sync::Arc;

use crate::{
    access,
    error::Error,
    host::Host,
    part::Member,
    schema::{Field, Kind},
    state::{Evaluation, Outcome},
    value::{Repeated, Value},
    wire,
};

/// Returns the elements of a list, or `None` if the value is not a list.
///
/// # Errors
/// Returns [`Error::TooExpensive`] if the evaluation exceeds its budget.
pub fn items<'a>(
    evaluation: &mut Evaluation<'a>,
    value: &Value<'a>,
) -> Result<Option<Arc<[Value<'a>]>>, Error> {
    Ok(Some(match value {
        Value::List(elements) => elements.clone(),
        Value::Repeated(list) => {
            evaluation.charge_bytes(list.message.len())?;
            access::elements(*list).into()
        }
        Value::StructList(values) => {
            evaluation.charge(values.len())?;
            values.iter().map(access::json_value).collect()
        }
        _ => return Ok(None),
    }))
}

/// Returns the entries of a map, or `None` if the value is not a map.
pub(crate) fn pairs<'a>(
    evaluation: &mut Evaluation<'a>,
    value: &Value<'a>,
) -> Result<Option<Vec<(Value<'a>, Value<'a>)>>, Error> {
    let text = |(key, value)| (Value::Str(key), value);
    Ok(Some(match value {
        Value::Map(map) => {
            evaluation.charge(map.entries().len())?;
            map.entries().to_vec()
        }
        Value::Mapped(map, _) => {
            evaluation.charge_bytes(map.message.len())?;
            access::entries(*map).map(text).collect()
        }
        Value::Object(bytes) => {
            evaluation.charge_bytes(bytes.len())?;
            access::entries(access::object(bytes)).map(text).collect()
        }
        Value::Struct(object) => {
            evaluation.charge(object.fields.len())?;
            object
                .fields
                .iter()
                .map(|(key, value)| (Value::Str(key), access::json_value(value)))
                .collect()
        }
        Value::Fields(fields) => {
            let mut output = Vec::new();
            let mut bytes = 0;
            fields.each(&mut |name, value| {
                bytes += name.len() + value.len();
                output.push((Value::text(name), Value::text(value)));
            });
            evaluation.charge(output.len())?;
            evaluation.charge_bytes(bytes)?;
            output
        }
        _ => return Ok(None),
    }))
}

/// Returns the value of `key`, or `None` if the key is missing. Fails if the value is not a map.
pub(crate) fn lookup<'a>(
    evaluation: &mut Evaluation<'a>,
    value: &Value<'a>,
    key: &Value<'_>,
) -> Result<Option<Value<'a>>, Error> {
    let entry = |mut entries: Box<dyn Iterator<Item = (&'a str, Value<'a>)> + 'a>| {
        let key = key.as_str()?;
        entries
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    };
    match value {
        Value::Map(map) => Ok(map.get(key).cloned()),
        Value::Mapped(map, _) => {
            evaluation.charge_bytes(map.message.len())?;
            Ok(entry(Box::new(access::entries(*map))))
        }
        Value::Object(bytes) => {
            evaluation.charge_bytes(bytes.len())?;
            Ok(entry(Box::new(access::entries(access::object(bytes)))))
        }
        Value::Struct(object) => {
            let found = key.as_str().and_then(|key| object.fields.get(key));
            Ok(found.map(access::json_value))
        }
        Value::Fields(fields) => Ok(key.as_str().and_then(|key| fields.get(key)).map(Value::Str)),
        _ => Err(Error::overload("selection")),
    }
}

/// Returns the value of a missing key in a map of `ctx`. Maps that an expression creates have no such default.
fn missing<'a>(value: &Value<'a>) -> Option<Value<'a>> {
    match value {
        Value::Mapped(_, kind) => Some(access::from_raw(*kind, None)),
        Value::Object(_) | Value::Struct(_) => Some(Value::Null),
        Value::Fields(_) => Some(Value::Str("")),
        _ => None,
    }
}

/// Evaluates `operand.field`.
pub(crate) fn select<'a>(
    evaluation: &mut Evaluation<'a>,
    operand: &Value<'a>,
    field: &'a str,
) -> Outcome<'a> {
    match operand {
        Value::Message(message, bytes) => {
            if let Some(path) = message.alias(field) {
                let mut current = operand.clone();
                for step in path {
                    current = plain(evaluation, &current, step)?;
                }
                return Ok(current);
            }
            let field = message.field(field).ok_or(Error::NoSuchField)?;
            evaluation.charge_bytes(bytes.len())?;
            Ok(access::field(bytes, field))
        }
        Value::Part(part) => {
            let declared = part.message.field(field).ok_or(Error::NoSuchField)?;
            Ok(access::part_field(evaluation.inputs.host, part, declared))
        }
        Value::Optional(inner) => match inner {
            None => Ok(Value::Optional(None)),
            Some(inner) => optional_select(evaluation, inner, field),
        },
        other => index(evaluation, other, &Value::Str(field)),
    }
}

fn plain<'a>(evaluation: &mut Evaluation<'a>, operand: &Value<'a>, field: &'a str) -> Outcome<'a> {
    let Value::Message(message, bytes) = operand else {
        return Err(Error::NoSuchField);
    };
    evaluation.charge_bytes(bytes.len())?;
    let field = message.field(field).ok_or(Error::NoSuchField)?;
    Ok(access::field(bytes, field))
}

/// Evaluates `operand.?field`.
pub(crate) fn optional_select<'a>(
    evaluation: &mut Evaluation<'a>,
    operand: &Value<'a>,
    field: &'a str,
) -> Outcome<'a> {
    match operand {
        Value::Optional(None) => Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => optional_select(evaluation, inner, field),
        Value::Message(..) | Value::Part(_) => {
            if has(evaluation, operand, field)? {
                select(evaluation, operand, field).map(Value::some)
            } else {
                Ok(Value::Optional(None))
            }
        }
        other => {
            let found = lookup(evaluation, other, &Value::Str(field))?;
            Ok(Value::Optional(found.map(Arc::new)))
        }
    }
}

/// Evaluates `has(operand.field)`.
pub(crate) fn has<'a>(
    evaluation: &mut Evaluation<'a>,
    operand: &Value<'a>,
    field: &'a str,
) -> Result<bool, Error> {
    match operand {
        // A missing key of a Struct yields null, which has no fields.
        Value::Null | Value::Optional(None) => Ok(false),
        Value::Optional(Some(inner)) => has(evaluation, inner, field),
        Value::Message(message, bytes) => {
            evaluation.charge_bytes(bytes.len())?;
            if message.alias(field).is_some() {
                return Ok(!is_zero(&select(evaluation, operand, field)?));
            }
            let field = message.field(field).ok_or(Error::NoSuchField)?;
            Ok(access::has_number(bytes, field.number))
        }
        Value::Part(part) => {
            let declared = part.message.field(field).ok_or(Error::NoSuchField)?;
            let host = evaluation.inputs.host;
            Ok(match (part.member)(field) {
                Some(Member::Part(inner) | Member::Alias(inner)) => access::has_part(host, inner),
                Some(member @ (Member::Text(_) | Member::Fields(_) | Member::Value(_))) => {
                    has_member(host, member, declared)
                }
                None => false,
            })
        }
        other => Ok(lookup(evaluation, other, &Value::Str(field))?.is_some()),
    }
}

/// Returns whether a member of a part is set and is not the default of its type.
pub(crate) fn has_member(host: Option<&dyn Host>, member: Member, declared: &Field) -> bool {
    host.is_some() && !is_zero(&access::member_value(host, member, declared))
}

/// Evaluates `operand[index]`.
pub(crate) fn index<'a>(
    evaluation: &mut Evaluation<'a>,
    operand: &Value<'a>,
    index: &Value<'a>,
) -> Outcome<'a> {
    if let Value::Optional(inner) = operand {
        return match inner {
            None => Ok(Value::Optional(None)),
            Some(inner) => optional_index(evaluation, inner, index),
        };
    }
    if let Some(elements) = items(evaluation, operand)? {
        let position = position(index)?;
        return elements
            .get(position)
            .cloned()
            .ok_or(Error::IndexOutOfBounds);
    }
    match lookup(evaluation, operand, index)? {
        Some(value) => Ok(value),
        None => missing(operand).ok_or(Error::NoSuchKey),
    }
}

/// Evaluates `operand[?index]`.
pub(crate) fn optional_index<'a>(
    evaluation: &mut Evaluation<'a>,
    operand: &Value<'a>,
    index: &Value<'a>,
) -> Outcome<'a> {
    if let Value::Optional(inner) = operand {
        return match inner {
            None => Ok(Value::Optional(None)),
            Some(inner) => optional_index(evaluation, inner, index),
        };
    }
    let found = match items(evaluation, operand)? {
        Some(elements) => match position(index) {
            Ok(position) => elements.get(position).cloned(),
            Err(Error::IndexOutOfBounds) => None,
            Err(error) => return Err(error),
        },
        None => lookup(evaluation, operand, index)?,
    };
    Ok(Value::Optional(found.map(Arc::new)))
}

/// Converts a list index, which can be a whole number of any numeric type.
fn position(index: &Value<'_>) -> Result<usize, Error> {
    match index {
        Value::Int(value) => usize::try_from(*value).map_err(|_| Error::IndexOutOfBounds),
        Value::Uint(value) => usize::try_from(*value).map_err(|_| Error::IndexOutOfBounds),
        Value::Double(value) if value.fract() == 0.0 && *value >= 0.0 && *value < 1e15 =>
        {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole, positive and in range"
            )]
            Ok(*value as usize)
        }
        _ => Err(Error::InvalidArgument(
            "a list index must be a whole number",
        )),
    }
}

/// Returns whether a repeated text field contains `needle`, or `None` if `haystack` is another value.
pub(crate) fn contains_text(
    evaluation: &mut Evaluation<'_>,
    haystack: &Value<'_>,
    needle: &Value<'_>,
) -> Result<Option<bool>, Error> {
    let Value::Repeated(
        list @ Repeated {
            kind: Kind::Text, ..
        },
    ) = haystack
    else {
        return Ok(None);
    };
    let Some(text) = needle.as_str() else {
        return Ok(Some(false));
    };
    evaluation.charge_bytes(list.message.len())?;
    let found = wire::fields(list.message)
        .any(|raw| raw.number == list.number && raw.value.bytes() == text.as_bytes());
    Ok(Some(found))
}

/// Returns the number of elements or entries, or `None` if the value is neither a list nor a map.
pub(crate) fn length<'a>(
    evaluation: &mut Evaluation<'a>,
    value: &Value<'a>,
) -> Result<Option<usize>, Error> {
    Ok(match value {
        Value::List(elements) => Some(elements.len()),
        Value::Map(map) => Some(map.entries().len()),
        other => match items(evaluation, other)? {
            Some(elements) => Some(elements.len()),
            None => pairs(evaluation, other)?.map(|pairs| pairs.len()),
        },
    })
}

/// Returns whether a value is the default of its type.
pub(crate) fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null | Value::Optional(None) => true,
        Value::Bool(value) => !value,
        Value::Int(value) | Value::Duration(value) => *value == 0,
        Value::Uint(value) => *value == 0,
        Value::Double(value) => *value == 0.0,
        Value::Str(text) => text.is_empty(),
        Value::Text(text) => text.is_empty(),
        Value::Slice(bytes) | Value::Object(bytes) | Value::Message(_, bytes) => bytes.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::Timestamp(instant) => instant.seconds == 0 && instant.nanos == 0,
        Value::List(elements) => elements.is_empty(),
        Value::Map(map) => map.entries().is_empty(),
        Value::Repeated(list) | Value::Mapped(list, _) => {
            !access::has_number(list.message, list.number)
        }
        Value::Struct(object) => object.fields.is_empty(),
        Value::StructList(values) => values.is_empty(),
        Value::Fields(fields) => {
            let mut empty = true;
            fields.each(&mut |_, _| empty = false);
            empty
        }
        Value::Part(_)
        | Value::Type(_)
        | Value::Optional(Some(_))
        | Value::Ip(_)
        | Value::Cidr(..) => false,
    }
}
