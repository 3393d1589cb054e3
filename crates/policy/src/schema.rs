//! The messages of the contract as expressions see them: field names, kinds and enum names, built once.

use std::{collections::BTreeMap, sync::OnceLock};

use hashbrown::HashMap;
use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, MessageDescriptor,
};

use crate::cel::types::Type;

pub(crate) struct MessageType {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
    by_name: HashMap<String, usize>,
    /// Short names, each with the path that it abbreviates.
    pub(crate) aliases: &'static [(&'static str, &'static [&'static str])],
}

pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) number: u32,
    pub(crate) shape: Shape,
}

/// The cardinality and kind of a field.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    One(Kind),
    /// A field with presence: `optional` or part of a oneof. A zero value differs from an unset one.
    Explicit(Kind),
    List(Kind),
    Map(Kind, Kind),
}

/// The type of a value on the wire and in an expression.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Bool,
    /// Signed integer in plain varint encoding.
    Int,
    /// Unsigned integer in plain varint encoding.
    Uint,
    Zigzag,
    Fixed32,
    Signed32,
    Fixed64,
    Float,
    Double,
    Text,
    Bytes,
    Enum(&'static EnumType),
    Timestamp,
    Duration,
    /// `google.protobuf.Struct`
    Object,
    /// `google.protobuf.Value`
    Json,
    /// `google.protobuf.ListValue`
    Array,
    Message(MessageId),
}

/// Index of a message type. An index instead of a reference, because messages can contain themselves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageId(usize);

impl MessageId {
    pub(crate) fn get(self) -> &'static MessageType {
        let types = &schema().types;
        types.get(self.0).unwrap_or(&schema().empty)
    }
}

pub(crate) struct EnumType {
    pub(crate) name: String,
    by_number: BTreeMap<i32, String>,
}

impl EnumType {
    /// Returns the name of an enum value, or `None` if the contract does not define the number.
    pub(crate) fn value_name(&'static self, number: i32) -> Option<&'static str> {
        self.by_number.get(&number).map(String::as_str)
    }

    pub(crate) fn number(&self, name: &str) -> Option<i32> {
        let found = self.by_number.iter().find(|(_, value)| *value == name);
        found.map(|(number, _)| *number)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_number.values().map(String::as_str)
    }

    pub(crate) fn short_name(&self) -> &str {
        short(&self.name)
    }
}

impl MessageType {
    /// Builds a message that no `.proto` file defines, such as the `ctx` of a rule list.
    pub(crate) fn synthetic(name: &str, fields: Vec<Field>) -> Self {
        let by_name = fields
            .iter()
            .enumerate()
            .map(|(index, field)| (field.name.clone(), index))
            .collect();
        Self {
            aliases: aliases(name),
            name: name.to_owned(),
            fields,
            by_name,
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(*self.by_name.get(name)?)
    }

    pub(crate) fn alias(&self, name: &str) -> Option<&'static [&'static str]> {
        let found = self.aliases.iter().find(|(alias, _)| *alias == name);
        found.map(|(_, path)| *path)
    }

    pub(crate) fn short_name(&self) -> &str {
        short(&self.name)
    }
}

impl Shape {
    /// Returns whether the field is repeated or a map.
    pub(crate) fn is_plural(self) -> bool {
        match self {
            Self::List(_) | Self::Map(..) => true,
            Self::One(_) | Self::Explicit(_) => false,
        }
    }
}

impl Field {
    /// Returns the type of an expression that selects this field.
    pub(crate) fn ty(&self) -> Type {
        match self.shape {
            Shape::One(kind) | Shape::Explicit(kind) => kind.ty(),
            Shape::List(kind) => Type::list(kind.ty()),
            Shape::Map(key, value) => Type::map(key.ty(), value.ty()),
        }
    }
}

impl Kind {
    pub(crate) fn ty(self) -> Type {
        match self {
            Self::Bool => Type::Bool,
            Self::Int
            | Self::Uint
            | Self::Zigzag
            | Self::Fixed32
            | Self::Signed32
            | Self::Fixed64 => Type::Int,
            Self::Float | Self::Double => Type::Double,
            Self::Text => Type::Text,
            Self::Bytes => Type::Bytes,
            Self::Enum(names) => Type::Enum(names),
            Self::Timestamp => Type::Timestamp,
            Self::Duration => Type::Duration,
            Self::Object => Type::map(Type::Text, Type::Dyn),
            Self::Json => Type::Dyn,
            Self::Array => Type::list(Type::Dyn),
            Self::Message(id) => Type::Message(id.get()),
        }
    }
}

/// Returns the message with this full name, or an empty message if it does not exist.
pub(crate) fn message(name: &str) -> &'static MessageType {
    message_id(name).map_or(&schema().empty, MessageId::get)
}

/// Returns the index of the message with this full name.
pub(crate) fn message_id(name: &str) -> Option<MessageId> {
    schema().by_name.get(name).copied().map(MessageId)
}

struct Schema {
    types: Vec<MessageType>,
    by_name: HashMap<String, usize>,
    empty: MessageType,
}

fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| build(api::reflect::pool()))
}

