//! A reader of single fields of an encoded message, which does not decode the rest.
//!
//! A decoded message can be hundreds of times larger than its encoding. A call must not cost that memory before it is
//! authorized.

use std::str;

use prost::{
    bytes::Buf as _,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use prost_reflect::{Kind, MessageDescriptor};

/// The field numbers from a message to a nested text or message.
pub(super) type Path = Vec<u32>;

/// The error for bytes that cannot be decoded along a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Returns the path of a field, or an empty path if the message does not define it.
pub(super) fn path(message: &MessageDescriptor, names: &[&str]) -> Path {
    let mut message = Some(message.clone());
    let mut numbers = Vec::new();
    for name in names {
        let Some(field) = message.and_then(|message| message.get_field_by_name(name)) else {
            return Path::new();
        };
        numbers.push(field.number());
        message = match field.kind() {
            Kind::Message(inner) => Some(inner),
            _ => None,
        };
    }
    numbers
}

/// Returns the text at `path`. If a field is repeated, the last one applies, as in protobuf decoders. An absent text is
/// empty.
///
/// # Errors
/// Returns [`Malformed`] if the message cannot be decoded along the path.
pub(super) fn text(message: &[u8], path: &[u32]) -> Result<String, Malformed> {
    let mut last = &[][..];
    visit(message, path, &mut |value| {
        last = value;
        Ok(())
    })?;
    to_text(last)
}

/// Returns the texts at `path`.
///
/// # Errors
/// Returns [`Malformed`] if the message cannot be decoded along the path, or has more than `most` texts.
pub(super) fn texts(message: &[u8], path: &[u32], most: usize) -> Result<Vec<String>, Malformed> {
    let mut texts = Vec::new();
    visit(message, path, &mut |value| {
        if texts.len() == most {
            return Err(Malformed);
        }
        texts.push(to_text(value)?);
        Ok(())
    })?;
    Ok(texts)
}

/// Returns the number of messages or texts at `path`.
///
/// # Errors
/// Returns [`Malformed`] if the message cannot be decoded along the path.
pub(super) fn count(message: &[u8], path: &[u32]) -> Result<usize, Malformed> {
    let mut count = 0;
    visit(message, path, &mut |_| {
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

fn to_text(bytes: &[u8]) -> Result<String, Malformed> {
    let text = str::from_utf8(bytes).map_err(|_| Malformed)?;
    Ok(text.to_owned())
}

/// Calls `act` with each value at `path`. An empty path has no values.
fn visit<'a>(
    mut message: &'a [u8],
    path: &[u32],
    act: &mut dyn FnMut(&'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let Some((wanted, rest)) = path.split_first() else {
        return Ok(());
    };
    while message.has_remaining() {
        let (number, wire) = decode_key(&mut message).map_err(|_| Malformed)?;
        if number != *wanted {
            let context = DecodeContext::default();
            skip_field(wire, number, &mut message, context).map_err(|_| Malformed)?;
            continue;
        }
        if wire != WireType::LengthDelimited {
            return Err(Malformed);
        }
        let length = decode_varint(&mut message).map_err(|_| Malformed)?;
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (value, after) = message.split_at_checked(length).ok_or(Malformed)?;
        message = after;
        if rest.is_empty() {
            act(value)?;
        } else {
            visit(value, rest, act)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use api::{core_v1::User, meta_v1::Metadata};
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    fn descriptor() -> MessageDescriptor {
        api::reflect::descriptor::<User>().unwrap()
    }

    fn named(name: &str) -> User {
        User {
            metadata: Some(Metadata {
                name: name.to_owned(),
                ..Metadata::default()
            }),
            ..User::default()
        }
    }

    #[test]
    fn a_repeated_field_reads_as_decoders_read_it_s11() {
        let path = path(&descriptor(), &["metadata", "name"]);
        let mut bytes = named("first").encode_to_vec();
        bytes.extend(named("second").encode_to_vec());
        bytes.extend(User::default().encode_to_vec());
        let decoded = User::decode(&bytes[..]).unwrap();
        assert_eq!(text(&bytes, &path), Ok(decoded.metadata.unwrap().name));
    }

    #[test]
    fn a_field_with_another_wire_type_is_malformed() {
        let metadata = path(&descriptor(), &["metadata"])[0];
        let tag = u8::try_from(metadata << 3).unwrap();
        assert_eq!(text(&[tag, 1], &[metadata]), Err(Malformed));
    }

    #[test]
    fn texts_are_bounded() {
        let user = User {
            spec: Some(api::core_v1::user::Spec {
                groups: vec!["a".to_owned(), "b".to_owned()],
                ..api::core_v1::user::Spec::default()
            }),
            ..User::default()
        };
        let path = path(&descriptor(), &["spec", "groups"]);
        let bytes = user.encode_to_vec();
        assert_eq!(count(&bytes, &path), Ok(2));
        assert_eq!(texts(&bytes, &path, 2).unwrap(), ["a", "b"]);
        assert_eq!(texts(&bytes, &path, 1), Err(Malformed));
    }

    proptest! {
        /// This reader and a protobuf decoder agree on each message that the decoder accepts.
        #[test]
        fn no_decoder_reads_another_name_s11(
            parts in proptest::collection::vec(any::<(bool, String)>(), 0..4),
            noise in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            let mut bytes = Vec::new();
            for (is_named, part) in &parts {
                if *is_named {
                    bytes.extend(named(part).encode_to_vec());
                } else {
                    bytes.extend(&noise);
                }
            }
            if let Ok(decoded) = User::decode(&bytes[..]) {
                let path = path(&descriptor(), &["metadata", "name"]);
                let name = decoded.metadata.unwrap_or_default().name;
                prop_assert_eq!(text(&bytes, &path), Ok(name));
            }
        }
    }
}
