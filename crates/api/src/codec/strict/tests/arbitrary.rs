//! Generates arbitrary messages from their descriptors.

use std::collections::HashMap;

use prost_reflect::{
    Cardinality, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};

const DEEPEST: usize = 6;

/// Generates a message with about half of its fields set. The result depends only on `seed`.
pub(super) fn message(descriptor: &MessageDescriptor, seed: u64) -> DynamicMessage {
    Maker(seed | 1).message(descriptor, DEEPEST)
}

/// Returns whether the message, or a message inside it, has unknown fields.
pub(super) fn has_unknown(message: &DynamicMessage) -> bool {
    let in_value = |value: &Value| match value {
        Value::Message(nested) => has_unknown(nested),
        Value::List(list) => list
            .iter()
            .any(|item| item.as_message().is_some_and(has_unknown)),
        Value::Map(map) => map
            .values()
            .any(|item| item.as_message().is_some_and(has_unknown)),
        _ => false,
    };
    message.unknown_fields().next().is_some() || message.fields().any(|(_, value)| in_value(value))
}

/// A xorshift generator: it is fast, and nothing here is secret.
struct Maker(u64);

impl Maker {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn message(&mut self, descriptor: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        for field in descriptor.fields() {
            if self.next().is_multiple_of(2)
                && (depth > 0 || !matches!(field.kind(), Kind::Message(_)))
            {
                let value = self.field(&field, depth);
                message.set_field(&field, value);
            }
        }
        message
    }

    fn field(&mut self, field: &FieldDescriptor, depth: usize) -> Value {
        let count = self.next() % 3;
        if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
            let value_field = entry.map_entry_value_field();
            let map: HashMap<_, _> = (0..count)
                .map(|number| {
                    let key = MapKey::String(format!("key-{number}"));
                    (key, self.value(&value_field.kind(), depth))
                })
                .collect();
            return Value::Map(map);
        }
        match field.cardinality() {
            Cardinality::Repeated => Value::List(
                (0..count)
                    .map(|_| self.value(&field.kind(), depth))
                    .collect(),
            ),
            Cardinality::Optional | Cardinality::Required => self.value(&field.kind(), depth),
        }
    }

    fn value(&mut self, kind: &Kind, depth: usize) -> Value {
        let random = self.next();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_possible_wrap,
            reason = "any bits will do"
        )]
        match kind {
            Kind::Double => Value::F64(f64::from(random as u32)),
            Kind::Float => Value::F32(f32::from(random as u16)),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(random as i32),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(random as i64),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(random as u32),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(random),
            Kind::Bool => Value::Bool(random.is_multiple_of(2)),
            Kind::String => Value::String(format!("ü{random}")),
            Kind::Bytes => Value::Bytes(random.to_be_bytes().to_vec().into()),
            Kind::Enum(values) => {
                let values: Vec<_> = values.values().collect();
                Value::EnumNumber(values[random as usize % values.len()].number())
            }
            Kind::Message(nested) => Value::Message(self.message(nested, depth.saturating_sub(1))),
        }
    }
}
