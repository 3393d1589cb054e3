//! Decodes a tree into a message of a given descriptor, by the rules of protobuf JSON.

use std::collections::{BTreeMap, HashMap};

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use prost_types::{ListValue, Struct, Timestamp, value::Kind as Json};

use super::{
    Position, scalar,
    scalar::NotInteger,
    suggest::closest,
    tree::{Content, Key, Node},
};

/// A decoder that collects problems.
pub(super) struct Decoder {
    pub(super) problems: Vec<(Position, String)>,
    limit: usize,
}

impl Decoder {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            problems: Vec::new(),
            limit,
        }
    }

    pub(super) fn problem(&mut self, position: Position, message: String) {
        if self.problems.len() < self.limit {
            self.problems.push((position, message));
        }
    }

    pub(super) fn unknown_field<'a>(
        &mut self,
        key: &Key,
        of: &str,
        known: impl Iterator<Item = &'a str>,
    ) {
        let hint = closest(&key.name, known)
            .map(|closest| format!("; did you mean `{closest}`?"))
            .unwrap_or_default();
        let name = scalar::excerpt(&key.name);
        self.problem(
            key.position,
            format!("unknown field `{name}` in {of}{hint}"),
        );
    }

    /// Returns `None` if there was a problem, which is then recorded.
    pub(super) fn message(
        &mut self,
        node: &Node,
        descriptor: &MessageDescriptor,
        path: &str,
    ) -> Option<DynamicMessage> {
        match descriptor.full_name() {
            "google.protobuf.Timestamp" => return self.timestamp(node, descriptor, path),
            "google.protobuf.Struct" => return self.structure(node, descriptor, path),
            _ => {}
        }
        let Content::Mapping(entries) = &node.content else {
            return self.mismatch(node, path, "a mapping");
        };
        let mut message = DynamicMessage::new(descriptor.clone());
        let mut chosen: HashMap<String, &str> = HashMap::new();
        for (key, value) in entries {
            let Some(field) = descriptor.get_field_by_json_name(&key.name) else {
                let names: Vec<String> = descriptor
                    .fields()
                    .map(|field| field.json_name().to_owned())
                    .collect();
                self.unknown_field(key, path, names.iter().map(String::as_str));
                continue;
            };
            if value.is_null() {
                continue;
            }
            if let Some(oneof) = field.containing_oneof()
                && let Some(first) = chosen.insert(oneof.full_name().to_owned(), &key.name)
            {
                self.problem(
                    key.position,
                    format!("`{}` and `{first}` exclude each other in {path}", key.name),
                );
                continue;
            }
            let path = format!("{path}.{}", key.name);
            if let Some(value) = self.field(value, &field, &path) {
                message.set_field(&field, value);
            }
        }
        Some(message)
    }

    fn field(&mut self, node: &Node, field: &FieldDescriptor, path: &str) -> Option<Value> {
        if field.is_map() {
            self.map(node, field, path)
        } else if field.is_list() {
            let Content::Sequence(items) = &node.content else {
                return self.mismatch(node, path, "a list");
            };
            let mut values = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                if item.is_null() {
                    self.problem(item.position, format!("{path} is empty"));
                } else {
                    values.extend(self.single(item, &field.kind(), &path));
                }
            }
            Some(Value::List(values))
        } else {
            self.single(node, &field.kind(), path)
        }
    }

    /// Decodes a map. Every protobuf map of the contract has string keys.
    fn map(&mut self, node: &Node, field: &FieldDescriptor, path: &str) -> Option<Value> {
        let Content::Mapping(entries) = &node.content else {
            return self.mismatch(node, path, "a mapping");
        };
        let Kind::Message(entry) = field.kind() else {
            return None;
        };
        let kind = entry.map_entry_value_field().kind();
        let mut values = HashMap::new();
        for (key, value) in entries {
            let path = format!("{path}.{}", scalar::excerpt(&key.name));
            if value.is_null() {
                self.problem(value.position, format!("{path} is empty"));
            } else if let Some(value) = self.single(value, &kind, &path) {
                values.insert(MapKey::String(key.name.clone()), value);
            }
        }
        Some(Value::Map(values))
    }

    fn single(&mut self, node: &Node, kind: &Kind, path: &str) -> Option<Value> {
        match kind {
            Kind::Message(descriptor) => self.message(node, descriptor, path).map(Value::Message),
            Kind::String => match node.text() {
                Some(text) => Some(Value::String(text.to_owned())),
                None => self.mismatch(node, path, "a string"),
            },
            Kind::Bytes => match node.text() {
                Some(text) => match scalar::base64(text) {
                    Some(bytes) => Some(Value::Bytes(bytes.into())),
                    None => self.note(node, format!("{path} must be base64")),
                },
                None => self.mismatch(node, path, "a string in base64"),
            },
            Kind::Bool => match plain(node).map(scalar::boolean) {
                Some(Some(value)) => Some(Value::Bool(value)),
                _ => self.mismatch(node, path, "`true` or `false`"),
            },
            Kind::Enum(values) => {
                let value = node.text().and_then(|text| values.get_value_by_name(text));
                match value {
                    Some(value) => Some(Value::EnumNumber(value.number())),
                    None => self.unknown_value(node, values, path),
                }
            }
            Kind::Double => self.float(node, path).map(Value::F64),
            #[allow(
                clippy::cast_possible_truncation,
                reason = "the field has the precision of an f32"
            )]
            Kind::Float => self.float(node, path).map(|value| Value::F32(value as f32)),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => self.integer(node, path).map(Value::I32),
            Kind::Uint32 | Kind::Fixed32 => self.integer(node, path).map(Value::U32),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => self.integer(node, path).map(Value::I64),
            Kind::Uint64 | Kind::Fixed64 => self.integer(node, path).map(Value::U64),
        }
    }

    fn integer<T: TryFrom<i128>>(&mut self, node: &Node, path: &str) -> Option<T> {
        let text = match &node.content {
            Content::Scalar { text, plain: true } => text,
            // Protobuf JSON writes 64-bit numbers as strings.
            Content::Scalar { text, plain: false } if size_of::<T>() == 8 => text,
            _ => return self.mismatch(node, path, "a whole number"),
        };
        match scalar::integer(text) {
            Ok(value) => match T::try_from(value) {
                Ok(value) => Some(value),
                Err(_) => self.note(
                    node,
                    format!("{path}: {} is out of range", scalar::excerpt(text)),
                ),
            },
            Err(NotInteger::LeadingZero) => self.note(
                node,
                format!(
                    "{path}: a leading 0 means octal to some readers; leave it out or write `0o`"
                ),
            ),
            Err(NotInteger::Other) => self.mismatch(node, path, "a whole number"),
        }
    }

    fn float(&mut self, node: &Node, path: &str) -> Option<f64> {
        match plain(node).and_then(scalar::float) {
            Some(value) => Some(value),
            None => self.mismatch(node, path, "a number"),
        }
    }

    fn timestamp(
        &mut self,
        node: &Node,
        descriptor: &MessageDescriptor,
        path: &str,
    ) -> Option<DynamicMessage> {
        let time = node.text().filter(|text| text.contains(['T', 't']));
        match time.and_then(|text| text.parse::<Timestamp>().ok()) {
            Some(time) => transcode(descriptor, &time),
            None => self.note(
                node,
                format!(
                    "{path} must be a time such as 2026-12-31T23:59:59Z, found {}",
                    node.describe()
                ),
            ),
        }
    }

    fn structure(
        &mut self,
        node: &Node,
        descriptor: &MessageDescriptor,
        path: &str,
    ) -> Option<DynamicMessage> {
        let Content::Mapping(entries) = &node.content else {
            return self.mismatch(node, path, "a mapping");
        };
        let fields = self.json_fields(entries, path);
        transcode(descriptor, &Struct { fields })
    }

    fn json_fields(
        &mut self,
        entries: &[(Key, Node)],
        path: &str,
    ) -> BTreeMap<String, prost_types::Value> {
        let mut fields = BTreeMap::new();
        for (key, value) in entries {
            let path = format!("{path}.{}", scalar::excerpt(&key.name));
            if let Some(value) = self.json(value, &path) {
                fields.insert(key.name.clone(), value);
            }
        }
        fields
    }

    /// Decodes a value without a schema. Its YAML form determines its type; an ambiguous form is an error.
    fn json(&mut self, node: &Node, path: &str) -> Option<prost_types::Value> {
        let kind = match &node.content {
            Content::Mapping(entries) => Json::StructValue(Struct {
                fields: self.json_fields(entries, path),
            }),
            Content::Sequence(items) => Json::ListValue(ListValue {
                values: items
                    .iter()
                    .enumerate()
                    .filter_map(|(index, item)| self.json(item, &format!("{path}[{index}]")))
                    .collect(),
            }),
            Content::Scalar { text, plain: false } => Json::StringValue(text.clone()),
            Content::Scalar { text, plain: true } => self.json_scalar(node, text, path)?,
        };
        Some(prost_types::Value { kind: Some(kind) })
    }

    fn json_scalar(&mut self, node: &Node, text: &str, path: &str) -> Option<Json> {
        if scalar::is_null(text) {
            return Some(Json::NullValue(0));
        }
        if let Some(value) = scalar::boolean(text) {
            return Some(Json::BoolValue(value));
        }
        if scalar::is_ambiguous_boolean(text) {
            return self.note(
                node,
                format!("{path}: `{text}` is a boolean to some readers and a string to others; write \"{text}\", `true` or `false`"),
            );
        }
        if !scalar::is_number(text) {
            return Some(Json::StringValue(text.to_owned()));
        }
        match scalar::integer(text) {
            #[allow(
                clippy::cast_precision_loss,
                reason = "within ±2^53, where doubles are exact"
            )]
            Ok(value) if value.unsigned_abs() <= 1 << 53 => Some(Json::NumberValue(value as f64)),
            Ok(_) => self.note(
                node,
                format!("{path}: numbers above 2^53 are not kept exactly; write it as a string"),
            ),
            Err(NotInteger::LeadingZero) => self.note(
                node,
                format!(
                    "{path}: a leading 0 means octal to some readers; leave it out, or quote it"
                ),
            ),
            Err(NotInteger::Other) => match scalar::float(text) {
                Some(value) => Some(Json::NumberValue(value)),
                None => self.mismatch(node, path, "a number"),
            },
        }
    }

    fn unknown_value<T>(
        &mut self,
        node: &Node,
        values: &prost_reflect::EnumDescriptor,
        path: &str,
    ) -> Option<T> {
        let names: Vec<String> = values
            .values()
            .map(|value| value.name().to_owned())
            .collect();
        let Some(text) = node.text() else {
            return self.mismatch(node, path, &format!("one of {}", names.join(", ")));
        };
        let hint = match closest(text, names.iter().map(String::as_str)) {
            Some(closest) => format!("did you mean `{closest}`?"),
            None => format!("it must be one of {}", names.join(", ")),
        };
        self.note(
            node,
            format!("{path}: unknown value `{}`; {hint}", scalar::excerpt(text)),
        )
    }

    fn mismatch<T>(&mut self, node: &Node, path: &str, expected: &str) -> Option<T> {
        let hint = match (&node.content, expected) {
            (Content::Scalar { plain: true, .. }, "a string") => "; put it in quotes",
            (Content::Scalar { text, plain: false }, "`true` or `false`")
                if scalar::boolean(text).is_some() =>
            {
                "; remove the quotes"
            }
            (Content::Scalar { text, plain: false }, "a whole number" | "a number")
                if scalar::is_number(text) =>
            {
                "; remove the quotes"
            }
            _ => "",
        };
        let found = match &node.content {
            Content::Scalar { text, plain: true } if scalar::is_ambiguous_boolean(text) => {
                format!("`{text}`")
            }
            _ => node.describe().to_owned(),
        };
        self.note(
            node,
            format!("{path} must be {expected}, found {found}{hint}"),
        )
    }

    fn note<T>(&mut self, node: &Node, message: String) -> Option<T> {
        self.problem(node.position, message);
        None
    }
}

fn plain(node: &Node) -> Option<&str> {
    match &node.content {
        Content::Scalar { text, plain: true } => Some(text),
        _ => None,
    }
}

fn transcode<M: prost::Message>(
    descriptor: &MessageDescriptor,
    message: &M,
) -> Option<DynamicMessage> {
    DynamicMessage::decode(descriptor.clone(), message.encode_to_vec().as_slice()).ok()
}
