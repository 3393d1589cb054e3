//! Reads values from stored messages, requests and documents.

use super::{
    error::Error,
    node::RequestField,
    value::{Instant, Repeated, RequestPart, Value},
};
use crate::{
    Request,
    schema::{Field, Kind, MessageType, Shape},
    wire::{self, RawValue},
};

/// Converts a singular field to a value. An unset field has the default value of its kind.
pub(crate) fn from_raw(kind: Kind, raw: Option<RawValue<'_>>) -> Value<'_> {
    let number = raw.map_or(0, RawValue::number);
    let bytes = raw.map_or(&[][..], RawValue::bytes);
    match kind {
        Kind::Bool => Value::Bool(number != 0),
        Kind::Int | Kind::Fixed32 | Kind::Fixed64 => Value::Int(number.cast_signed()),
        Kind::Uint => Value::Int(i64::try_from(number).unwrap_or(i64::MAX)),
        Kind::Zigzag => Value::Int((number >> 1).cast_signed() ^ -(number & 1).cast_signed()),
        Kind::Signed32 => Value::Int(i64::from(low_word(number).cast_signed())),
        Kind::Float => Value::Double(f64::from(f32::from_bits(low_word(number)))),
        Kind::Double => Value::Double(f64::from_bits(number)),
        Kind::Text => Value::Str(std::str::from_utf8(bytes).unwrap_or_default()),
        Kind::Bytes => Value::Slice(bytes),
        Kind::Enum(names) => {
            let number = low_word(number).cast_signed();
            match names.value_name(number) {
                Some(name) => Value::Str(name),
                None => Value::text(number.to_string()),
            }
        }
        Kind::Timestamp => {
            let (seconds, nanos) = seconds_and_nanos(bytes);
            Value::Timestamp(Instant {
                seconds,
                nanos: u32::try_from(nanos).unwrap_or(0),
            })
        }
        Kind::Duration => {
            let (seconds, nanos) = seconds_and_nanos(bytes);
            let total = seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
            Value::Duration(total)
        }
        Kind::Object => Value::Object(bytes),
        Kind::Array => Value::Repeated(Repeated {
            message: bytes,
            number: 1,
            kind: Kind::Json,
        }),
        Kind::Json => json(bytes),
        Kind::Message(id) => Value::Message(id.get(), bytes),
    }
}

/// Reads a field of an encoded message.
pub(crate) fn field<'a>(message: &'a [u8], field: &Field) -> Value<'a> {
    match field.shape {
        Shape::One(kind) | Shape::Explicit(kind) => {
            let raw = wire::fields(message)
                .filter(|raw| raw.number == field.number)
                .last();
            from_raw(kind, raw.map(|raw| raw.value))
        }
        Shape::List(kind) => Value::Repeated(Repeated {
            message,
            number: field.number,
            kind,
        }),
        Shape::Map(_, kind) => Value::Mapped(
            Repeated {
                message,
                number: field.number,
                kind,
            },
            kind,
        ),
    }
}

/// Returns whether a field of an encoded message is set, or not empty if it is repeated.
pub(crate) fn has_number(message: &[u8], number: u32) -> bool {
    wire::fields(message).any(|raw| raw.number == number)
}

/// Returns the elements of a repeated field.
pub(crate) fn elements(list: Repeated<'_>) -> Vec<Value<'_>> {
    let mut output = Vec::new();
    for raw in wire::fields(list.message).filter(|raw| raw.number == list.number) {
        match raw.value {
            RawValue::Bytes(packed) if is_packed(list.kind) => {
                let mut position = 0;
                let wire_type = packed_wire_type(list.kind);
                while let Some(value) = wire::value(packed, &mut position, wire_type) {
                    output.push(from_raw(list.kind, Some(value)));
                }
            }
            value => output.push(from_raw(list.kind, Some(value))),
        }
    }
    output
}

/// Iterates over the keys and values of a map field. All maps of the contract have text keys.
pub(crate) fn entries(map: Repeated<'_>) -> impl Iterator<Item = (&str, Value<'_>)> {
    wire::fields(map.message)
        .filter(move |raw| raw.number == map.number)
        .map(move |raw| {
            let (mut key, mut value) = (&[][..], None);
            for part in wire::fields(raw.value.bytes()) {
                match part.number {
                    1 => key = part.value.bytes(),
                    2 => value = Some(part.value),
                    _ => {}
                }
            }
            (
                std::str::from_utf8(key).unwrap_or_default(),
                from_raw(map.kind, value),
            )
        })
}

/// Returns the entries of an encoded `google.protobuf.Struct` as a map field.
pub(crate) fn object(bytes: &[u8]) -> Repeated<'_> {
    Repeated {
        message: bytes,
        number: 1,
        kind: Kind::Json,
    }
}

