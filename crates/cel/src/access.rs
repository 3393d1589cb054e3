//! Reads values from encoded messages and from the host.

use crate::{
    host::Host,
    part::{Member, Part},
    schema::{Field, Kind, Shape},
    value::{Instant, Repeated, Value},
    wire::{self, RawValue},
};

/// Field numbers of the well-known types of `google.protobuf`.
mod tag {
    pub(super) const LIST_VALUES: u32 = 1;
    pub(super) const STRUCT_FIELDS: u32 = 1;
    pub(super) const MAP_KEY: u32 = 1;
    pub(super) const MAP_VALUE: u32 = 2;
    pub(super) const VALUE_NUMBER: u32 = 2;
    pub(super) const VALUE_STRING: u32 = 3;
    pub(super) const VALUE_BOOL: u32 = 4;
    pub(super) const VALUE_STRUCT: u32 = 5;
    pub(super) const VALUE_LIST: u32 = 6;
    pub(super) const SECONDS: u32 = 1;
    pub(super) const NANOS: u32 = 2;
}

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
            number: tag::LIST_VALUES,
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
    let packed_type = packed_wire_type(list.kind);
    let mut output = Vec::new();
    for raw in wire::fields(list.message).filter(|raw| raw.number == list.number) {
        match (raw.value, packed_type) {
            (RawValue::Bytes(packed), Some(wire_type)) => {
                let mut position = 0;
                while let Some(value) = wire::value(packed, &mut position, wire_type) {
                    output.push(from_raw(list.kind, Some(value)));
                }
            }
            (value, _) => output.push(from_raw(list.kind, Some(value))),
        }
    }
    output
}

/// Iterates over the keys and values of a map field with text keys.
pub(crate) fn entries(map: Repeated<'_>) -> impl Iterator<Item = (&str, Value<'_>)> {
    wire::fields(map.message)
        .filter(move |raw| raw.number == map.number)
        .map(move |raw| {
            let (mut key, mut value) = (&[][..], None);
            for part in wire::fields(raw.value.bytes()) {
                match part.number {
                    tag::MAP_KEY => key = part.value.bytes(),
                    tag::MAP_VALUE => value = Some(part.value),
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
        number: tag::STRUCT_FIELDS,
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

/// Reads a field of a part. A field that the host never sets has its default value.
pub(crate) fn part_field<'a>(
    host: Option<&'a dyn Host>,
    part: &Part,
    declared: &Field,
) -> Value<'a> {
    match (part.member)(&declared.name) {
        Some(member) => member_value(host, member, declared),
        None => field(&[], declared),
    }
}

/// Reads a member of a part. Without a host, it has its default value.
pub(crate) fn member_value<'a>(
    host: Option<&'a dyn Host>,
    member: Member,
    declared: &Field,
) -> Value<'a> {
    match (member, host) {
        (Member::Part(part) | Member::Alias(part), _) => Value::Part(part),
        (Member::Text(number), Some(host)) => Value::Str(host.text(number)),
        (Member::Fields(number), Some(host)) => Value::Fields(host.fields(number)),
        (Member::Value(number), Some(host)) => host.value(number),
        (Member::Text(_) | Member::Fields(_) | Member::Value(_), None) => field(&[], declared),
    }
}

/// Returns whether a part is set.
pub(crate) fn has_part(host: Option<&dyn Host>, part: &Part) -> bool {
    match (part.presence, host) {
        (None, _) => true,
        (Some(number), Some(host)) => matches!(host.value(number), Value::Bool(true)),
        (Some(_), None) => false,
    }
}

/// Converts an encoded `google.protobuf.Value`.
fn json(bytes: &[u8]) -> Value<'_> {
    let Some(raw) = wire::fields(bytes).last() else {
        return Value::Null;
    };
    match raw.number {
        tag::VALUE_NUMBER => from_raw(Kind::Double, Some(raw.value)),
        tag::VALUE_STRING => from_raw(Kind::Text, Some(raw.value)),
        tag::VALUE_BOOL => from_raw(Kind::Bool, Some(raw.value)),
        tag::VALUE_STRUCT => from_raw(Kind::Object, Some(raw.value)),
        tag::VALUE_LIST => from_raw(Kind::Array, Some(raw.value)),
        // `null_value`, or a field that a later version adds.
        _ => Value::Null,
    }
}

fn seconds_and_nanos(bytes: &[u8]) -> (i64, i64) {
    let (mut seconds, mut nanos) = (0, 0);
    for raw in wire::fields(bytes) {
        match raw.number {
            tag::SECONDS => seconds = raw.value.number().cast_signed(),
            tag::NANOS => nanos = raw.value.number().cast_signed(),
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

/// Returns the wire type of the elements of a packed field, or `None` if a field of this kind cannot be packed.
fn packed_wire_type(kind: Kind) -> Option<u64> {
    match kind.wire_type() {
        wire::LENGTH_DELIMITED => None,
        packed => Some(packed),
    }
}
