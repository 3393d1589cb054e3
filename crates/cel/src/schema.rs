//! Message types as expressions see them: field names, kinds and enum names, loaded once from descriptors.

use std::{
    collections::BTreeMap,
    sync::{LazyLock, OnceLock},
};

use hashbrown::HashMap;
use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, MessageDescriptor,
};

use crate::wire;

/// A message type.
pub struct MessageType {
    /// Full name.
    pub name: String,
    /// Fields that expressions see, in the order of their numbers.
    pub fields: Vec<Field>,
    /// Short names of longer paths.
    pub aliases: &'static [Alias],
    short_name: String,
    by_name: HashMap<String, usize>,
}

/// A short name in a message, and the path of fields that it abbreviates.
pub type Alias = (&'static str, &'static [&'static str]);

/// A field of a message.
pub struct Field {
    /// Name in JSON, which is also the name in expressions.
    pub name: String,
    /// Number.
    pub number: u32,
    /// Cardinality and kind.
    pub shape: Shape,
}

/// The cardinality and kind of a field.
#[derive(Clone, Copy)]
pub enum Shape {
    /// A field without presence. Its zero value is the same as unset.
    One(Kind),
    /// A field with presence: `optional` or part of a oneof. A zero value differs from an unset one.
    Explicit(Kind),
    /// A repeated field.
    List(Kind),
    /// A map, by the kinds of its keys and its values. Only maps with text keys can be read.
    Map(Kind, Kind),
}

/// The type of a value on the wire and in an expression.
#[derive(Clone, Copy)]
pub enum Kind {
    /// `bool`
    Bool,
    /// Signed integer in plain varint encoding.
    Int,
    /// Unsigned integer in plain varint encoding.
    Uint,
    /// `sint32` or `sint64`
    Zigzag,
    /// `fixed32`
    Fixed32,
    /// `sfixed32`
    Signed32,
    /// `fixed64` or `sfixed64`
    Fixed64,
    /// `float`
    Float,
    /// `double`
    Double,
    /// `string`
    Text,
    /// `bytes`
    Bytes,
    /// An enum. Expressions see the names of its values.
    Enum(&'static EnumType),
    /// `google.protobuf.Timestamp`
    Timestamp,
    /// `google.protobuf.Duration`
    Duration,
    /// `google.protobuf.Struct`
    Object,
    /// `google.protobuf.Value`
    Json,
    /// `google.protobuf.ListValue`
    Array,
    /// Any other message.
    Message(MessageRef),
}

/// A reference to a message type. It is resolved when it is read, because messages can contain themselves.
#[derive(Clone, Copy)]
pub struct MessageRef(&'static OnceLock<MessageType>);

impl MessageRef {
    /// Creates a reference to a message that no descriptor defines. The message is never freed.
    pub fn new(message: MessageType) -> Self {
        Self(Box::leak(Box::new(OnceLock::from(message))))
    }

    /// Returns the message type, or an empty one if the descriptors do not define it.
    pub fn get(self) -> &'static MessageType {
        self.0.get().unwrap_or_else(MessageType::empty)
    }

    fn undefined() -> Self {
        static UNDEFINED: OnceLock<MessageType> = OnceLock::new();
        Self(&UNDEFINED)
    }
}

/// The names of the values of an enum.
pub struct EnumType {
    short_name: String,
    by_number: BTreeMap<i32, String>,
}

impl EnumType {
    /// Returns the name of an enum value, or `None` if the descriptor does not define the number.
    pub fn value_name(&'static self, number: i32) -> Option<&'static str> {
        self.by_number.get(&number).map(String::as_str)
    }

    /// Returns the number of the value with this name.
    pub fn number(&self, name: &str) -> Option<i32> {
        let found = self.by_number.iter().find(|(_, value)| *value == name);
        found.map(|(number, _)| *number)
    }

    /// Returns the names of all values, in the order of their numbers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_number.values().map(String::as_str)
    }

    /// Returns the name of the enum in messages for authors of expressions.
    pub fn short_name(&self) -> &str {
        &self.short_name
    }
}

impl MessageType {
    /// Builds a message that no descriptor defines, such as a `ctx`.
    pub fn synthetic(name: &str, fields: Vec<Field>) -> Self {
        let by_name = fields
            .iter()
            .enumerate()
            .map(|(index, field)| (field.name.clone(), index))
            .collect();
        Self {
            name: name.to_owned(),
            fields,
            aliases: &[],
            short_name: name.to_owned(),
            by_name,
        }
    }

    /// Returns a message type without name and fields.
    pub fn empty() -> &'static Self {
        static EMPTY: LazyLock<MessageType> =
            LazyLock::new(|| MessageType::synthetic("", Vec::new()));
        &EMPTY
    }

    /// Returns the field with this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(*self.by_name.get(name)?)
    }

    /// Returns the path that a short name abbreviates.
    pub fn alias(&self, name: &str) -> Option<&'static [&'static str]> {
        let found = self.aliases.iter().find(|(alias, _)| *alias == name);
        found.map(|(_, path)| *path)
    }

    /// Returns the name of the message in messages for authors of expressions.
    pub fn short_name(&self) -> &str {
        &self.short_name
    }
}

