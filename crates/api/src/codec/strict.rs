//! Walks encoded messages beside their descriptors.

use prost::{
    Name,
    bytes::Buf,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::reflect;

/// How deep messages may nest; prost itself stops at 100.
const MAX_DEPTH: usize = 100;

/// Why encoded bytes are not a message of the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A field number that the message does not have.
    #[error("unknown field number {number} in {message}{}", at(path))]
    UnknownField {
        /// Full name of the message.
        message: String,
        /// The number.
        number: u32,
        /// Where the message stands, as `spec.authorization`; empty for the outermost.
        path: String,
    },
    /// A number that the enum does not have.
    #[error("unknown value {value} of {path}")]
    UnknownEnumValue {
        /// Where it stands.
        path: String,
        /// The number.
        value: i32,
    },
    /// Not protobuf, or of the wrong wire type.
    #[error("malformed request{}", at(path))]
    Malformed {
        /// Where it stands.
        path: String,
    },
    /// Nested more than 100 deep.
    #[error("messages are nested too deep{}", at(path))]
    TooDeep {
        /// Where it stands.
        path: String,
    },
}

fn at(path: &str) -> String {
    if path.is_empty() {
        String::new()
    } else {
        format!(" at {path}")
    }
}

/// Checks that `bytes` hold only fields and enum values that the contract knows, at every depth.
///
/// # Errors
/// A [`Violation`] naming the first place.
pub fn check<M: Name>(bytes: &[u8]) -> Result<(), Violation> {
    match reflect::descriptor::<M>() {
        Some(descriptor) => message(&descriptor, bytes, &mut Vec::new()),
        // Well-known types that are not in our files.
        None => Ok(()),
    }
}

fn message(
    descriptor: &MessageDescriptor,
    mut bytes: &[u8],
    path: &mut Vec<String>,
) -> Result<(), Violation> {
    if path.len() > MAX_DEPTH {
        return Err(Violation::TooDeep {
            path: path.join("."),
        });
    }
    while bytes.has_remaining() {
        let (number, wire) = decode_key(&mut bytes).map_err(|_| malformed(path))?;
        let Some(field) = descriptor.get_field(number) else {
            return Err(Violation::UnknownField {
                message: descriptor.full_name().to_owned(),
                number,
                path: path.join("."),
            });
        };
        path.push(field.json_name().to_owned());
        self::field(&field, wire, number, &mut bytes, path)?;
        path.pop();
    }
    Ok(())
}

fn field(
    field: &FieldDescriptor,
    wire: WireType,
    number: u32,
    bytes: &mut &[u8],
    path: &mut Vec<String>,
) -> Result<(), Violation> {
    match (field.kind(), wire) {
        (Kind::Message(nested), WireType::LengthDelimited) => {
            message(&nested, take(bytes, path)?, path)
        }
        (Kind::Enum(values), WireType::Varint) => enum_value(&values, bytes, path),
        (Kind::Enum(values), WireType::LengthDelimited) => {
            let mut packed = take(bytes, path)?;
            while packed.has_remaining() {
                enum_value(&values, &mut packed, path)?;
            }
            Ok(())
        }
        _ => skip_field(wire, number, bytes, DecodeContext::default()).map_err(|_| malformed(path)),
    }
}

fn enum_value(
    values: &prost_reflect::EnumDescriptor,
    bytes: &mut &[u8],
    path: &[String],
) -> Result<(), Violation> {
    let raw = decode_varint(bytes).map_err(|_| malformed(path))?;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "protobuf enums are the low 32 bits"
    )]
    let value = raw as i32;
    if values.get_value(value).is_none() {
        return Err(Violation::UnknownEnumValue {
            path: path.join("."),
            value,
        });
    }
    Ok(())
}

fn take<'a>(bytes: &mut &'a [u8], path: &[String]) -> Result<&'a [u8], Violation> {
    let length = decode_varint(bytes).map_err(|_| malformed(path))?;
    let length = usize::try_from(length).map_err(|_| malformed(path))?;
    let (head, tail) = bytes
        .split_at_checked(length)
        .ok_or_else(|| malformed(path))?;
    *bytes = tail;
    Ok(head)
}

fn malformed(path: &[String]) -> Violation {
    Violation::Malformed {
        path: path.join("."),
    }
}
