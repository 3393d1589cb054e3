//! The agreement between the reader of targets and the decoders of the handlers, for tests and the fuzz target.
#![allow(
    clippy::panic,
    reason = "a failed assertion is a finding of the fuzz target"
)]

use std::{collections::BTreeSet, mem, sync::LazyLock};

use api::{core_v1, meta_v1, platform_v1};
use domain::kind::Kind;
use prost::{
    Message, Name,
    encoding::{WireType, encode_key, encode_varint},
};
use prost_reflect::{DynamicMessage, MessageDescriptor, Value};

use super::{MAX_NAMES, METHODS, Method, Naming, RequestedObject};

/// A method whose calls have an object.
struct Case {
    path: String,
    method: &'static Method,
    input: MessageDescriptor,
    decode: Decode,
}

/// Decodes a message like the handler of a method, and encodes each of its fields once.
type Decode = fn(&[u8]) -> Option<Vec<u8>>;

/// The parts of a decoded message that the reader must find.
struct Expected {
    name: String,
    uid: String,
    user: String,
    policies: Vec<String>,
    inline_policies: usize,
    groups: Vec<String>,
}

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let decoders = decoders();
    let services = api::reflect::pool().services();
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    let cases = methods.filter_map(|descriptor| {
        let service = descriptor.parent_service();
        let path = format!("/{}/{}", service.full_name(), descriptor.name());
        let method = METHODS.get(&path)?;
        let input = descriptor.input();
        let decoder = decoders.iter().find(|(name, _)| name == input.full_name());
        let (_, decode) = decoder.unwrap_or_else(|| panic!("{path}: add a decoder of its input"));
        Some(Case {
            path,
            method,
            decode: *decode,
            input,
        })
    });
    cases.collect()
});

/// Returns the decoders of all inputs, by the full names of the messages.
fn decoders() -> Vec<(String, Decode)> {
    vec![
        decoder::<meta_v1::GetOptions>(),
        decoder::<meta_v1::DeleteOptions>(),
        decoder::<core_v1::User>(),
        decoder::<core_v1::Group>(),
        decoder::<core_v1::Namespace>(),
        decoder::<core_v1::Service>(),
        decoder::<core_v1::Policy>(),
        decoder::<core_v1::Credential>(),
        decoder::<core_v1::Secret>(),
        decoder::<core_v1::Config>(),
        decoder::<core_v1::Session>(),
        decoder::<core_v1::Device>(),
        decoder::<core_v1::Authenticator>(),
        decoder::<core_v1::IdentityProvider>(),
        decoder::<core_v1::ClusterConfig>(),
        decoder::<core_v1::GetClusterConfigRequest>(),
        decoder::<core_v1::GenerateCredentialTokenRequest>(),
        decoder::<platform_v1::RotateCredentialRequest>(),
        decoder::<platform_v1::CreateEnrollmentRequest>(),
        decoder::<platform_v1::ResetAuthenticatorsRequest>(),
    ]
}

fn decoder<M: Message + Name + Default>() -> (String, Decode) {
    (M::full_name(), decode::<M>)
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(M::decode(bytes).ok()?.encode_to_vec())
}

/// Checks that the reader finds what the decoder finds, for a request of the method with this number. The numbers wrap
/// around.
///
/// # Panics
/// Panics if they differ.
pub(crate) fn check(number: usize, message: &[u8]) {
    let Some(case) = CASES.get(number % CASES.len().max(1)) else {
        return;
    };
    let path = &case.path;
    let read = case.method.read(message);
    if let Ok(sent) = &read {
        assert!(size(sent) <= message.len(), "{path}: more than was sent");
    }
    let Some(expected) = case.expected(message) else {
        return;
    };
    let Ok(sent) = read else {
        let most = expected.policies.len().max(expected.groups.len());
        assert!(most > MAX_NAMES, "{path}: refused, but it can be decoded");
        return;
    };
    assert!(expected.policies.len() <= MAX_NAMES, "{path}");
    assert!(expected.groups.len() <= MAX_NAMES, "{path}");
    let policies: BTreeSet<String> = expected.policies.into_iter().collect();
    assert_eq!(sent.name, expected.name, "{path}");
    assert_eq!(sent.uid, expected.uid, "{path}");
    assert_eq!(sent.user, expected.user, "{path}");
    assert_eq!(sent.power.policies, policies, "{path}");
    assert_eq!(sent.power.inline, expected.inline_policies, "{path}");
    assert_eq!(sent.groups, expected.groups, "{path}");
}

