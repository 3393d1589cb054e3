//! The functions `json.parse` and `json.marshal`.

use std::sync::Arc;

use base64::Engine as _;
use serde_json::{Map as Object, Number, Value as Json};

use super::{Evaluation, Line, Outcome, Value};
use crate::{
    access, collection,
    error::Error,
    part::{Member, Part},
    time,
    value::Map,
};

pub(super) const FUNCTIONS: &[Line] = &[
    ("json.parse", &["string -> dyn"], parse),
    ("json.marshal", &["dyn -> string"], marshal),
];

fn parse<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let text = match arguments {
        [value] => value.as_str(),
        _ => None,
    };
    let text = text.ok_or_else(|| Error::overload("json.parse"))?;
    // A value takes many times the memory of its text, so each byte is charged.
    evaluation.charge(text.len())?;
    let json = strict_json::value(text.as_bytes());
    Ok(value(json.map_err(|_| {
        Error::InvalidArgument("invalid JSON, or a repeated key")
    })?))
}

fn value<'a>(json: Json) -> Value<'a> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(flag),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::text(text),
        Json::Array(items) => Value::list(items.into_iter().map(value).collect()),
        Json::Object(entries) => {
            let mut map = Map::default();
            for (key, entry) in entries {
                map.insert(Value::text(key), value(entry));
            }
            Value::Map(Arc::new(map))
        }
    }
}

fn marshal<'a>(evaluation: &mut Evaluation<'a>, arguments: &[Value<'a>]) -> Outcome<'a> {
    let [value] = arguments else {
        return Err(Error::overload("json.marshal"));
    };
    let text = json(evaluation, value, 0)?.to_string();
    evaluation.charge_bytes(text.len())?;
    Ok(Value::text(text))
}

fn json<'a>(evaluation: &mut Evaluation<'a>, value: &Value<'a>, depth: u16) -> Result<Json, Error> {
    evaluation.charge(1)?;
    if depth > 100 {
        return Err(Error::TooExpensive);
    }
    if let Some(text) = value.as_str() {
        evaluation.charge_bytes(text.len())?;
        return Ok(Json::from(text));
    }
    if let Some(bytes) = value.as_bytes() {
        evaluation.charge_bytes(bytes.len())?;
        return Ok(Json::from(base64::prelude::BASE64_STANDARD.encode(bytes)));
    }
    Ok(match value {
        Value::Null | Value::Optional(None) => Json::Null,
        Value::Bool(flag) => Json::Bool(*flag),
        Value::Int(number) => Json::from(*number),
        Value::Uint(number) => Json::from(*number),
        Value::Double(number) => {
            let number = Number::from_f64(*number);
            Json::Number(number.ok_or(Error::InvalidArgument("the number has no JSON form"))?)
        }
        Value::Timestamp(instant) => Json::from(time::format_timestamp(*instant)),
        Value::Duration(nanos) => Json::from(time::format_duration(*nanos)),
        Value::Type(name) => Json::from(&**name),
        Value::Ip(address) => Json::from(address.to_string()),
        Value::Cidr(address, length) => Json::from(format!("{address}/{length}")),
        Value::Optional(Some(inner)) => json(evaluation, inner, depth + 1)?,
        Value::Message(message, bytes) => {
            evaluation.charge_bytes(bytes.len())?;
            let mut object = Object::new();
            for field in &message.fields {
                if access::has_number(bytes, field.number) {
                    let inner = json(evaluation, &access::field(bytes, field), depth + 1)?;
                    object.insert(field.name.clone(), inner);
                }
            }
            Json::Object(object)
        }
        Value::Part(part) => json_part(evaluation, part, depth)?,
        other => composite(evaluation, other, depth)?,
    })
}

fn json_part(
    evaluation: &mut Evaluation<'_>,
    part: &'static Part,
    depth: u16,
) -> Result<Json, Error> {
    let mut object = Object::new();
    for field in &part.message.fields {
        let is_alias = matches!((part.member)(&field.name), Some(Member::Alias(_)));
        if is_alias || !collection::has(evaluation, &Value::Part(part), &field.name)? {
            continue;
        }
        let inner = access::part_field(evaluation.inputs.host, part, field);
        object.insert(field.name.clone(), json(evaluation, &inner, depth + 1)?);
    }
    Ok(Json::Object(object))
}

fn composite<'a>(
    evaluation: &mut Evaluation<'a>,
    value: &Value<'a>,
    depth: u16,
) -> Result<Json, Error> {
    if let Some(items) = collection::items(evaluation, value)? {
        let mut array = Vec::with_capacity(items.len());
        for item in items.iter() {
            array.push(json(evaluation, item, depth + 1)?);
        }
        return Ok(Json::Array(array));
    }
    let pairs = collection::pairs(evaluation, value)?;
    let pairs = pairs.ok_or_else(|| Error::overload("json.marshal"))?;
    let mut object = Object::new();
    for (key, value) in &pairs {
        let key = match key {
            Value::Bool(key) => key.to_string(),
            Value::Int(key) => key.to_string(),
            Value::Uint(key) => key.to_string(),
            other => other.as_str().unwrap_or_default().to_owned(),
        };
        object.insert(key, json(evaluation, value, depth + 1)?);
    }
    Ok(Json::Object(object))
}