fn build(pool: &DescriptorPool) -> Schema {
    let descriptors: Vec<MessageDescriptor> = pool.all_messages().collect();
    let by_name: HashMap<String, usize> = descriptors
        .iter()
        .enumerate()
        .map(|(index, descriptor)| (descriptor.full_name().to_owned(), index))
        .collect();
    let mut enums: HashMap<String, &'static EnumType> = HashMap::new();
    let types = descriptors
        .iter()
        .map(|descriptor| {
            let mut fields: Vec<Field> = descriptor
                .fields()
                .filter(|field| !is_secret(descriptor.full_name(), field.name()))
                .map(|field| Field {
                    name: field.json_name().to_owned(),
                    number: field.number(),
                    shape: shape(&field, &by_name, &mut enums),
                })
                .collect();
            fields.sort_by_key(|field| field.number);
            MessageType::synthetic(descriptor.full_name(), fields)
        })
        .collect();
    Schema {
        types,
        by_name,
        empty: MessageType::synthetic("", Vec::new()),
    }
}

fn shape(
    field: &FieldDescriptor,
    by_name: &HashMap<String, usize>,
    enums: &mut HashMap<String, &'static EnumType>,
) -> Shape {
    if field.is_map()
        && let prost_reflect::Kind::Message(entry) = field.kind()
    {
        let key = kind(&entry.map_entry_key_field(), by_name, enums);
        let value = kind(&entry.map_entry_value_field(), by_name, enums);
        return Shape::Map(key, value);
    }
    let kind = kind(field, by_name, enums);
    match field.cardinality() {
        Cardinality::Repeated => Shape::List(kind),
        _ if field.supports_presence() => Shape::Explicit(kind),
        _ => Shape::One(kind),
    }
}

fn kind(
    field: &FieldDescriptor,
    by_name: &HashMap<String, usize>,
    enums: &mut HashMap<String, &'static EnumType>,
) -> Kind {
    use prost_reflect::Kind as Wire;
    match field.kind() {
        Wire::Bool => Kind::Bool,
        Wire::Int32 | Wire::Int64 => Kind::Int,
        Wire::Uint32 | Wire::Uint64 => Kind::Uint,
        Wire::Sint32 | Wire::Sint64 => Kind::Zigzag,
        Wire::Fixed32 => Kind::Fixed32,
        Wire::Sfixed32 => Kind::Signed32,
        Wire::Fixed64 | Wire::Sfixed64 => Kind::Fixed64,
        Wire::Float => Kind::Float,
        Wire::Double => Kind::Double,
        Wire::String => Kind::Text,
        Wire::Bytes => Kind::Bytes,
        Wire::Enum(descriptor) => Kind::Enum(enum_type(&descriptor, enums)),
        Wire::Message(descriptor) => match descriptor.full_name() {
            "google.protobuf.Timestamp" => Kind::Timestamp,
            "google.protobuf.Duration" => Kind::Duration,
            "google.protobuf.Struct" => Kind::Object,
            "google.protobuf.Value" => Kind::Json,
            "google.protobuf.ListValue" => Kind::Array,
            name => Kind::Message(MessageId(by_name.get(name).copied().unwrap_or(usize::MAX))),
        },
    }
}

fn enum_type(
    descriptor: &EnumDescriptor,
    enums: &mut HashMap<String, &'static EnumType>,
) -> &'static EnumType {
    if let Some(known) = enums.get(descriptor.full_name()) {
        return known;
    }
    // Leaked once for each enum of the contract; the schema refers to it and lives as long as the program.
    let made: &'static EnumType = Box::leak(Box::new(EnumType {
        name: descriptor.full_name().to_owned(),
        by_number: descriptor
            .values()
            .map(|value| (value.number(), value.name().to_owned()))
            .collect(),
    }));
    enums.insert(descriptor.full_name().to_owned(), made);
    made
}

/// Returns whether a field is secret. Secret fields are not visible to expressions.
fn is_secret(message: &str, field: &str) -> bool {
    let Some(message) = message.strip_prefix("octelium.api.main.core.v1.") else {
        return false;
    };
    matches!(
        (message, field),
        (
            "Authenticator.Status",
            "authenticationAttempt" | "lastAuthenticationAttempts"
        ) | ("Authenticator.Status.Info.TOTP", "sharedSecret")
            | (
                "Authenticator.Status.Info.TPM",
                "akBytes" | "attestationParameters"
            )
            | ("Secret" | "Config", "data")
            | (
                "Session.Status.Authentication"
                    | "Session.Status.Authentication.Info.Credential"
                    | "Credential.Status",
                "tokenID" | "previousTokenID"
            )
    )
}

/// Returns the documented short names of longer paths in a message.
fn aliases(message: &str) -> &'static [(&'static str, &'static [&'static str])] {
    match message {
        "octelium.api.main.core.v1.Session.Status.Authentication.Info.Authenticator" => &[
            ("userPresent", &["info", "fido", "userPresent"]),
            ("userVerified", &["info", "fido", "userVerified"]),
            ("isHardware", &["info", "fido", "isHardware"]),
            ("isSoftware", &["info", "fido", "isSoftware"]),
            (
                "isAttestationVerified",
                &["info", "fido", "isAttestationVerified"],
            ),
            ("isPasskey", &["info", "fido", "isPasskey"]),
            ("aaguid", &["info", "fido", "aaguid"]),
        ],
        _ => &[],
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix("octelium.api.main.")
        .and_then(|rest| rest.split_once(".v1."))
        .map_or(name, |(_, rest)| rest)
}