/// Returns the bytes of all texts.
fn size(sent: &RequestedObject) -> usize {
    let lists = sent.power.policies.iter().chain(&sent.groups);
    let lists: usize = lists.map(String::len).sum();
    sent.name.len() + sent.uid.len() + sent.user.len() + lists
}

impl Case {
    /// Returns `None` if the handler cannot decode the message.
    fn expected(&self, message: &[u8]) -> Option<Expected> {
        let bytes = (self.decode)(message)?;
        let decoded = DynamicMessage::decode(self.input.clone(), bytes.as_slice());
        let decoded = decoded.unwrap_or_else(|error| panic!("{}: {error}", self.path));
        let naming = self.method.naming;
        let (name, uid) = match naming {
            Naming::New(_) | Naming::Resource(_) => {
                (vec!["metadata", "name"], vec!["metadata", "uid"])
            }
            Naming::Options(_) => (vec!["name"], vec!["uid"]),
            Naming::Reference(_, field) => (vec![field, "name"], vec![field, "uid"]),
        };
        let has_power = matches!(naming, Naming::New(_) | Naming::Resource(_))
            && matches!(
                naming.kind(),
                Kind::User | Kind::Group | Kind::Credential | Kind::Session | Kind::Device
            );
        let of_spec = |path: &[&str]| {
            if has_power {
                values(&decoded, path)
            } else {
                Vec::new()
            }
        };
        Some(Expected {
            name: text(&values(&decoded, &name)),
            uid: text(&values(&decoded, &uid)),
            user: text(&of_spec(&["spec", "user"])),
            policies: texts(&of_spec(&["spec", "authorization", "policies"])),
            inline_policies: of_spec(&["spec", "authorization", "inlinePolicies"]).len(),
            groups: texts(&of_spec(&["spec", "groups"])),
        })
    }
}

/// Returns the values of a field, or none if it is absent.
fn values(message: &DynamicMessage, path: &[&str]) -> Vec<Value> {
    let Some((name, rest)) = path.split_first() else {
        return Vec::new();
    };
    if !message.has_field_by_name(name) {
        return Vec::new();
    }
    let field = message.get_field_by_name(name);
    match (field.as_deref(), rest) {
        (Some(Value::Message(nested)), [_, ..]) => values(nested, rest),
        (Some(Value::List(items)), []) => items.clone(),
        (Some(value), []) => vec![value.clone()],
        (_, _) => Vec::new(),
    }
}

fn text(values: &[Value]) -> String {
    texts(values).pop().unwrap_or_default()
}

