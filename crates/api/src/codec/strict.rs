//! Strict validation of encoded messages against their descriptors.

use prost::{
    DecodeError, Name,
    bytes::Buf,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use crate::reflect;

/// The deepest nesting of messages. prost itself stops at 100.
const MAX_DEPTH: usize = 100;

/// The reason why bytes are not a message of the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A field number that the message does not define.
    #[error("unknown field number {number} in {message}{}", at(path))]
    UnknownField {
        /// The full name of the message.
        message: String,
        /// The field number.
        number: u32,
        /// The path of the message, such as `spec.authorization`; empty for the outermost message.
        path: String,
    },
    /// A number that the enum does not define.
    #[error("unknown value {value} of {path}")]
    UnknownEnumValue {
        /// The path of the field.
        path: String,
        /// The number.
        value: i32,
    },
    /// Invalid protobuf, or a field with the wrong wire type.
    #[error("malformed request{}", at(path))]
    Malformed {
        /// The path of the field.
        path: String,
    },
    /// Messages are nested more than 100 levels deep.
    #[error("messages are nested too deep{}", at(path))]
    TooDeep {
        /// The path of the message.
        path: String,
    },
}

impl Violation {
    /// Prepends `field` to the path.
    fn inside(mut self, field: &str) -> Self {
        let (Self::UnknownField { path, .. }
        | Self::UnknownEnumValue { path, .. }
        | Self::Malformed { path }
        | Self::TooDeep { path }) = &mut self;
        if path.is_empty() {
            field.clone_into(path);
        } else {
            path.insert(0, '.');
            path.insert_str(0, field);
        }
        self
    }
}

fn at(path: &str) -> String {
    if path.is_empty() {
        String::new()
    } else {
        format!(" at {path}")
    }
}

/// Checks that `bytes` contain only fields and enum values of the contract, at every depth.
///
/// # Errors
/// Returns a [`Violation`] with the path of the first invalid field.
pub fn check<M: Name>(bytes: &[u8]) -> Result<(), Violation> {
    match reflect::descriptor::<M>() {
        Some(descriptor) => check_as(&descriptor, bytes),
        // A well-known type that our files do not import.
        None => Ok(()),
    }
}

/// Checks `bytes` like [`check`], for the message that `descriptor` describes.
///
/// # Errors
/// Returns a [`Violation`] with the path of the first invalid field.
pub fn check_as(descriptor: &MessageDescriptor, bytes: &[u8]) -> Result<(), Violation> {
    message(descriptor, bytes, MAX_DEPTH)
}

fn message(
    descriptor: &MessageDescriptor,
    mut bytes: &[u8],
    depth_left: usize,
) -> Result<(), Violation> {
    let depth_left = depth_left.checked_sub(1).ok_or(Violation::TooDeep {
        path: String::new(),
    })?;
    while bytes.has_remaining() {
        let (number, wire) = decode_key(&mut bytes).map_err(malformed)?;
        let Some(field) = descriptor.get_field(number) else {
            return Err(Violation::UnknownField {
                message: descriptor.full_name().to_owned(),
                number,
                path: String::new(),
            });
        };
        self::field(&field, wire, number, &mut bytes, depth_left)
            .map_err(|violation| violation.inside(field.json_name()))?;
    }
    Ok(())
}

fn field(
    field: &FieldDescriptor,
    wire: WireType,
    number: u32,
    bytes: &mut &[u8],
    depth_left: usize,
) -> Result<(), Violation> {
    // A decoder might interpret the bytes with another wire type than the encoded one, and see other fields than this
    // check.
    let is_packed = field.is_list() && wire == WireType::LengthDelimited;
    if wire != wire_type(&field.kind()) && !(is_packed && is_packable(&field.kind())) {
        return Err(Violation::Malformed {
            path: String::new(),
        });
    }
    match field.kind() {
        Kind::Message(nested) => message(&nested, take(bytes)?, depth_left),
        Kind::Enum(values) if is_packed => {
            let mut packed = take(bytes)?;
            while packed.has_remaining() {
                enum_value(&values, &mut packed)?;
            }
            Ok(())
        }
        Kind::Enum(values) => enum_value(&values, bytes),
        _ => skip_field(wire, number, bytes, DecodeContext::default()).map_err(malformed),
    }
}

/// Returns the wire type of a single value. The contract has no groups.
fn wire_type(kind: &Kind) -> WireType {
    match kind {
        Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Bool
        | Kind::Enum(_) => WireType::Varint,
        Kind::Fixed32 | Kind::Sfixed32 | Kind::Float => WireType::ThirtyTwoBit,
        Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => WireType::SixtyFourBit,
        Kind::String | Kind::Bytes | Kind::Message(_) => WireType::LengthDelimited,
    }
}

/// Returns whether a list of such values can be encoded in packed form.
fn is_packable(kind: &Kind) -> bool {
    wire_type(kind) != WireType::LengthDelimited
}

fn enum_value(values: &EnumDescriptor, bytes: &mut &[u8]) -> Result<(), Violation> {
    let raw = decode_varint(bytes).map_err(malformed)?;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "protobuf enums are the low 32 bits"
    )]
    let value = raw as i32;
    if values.get_value(value).is_none() {
        return Err(Violation::UnknownEnumValue {
            path: String::new(),
            value,
        });
    }
    Ok(())
}

fn take<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Violation> {
    let length = decode_varint(bytes).map_err(malformed)?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (head, tail) = bytes.split_at_checked(length).ok_or(Violation::Malformed {
        path: String::new(),
    })?;
    *bytes = tail;
    Ok(head)
}

fn malformed(_: DecodeError) -> Violation {
    Violation::Malformed {
        path: String::new(),
    }
}

#[cfg(test)]
mod tests;