/// Converts a decoded `google.protobuf.Value`.
pub(crate) fn json_value(value: &prost_types::Value) -> Value<'_> {
    use prost_types::value::Kind as Json;
    match &value.kind {
        None | Some(Json::NullValue(_)) => Value::Null,
        Some(Json::NumberValue(number)) => Value::Double(*number),
        Some(Json::StringValue(text)) => Value::Str(text),
        Some(Json::BoolValue(value)) => Value::Bool(*value),
        Some(Json::StructValue(object)) => Value::Struct(object),
        Some(Json::ListValue(list)) => Value::StructList(&list.values),
    }
}

/// Returns a text field of the request, or `None` if the field is not text.
#[inline]
pub(crate) fn request_text<'a>(request: &'a Request<'a>, field: RequestField) -> Option<&'a str> {
    let grpc = |read: fn(&crate::Grpc<'a>) -> &'a str| request.grpc.as_ref().map_or("", read);
    Some(match field {
        RequestField::Ip => request.ip,
        RequestField::Method => request.method,
        RequestField::Path => request.path,
        RequestField::Uri => request.uri,
        RequestField::Host => request.host,
        RequestField::Scheme => request.scheme,
        RequestField::Protocol => request.protocol,
        RequestField::GrpcPackage => grpc(|grpc| grpc.package),
        RequestField::GrpcService => grpc(|grpc| grpc.service),
        RequestField::GrpcServiceFullName => grpc(|grpc| grpc.service_full_name),
        RequestField::GrpcMethod => grpc(|grpc| grpc.method),
        RequestField::Size
        | RequestField::Headers
        | RequestField::Query
        | RequestField::Body
        | RequestField::BodyMap
        | RequestField::GrpcTarget => return None,
    })
}

/// Returns a field of the request as a value.
pub(crate) fn request_field<'a>(request: &'a Request<'a>, field: RequestField) -> Value<'a> {
    match field {
        RequestField::Size => Value::Int(request.size),
        RequestField::Headers => Value::Fields(request.headers),
        RequestField::Query => Value::Fields(request.query),
        RequestField::Body => Value::Slice(request.body),
        RequestField::BodyMap => match request.body_map {
            Some(object) => Value::Struct(object),
            None => Value::Object(&[]),
        },
        RequestField::GrpcTarget => Value::Message(
            crate::schema::message("octelium.api.main.core.v1.RequestContext.Request.GRPC.Target"),
            request.grpc.map_or(&[], |grpc| grpc.target),
        ),
        text => Value::Str(request_text(request, text).unwrap_or_default()),
    }
}

/// Returns a field of a part of the request, by name.
pub(crate) fn request_member<'a>(
    request: Option<&'a Request<'a>>,
    part: RequestPart,
    message: &'static MessageType,
    name: &str,
) -> Result<Value<'a>, Error> {
    match (part, name) {
        (RequestPart::Request | RequestPart::Grpc, "http") => {
            return Ok(Value::Request(RequestPart::Http));
        }
        (RequestPart::Request, "grpc") => return Ok(Value::Request(RequestPart::Grpc)),
        _ => {}
    }
    let declared = message.field(name).ok_or(Error::NoSuchField)?;
    match (RequestField::named(part, name), request) {
        (Some(known), Some(request)) => Ok(request_field(request, known)),
        _ => Ok(field(&[], declared)),
    }
}

/// Returns the message type of a part of the request.
pub(crate) fn request_type(part: RequestPart) -> &'static MessageType {
    crate::schema::message(match part {
        RequestPart::Request => "octelium.api.main.core.v1.RequestContext.Request",
        RequestPart::Http => "octelium.api.main.core.v1.RequestContext.Request.HTTP",
        RequestPart::Grpc => "octelium.api.main.core.v1.RequestContext.Request.GRPC",
    })
}

/// Converts an encoded `google.protobuf.Value`.
fn json(bytes: &[u8]) -> Value<'_> {
    let Some(raw) = wire::fields(bytes).last() else {
        return Value::Null;
    };
    match raw.number {
        2 => from_raw(Kind::Double, Some(raw.value)),
        3 => from_raw(Kind::Text, Some(raw.value)),
        4 => from_raw(Kind::Bool, Some(raw.value)),
        5 => from_raw(Kind::Object, Some(raw.value)),
        6 => from_raw(Kind::Array, Some(raw.value)),
        _ => Value::Null,
    }
}

fn seconds_and_nanos(bytes: &[u8]) -> (i64, i64) {
    let (mut seconds, mut nanos) = (0, 0);
    for raw in wire::fields(bytes) {
        match raw.number {
            1 => seconds = raw.value.number().cast_signed(),
            2 => nanos = raw.value.number().cast_signed(),
            _ => {}
        }
    }
    (seconds, nanos)
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "32-bit values are kept in the low word"
)]
fn low_word(number: u64) -> u32 {
    number as u32
}

fn is_packed(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Text
            | Kind::Bytes
            | Kind::Timestamp
            | Kind::Duration
            | Kind::Object
            | Kind::Json
            | Kind::Array
            | Kind::Message(_)
    )
}

fn packed_wire_type(kind: Kind) -> u64 {
    match kind {
        Kind::Fixed64 | Kind::Double => 1,
        Kind::Fixed32 | Kind::Signed32 | Kind::Float => 5,
        _ => 0,
    }
}