fn texts(values: &[Value]) -> Vec<String> {
    let texts = values.iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// Builds a message from instructions, so that most inputs are well-formed. The two high bits of an instruction start a
/// text (0) or a nested message (1), end a nested message (2), or insert a raw byte (3). The low bits are the number of
/// the field. The length and the bytes of a text, and the raw byte, follow the instruction.
pub(crate) fn assemble(mut instructions: &[u8]) -> Vec<u8> {
    let mut outer: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut message = Vec::new();
    while let Some((&instruction, rest)) = instructions.split_first() {
        instructions = rest;
        let number = u32::from(instruction & 0x1f).max(1);
        match instruction >> 6 {
            0 => {
                let Some((&length, rest)) = rest.split_first() else {
                    break;
                };
                let (text, rest) = rest.split_at((usize::from(length) % 32).min(rest.len()));
                put(&mut message, number, text);
                instructions = rest;
            }
            1 => outer.push((number, mem::take(&mut message))),
            2 => close(&mut outer, &mut message),
            _ => {
                let (raw, rest) = rest.split_at(rest.len().min(1));
                message.extend_from_slice(raw);
                instructions = rest;
            }
        }
    }
    while !outer.is_empty() {
        close(&mut outer, &mut message);
    }
    message
}

/// Ends the nested message, if there is one.
fn close(outer: &mut Vec<(u32, Vec<u8>)>, message: &mut Vec<u8>) {
    if let Some((number, around)) = outer.pop() {
        let nested = mem::replace(message, around);
        put(message, number, &nested);
    }
}

fn put(message: &mut Vec<u8>, number: u32, value: &[u8]) {
    encode_key(number, WireType::LengthDelimited, message);
    encode_varint(value.len() as u64, message);
    message.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use api::{
        core_v1::{InlinePolicy, User, user},
        meta_v1::Metadata,
    };

    use super::*;

    fn number(method: &str) -> usize {
        let mut cases = CASES.iter();
        cases.position(|case| case.path.ends_with(method)).unwrap()
    }

    fn user(policies: usize) -> User {
        let authorization = user::spec::Authorization {
            policies: vec!["p".to_owned(); policies],
            inline_policies: vec![InlinePolicy::default()],
        };
        User {
            metadata: Some(Metadata {
                name: "ab".to_owned(),
                uid: "u".to_owned(),
                ..Metadata::default()
            }),
            spec: Some(user::Spec {
                groups: vec!["g".to_owned()],
                authorization: Some(authorization),
                ..user::Spec::default()
            }),
            ..User::default()
        }
    }

    #[test]
    fn every_method_with_an_object_is_compared_s11() {
        assert_eq!(CASES.len(), METHODS.len());
    }

    #[test]
    fn everything_that_the_reader_returns_is_compared_s11() {
        let number = number("/CreateUser");
        let once = user(1).encode_to_vec();
        for bytes in [once.clone(), [&*once, &*once].concat()] {
            let times = bytes.len() / once.len();
            let expected = CASES[number].expected(&bytes).unwrap();
            assert_eq!((&*expected.name, &*expected.uid), ("ab", "u"));
            assert_eq!(expected.policies.len(), times);
            assert_eq!(expected.inline_policies, times);
            assert_eq!(expected.groups.len(), times);
            check(number, &bytes);
        }
        let credential = core_v1::Credential {
            spec: Some(core_v1::credential::Spec {
                user: "a".to_owned(),
                ..core_v1::credential::Spec::default()
            }),
            ..core_v1::Credential::default()
        };
        let number = self::number("/UpdateCredential");
        let bytes = credential.encode_to_vec();
        assert_eq!(CASES[number].expected(&bytes).unwrap().user, "a");
        check(number, &bytes);
    }

    #[test]
    fn too_many_names_may_be_refused_s11() {
        let number = number("/UpdateUser");
        for policies in [MAX_NAMES, MAX_NAMES + 1] {
            check(number, &user(policies).encode_to_vec());
        }
    }

    #[test]
    fn instructions_build_messages() {
        let expected = User {
            metadata: Some(Metadata {
                name: "ab".to_owned(),
                ..Metadata::default()
            }),
            ..User::default()
        };
        for end in [&[0x80][..], &[]] {
            let instructions = [&[0x43, 0x02, 2, b'a', b'b'][..], end].concat();
            let message = assemble(&instructions);
            assert_eq!(User::decode(&*message).unwrap(), expected);
        }
        // A raw byte, an end without a start, and a text that ends early.
        let message = assemble(&[0xc0, 7, 0x80, 0x02, 9, b'a']);
        assert_eq!(message, [7, 0x12, 1, b'a']);
        assert!(assemble(&[0xc0]).is_empty());
    }
}
