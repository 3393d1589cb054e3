mod arbitrary;

use proptest::prelude::*;
use prost::{
    Message,
    encoding::{encode_key, encode_varint},
};
use prost_reflect::{DynamicMessage, FileDescriptor, ReflectMessage as _};
use prost_types::{Struct, Value, value};

use super::*;
use crate::{core_v1, meta_v1, platform_v1};

fn key(number: u32, wire: WireType) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(number, wire, &mut bytes);
    bytes
}

fn varint(number: u32, value: u64) -> Vec<u8> {
    let mut bytes = key(number, WireType::Varint);
    encode_varint(value, &mut bytes);
    bytes
}

/// Encodes `content` as the field `number`.
fn nested(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = key(number, WireType::LengthDelimited);
    encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

fn unknown(message: &str, number: u32, path: &str) -> Result<(), Violation> {
    Err(Violation::UnknownField {
        message: message.to_owned(),
        number,
        path: path.to_owned(),
    })
}

fn malformed_at(path: &str) -> Result<(), Violation> {
    Err(Violation::Malformed {
        path: path.to_owned(),
    })
}

const USER: &str = "octelium.api.main.core.v1.User";

#[test]
fn an_unknown_field_is_refused_at_the_top() {
    assert_eq!(
        check::<core_v1::User>(&varint(77, 1)),
        unknown(USER, 77, "")
    );
    let error = check::<core_v1::User>(&varint(77, 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("unknown field number 77 in {USER}")
    );
}

#[test]
fn an_unknown_field_is_refused_deep_inside_with_its_path() {
    let bytes = nested(4, &nested(5, &nested(1, &varint(9, 1))));
    let found = check::<core_v1::User>(&bytes);
    let expected = "spec.session.clientDuration";
    assert_eq!(
        found,
        unknown("octelium.api.main.meta.v1.Duration", 9, expected)
    );
    assert!(
        found
            .unwrap_err()
            .to_string()
            .ends_with(" at spec.session.clientDuration")
    );
}

#[test]
fn an_unknown_field_after_known_ones_is_refused() {
    let user = core_v1::User {
        kind: "User".to_owned(),
        spec: Some(core_v1::user::Spec::default()),
        ..core_v1::User::default()
    };
    let bytes = [user.encode_to_vec(), nested(4, &nested(99, b"x"))].concat();
    assert_eq!(
        check::<core_v1::User>(&bytes),
        unknown(&format!("{USER}.Spec"), 99, "spec")
    );
}

#[test]
fn an_unknown_field_inside_a_map_entry_is_refused() {
    let entry = [nested(1, b"team"), nested(2, b"a"), varint(3, 1)].concat();
    let bytes = nested(3, &nested(7, &entry));
    let expected = "octelium.api.main.meta.v1.Metadata.LabelsEntry";
    assert_eq!(
        check::<core_v1::User>(&bytes),
        unknown(expected, 3, "metadata.labels")
    );
}

#[test]
fn an_unknown_field_inside_the_value_of_a_map_is_refused() {
    // User.status.ext: map<string, Struct>; Struct.fields: map<string, Value>.
    let value = varint(42, 1);
    let fields = [nested(1, b"key"), nested(2, &value)].concat();
    let ext = [nested(1, b"ext"), nested(2, &nested(1, &fields))].concat();
    let bytes = nested(5, &nested(1, &ext));
    let expected = "status.ext.value.fields.value";
    assert_eq!(
        check::<core_v1::User>(&bytes),
        unknown("google.protobuf.Value", 42, expected)
    );
}

#[test]
fn an_unknown_field_inside_a_repeated_message_is_refused() {
    let list = [nested(1, &[]), nested(1, &nested(7, &varint(100, 1)))].concat();
    let found = check::<platform_v1::ApplyRequest>(&list);
    let expected = "octelium.api.main.core.v1.Credential";
    assert_eq!(found, unknown(expected, 100, "resources.credential"));
}

#[test]
fn an_unknown_value_of_an_enum_is_refused() {
    let refused = |value: u64| check::<core_v1::User>(&nested(4, &varint(3, value)));
    let expected = |value| {
        Err(Violation::UnknownEnumValue {
            path: "spec.type".to_owned(),
            value,
        })
    };
    assert_eq!(refused(2), Ok(()));
    assert_eq!(refused(3), expected(3));
    assert_eq!(refused(u64::MAX), expected(-1));
    // Decoders use only the low 32 bits, and so does the check.
    assert_eq!(refused(1 << 32 | 2), Ok(()));
    assert_eq!(refused(1 << 32 | 7), expected(7));
}

#[test]
fn an_unknown_value_among_packed_ones_is_refused() {
    // The contract has no repeated enum yet.
    let repeated = repeated_enum();
    let pack = |values: &[u64]| {
        let mut packed = Vec::new();
        for value in values {
            encode_varint(*value, &mut packed);
        }
        nested(1, &packed)
    };
    assert_eq!(check_as(&repeated, &pack(&[0, 1, 0])), Ok(()));
    assert_eq!(check_as(&repeated, &varint(1, 1)), Ok(()));
    let expected = Violation::UnknownEnumValue {
        path: "list".to_owned(),
        value: 250,
    };
    assert_eq!(check_as(&repeated, &pack(&[0, 1, 250])), Err(expected));
    assert_eq!(
        check_as(&repeated, &nested(1, &[0x80])),
        malformed_at("list")
    );
    // A singular field cannot be packed.
    let single = check::<core_v1::User>(&nested(4, &nested(3, &[1])));
    assert_eq!(single, malformed_at("spec.type"));
}

/// Builds the descriptor of `message Repeated { enum Choice { A = 0; B = 1; } repeated Choice list = 1; }`.
fn repeated_enum() -> MessageDescriptor {
    use prost_types::{
        DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
        FileDescriptorProto,
        field_descriptor_proto::{Label, Type},
    };
    let value = |name: &str, number| EnumValueDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        ..EnumValueDescriptorProto::default()
    };
    let list = FieldDescriptorProto {
        name: Some("list".to_owned()),
        number: Some(1),
        label: Some(Label::Repeated.into()),
        r#type: Some(Type::Enum.into()),
        type_name: Some(".test.Choice".to_owned()),
        ..FieldDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("test.proto".to_owned()),
        package: Some("test".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![DescriptorProto {
            name: Some("Repeated".to_owned()),
            field: vec![list],
            ..DescriptorProto::default()
        }],
        enum_type: vec![EnumDescriptorProto {
            name: Some("Choice".to_owned()),
            value: vec![value("A", 0), value("B", 1)],
            ..EnumDescriptorProto::default()
        }],
        ..FileDescriptorProto::default()
    };
    let mut pool = prost_reflect::DescriptorPool::new();
    pool.add_file_descriptor_proto(file).unwrap();
    pool.get_message_by_name("test.Repeated").unwrap()
}

#[test]
fn a_field_with_a_wrong_wire_type_does_not_hide_unknown_fields() {
    // Session.metadata.annotations, a map, encoded with the wire type of four bytes. A decoder that reads them as a
    // length and an entry would find the unknown field 429 behind it.
    let bytes = [
        0x1a, 0x0a, 0x1a, 0x00, 0xcd, 0x00, 0x00, 0xea, 0x1a, 0x00, 0x1a, 0x00,
    ];
    assert_eq!(
        check::<core_v1::Session>(&bytes),
        malformed_at("metadata.annotations")
    );
    let eight = [key(4, WireType::SixtyFourBit), vec![0; 8]].concat();
    for (bytes, path) in [
        (varint(4, 1), "spec"),
        (eight, "spec"),
        (varint(1, 1), "apiVersion"),
        (nested(4, &nested(7, b"")), "spec.isDisabled"),
        (nested(4, &key(3, WireType::ThirtyTwoBit)), "spec.type"),
    ] {
        assert_eq!(
            check::<core_v1::User>(&bytes),
            malformed_at(path),
            "{bytes:?}"
        );
    }
}

#[test]
fn groups_do_not_hide_unknown_fields() {
    let group = |number| {
        let inside = varint(77, 1);
        [
            key(number, WireType::StartGroup),
            inside,
            key(number, WireType::EndGroup),
        ]
        .concat()
    };
    assert_eq!(check::<core_v1::User>(&group(99)), unknown(USER, 99, ""));
    assert_eq!(
        check::<core_v1::User>(&group(1)),
        malformed_at("apiVersion")
    );
    assert_eq!(check::<core_v1::User>(&group(4)), malformed_at("spec"));
    assert_eq!(
        check::<core_v1::User>(&key(4, WireType::EndGroup)),
        malformed_at("spec")
    );
    let deep = key(1, WireType::StartGroup).repeat(100_000);
    assert_eq!(check::<core_v1::User>(&deep), malformed_at("apiVersion"));
}

#[test]
fn truncated_input_is_refused() {
    for bytes in [
        key(1, WireType::LengthDelimited),
        [key(1, WireType::LengthDelimited), vec![5, b'a']].concat(),
        [key(4, WireType::LengthDelimited), vec![0xff; 9], vec![0x01]].concat(),
        vec![0x80],
        vec![0xff; 11],
        key(1, WireType::SixtyFourBit),
    ] {
        assert!(
            matches!(
                check::<core_v1::User>(&bytes),
                Err(Violation::Malformed { .. })
            ),
            "{bytes:?}"
        );
    }
    // Field number 0, and the wire types 6 and 7.
    for byte in [0x00, 0x06, 0x0e, 0x0f] {
        assert_eq!(check::<core_v1::User>(&[byte, 0]), malformed_at(""));
    }
}

#[test]
fn messages_nest_a_hundred_deep_and_no_deeper() {
    let nest = |depth| {
        let mut bytes = Vec::new();
        for _ in 0..depth {
            // Value.struct_value.fields["k"], which is three messages deep.
            let entry = [nested(1, b"k"), nested(2, &bytes)].concat();
            bytes = nested(5, &nested(1, &entry));
        }
        bytes
    };
    let value = reflect::pool()
        .get_message_by_name("google.protobuf.Value")
        .unwrap();
    assert_eq!(check_as(&value, &nest(33)), Ok(()));
    assert!(matches!(
        check_as(&value, &nest(34)),
        Err(Violation::TooDeep { .. })
    ));
    assert!(matches!(
        check_as(&value, &nest(2_000)),
        Err(Violation::TooDeep { .. })
    ));
}

#[test]
fn a_truncated_message_is_never_reported_as_an_unknown_field() {
    let bytes = some_user().encode_to_vec();
    assert_eq!(check::<core_v1::User>(&bytes), Ok(()));
    for length in 0..bytes.len() {
        let found = check::<core_v1::User>(&bytes[..length]);
        assert!(
            matches!(found, Ok(()) | Err(Violation::Malformed { .. })),
            "{found:?}"
        );
        assert_eq!(
            found.is_ok(),
            core_v1::User::decode(&bytes[..length]).is_ok()
        );
    }
}

fn some_user() -> core_v1::User {
    let attrs = Struct {
        fields: [(
            "a".to_owned(),
            Value {
                kind: Some(value::Kind::BoolValue(true)),
            },
        )]
        .into(),
    };
    core_v1::User {
        api_version: "core/v1".to_owned(),
        metadata: Some(meta_v1::Metadata {
            labels: [("team".to_owned(), "a".to_owned())].into(),
            tags: vec!["one".to_owned(), "two".to_owned()],
            ..meta_v1::Metadata::default()
        }),
        spec: Some(core_v1::user::Spec {
            r#type: core_v1::user::spec::Type::Workload.into(),
            attrs: Some(attrs),
            ..core_v1::user::Spec::default()
        }),
        ..core_v1::User::default()
    }
}

/// Returns every message of the contract, including those of `google.protobuf`.
fn all_messages() -> Vec<MessageDescriptor> {
    fn with_nested(message: MessageDescriptor) -> Vec<MessageDescriptor> {
        let children: Vec<_> = message.child_messages().flat_map(with_nested).collect();
        [vec![message], children].concat()
    }
    reflect::pool()
        .files()
        .flat_map(|file: FileDescriptor| file.messages().collect::<Vec<_>>())
        .flat_map(with_nested)
        .filter(|message| !message.is_map_entry())
        .collect()
}

#[test]
fn all_messages_are_found() {
    assert!(all_messages().len() > 300, "{}", all_messages().len());
}

fn any_message() -> impl Strategy<Value = DynamicMessage> {
    let choose = (any::<prop::sample::Index>(), any::<u64>());
    choose.prop_map(|(index, seed)| {
        let all = all_messages();
        arbitrary::message(&all[index.index(all.len())], seed)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_valid_message_passes(message in any_message()) {
        let bytes = message.encode_to_vec();
        prop_assert_eq!(check_as(&message.descriptor(), &bytes), Ok(()));
    }

    #[test]
    fn a_valid_message_with_an_additional_field_is_refused(message in any_message(), number in 1_u32..20_000) {
        prop_assume!(message.descriptor().get_field(number).is_none());
        let bytes = [message.encode_to_vec(), varint(number, 1)].concat();
        let refused = check_as(&message.descriptor(), &bytes).is_err();
        prop_assert!(refused);
    }

    #[test]
    fn accepted_messages_have_no_unknown_fields(
        message in any_message(), position: prop::sample::Index, byte: u8,
    ) {
        let mut bytes = message.encode_to_vec();
        prop_assume!(!bytes.is_empty());
        let position = position.index(bytes.len());
        bytes[position] = byte;
        if check_as(&message.descriptor(), &bytes).is_ok()
            && let Ok(decoded) = DynamicMessage::decode(message.descriptor(), bytes.as_slice())
        {
            prop_assert!(!arbitrary::has_unknown(&decoded));
        }
    }

    #[test]
    fn any_bytes_are_parsed_without_a_panic(index: prop::sample::Index, bytes: Vec<u8>) {
        let all = all_messages();
        let _ = check_as(&all[index.index(all.len())], &bytes);
    }
}