impl Kind {
    /// Returns the wire type of a value that is not packed.
    pub(crate) fn wire_type(self) -> u64 {
        match self {
            Self::Bool | Self::Int | Self::Uint | Self::Zigzag | Self::Enum(_) => wire::VARINT,
            Self::Fixed64 | Self::Double => wire::FIXED64,
            Self::Fixed32 | Self::Signed32 | Self::Float => wire::FIXED32,
            Self::Text
            | Self::Bytes
            | Self::Timestamp
            | Self::Duration
            | Self::Object
            | Self::Json
            | Self::Array
            | Self::Message(_) => wire::LENGTH_DELIMITED,
        }
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

/// Functions that choose the fields and names that a [`Schema`] shows to expressions.
#[derive(Clone, Copy)]
pub struct Presentation {
    /// Returns whether expressions must not see a field: full name of the message, and name of the field in the
    /// descriptor.
    pub is_hidden: fn(&str, &str) -> bool,
    /// Returns the short names of longer paths in a message, by its full name.
    pub aliases: fn(&str) -> &'static [Alias],
    /// Shortens the full name of a message or an enum for authors of expressions.
    pub short_name: fn(&str) -> &str,
}

/// The message types of a pool of descriptors.
pub struct Schema {
    messages: HashMap<String, MessageRef>,
}

impl Schema {
    /// Loads all messages of `pool`.
    ///
    /// The types are never freed, because compiled expressions and values refer to them. Load a pool once.
    pub fn load(pool: &DescriptorPool, presentation: Presentation) -> Self {
        let descriptors: Vec<MessageDescriptor> = pool.all_messages().collect();
        let mut cells: HashMap<String, &'static OnceLock<MessageType>> = HashMap::new();
        for descriptor in &descriptors {
            let cell = Box::leak(Box::new(OnceLock::new()));
            cells.insert(descriptor.full_name().to_owned(), cell);
        }
        let messages = cells
            .iter()
            .map(|(name, &cell)| (name.clone(), MessageRef(cell)))
            .collect();
        let mut loader = Loader {
            messages: &messages,
            enums: HashMap::new(),
            presentation,
        };
        for descriptor in &descriptors {
            if let Some(cell) = cells.get(descriptor.full_name()) {
                cell.get_or_init(|| loader.message(descriptor));
            }
        }
        Self { messages }
    }

    /// Returns the message with this full name, or an empty message if it does not exist.
    pub fn message(&self, name: &str) -> &'static MessageType {
        match self.reference(name) {
            Some(message) => message.get(),
            None => MessageType::empty(),
        }
    }

    /// Returns a reference to the message with this full name.
    pub fn reference(&self, name: &str) -> Option<MessageRef> {
        self.messages.get(name).copied()
    }
}

/// Converts descriptors to types.
struct Loader<'m> {
    messages: &'m HashMap<String, MessageRef>,
    enums: HashMap<String, &'static EnumType>,
    presentation: Presentation,
}

impl Loader<'_> {
    fn message(&mut self, descriptor: &MessageDescriptor) -> MessageType {
        let name = descriptor.full_name();
        let is_hidden = self.presentation.is_hidden;
        let mut fields: Vec<Field> = descriptor
            .fields()
            .filter(|field| !is_hidden(name, field.name()))
            .map(|field| Field {
                name: field.json_name().to_owned(),
                number: field.number(),
                shape: self.shape(&field),
            })
            .collect();
        fields.sort_by_key(|field| field.number);
        MessageType {
            aliases: (self.presentation.aliases)(name),
            short_name: (self.presentation.short_name)(name).to_owned(),
            ..MessageType::synthetic(name, fields)
        }
    }

    fn shape(&mut self, field: &FieldDescriptor) -> Shape {
        if field.is_map()
            && let prost_reflect::Kind::Message(entry) = field.kind()
        {
            let key = self.kind(&entry.map_entry_key_field());
            let value = self.kind(&entry.map_entry_value_field());
            return Shape::Map(key, value);
        }
        let kind = self.kind(field);
        match field.cardinality() {
            Cardinality::Repeated => Shape::List(kind),
            _ if field.supports_presence() => Shape::Explicit(kind),
            _ => Shape::One(kind),
        }
    }

    fn kind(&mut self, field: &FieldDescriptor) -> Kind {
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
            Wire::Enum(descriptor) => Kind::Enum(self.enum_type(&descriptor)),
            Wire::Message(descriptor) => match descriptor.full_name() {
                "google.protobuf.Timestamp" => Kind::Timestamp,
                "google.protobuf.Duration" => Kind::Duration,
                "google.protobuf.Struct" => Kind::Object,
                "google.protobuf.Value" => Kind::Json,
                "google.protobuf.ListValue" => Kind::Array,
                name => {
                    let message = self.messages.get(name).copied();
                    Kind::Message(message.unwrap_or_else(MessageRef::undefined))
                }
            },
        }
    }

    fn enum_type(&mut self, descriptor: &EnumDescriptor) -> &'static EnumType {
        let name = descriptor.full_name();
        if let Some(known) = self.enums.get(name) {
            return known;
        }
        let made: &'static EnumType = Box::leak(Box::new(EnumType {
            short_name: (self.presentation.short_name)(name).to_owned(),
            by_number: descriptor
                .values()
                .map(|value| (value.number(), value.name().to_owned()))
                .collect(),
        }));
        self.enums.insert(name.to_owned(), made);
        made
    }
}
