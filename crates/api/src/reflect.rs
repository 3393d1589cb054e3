//! Descriptors of all messages.

use std::sync::LazyLock;

use prost::Name;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

/// The compiled `.proto` files, imports included, as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    // Cannot fail: the build script decoded the same bytes.
    DescriptorPool::decode(DESCRIPTORS).unwrap_or_default()
});

/// Returns the descriptors of every message and service of the contract.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// Returns the descriptor of `M`, or `None` if the type is not part of the contract.
pub fn descriptor<M: Name>() -> Option<MessageDescriptor> {
    POOL.get_message_by_name(&M::full_name())
}

/// Converts to a dynamic message, whose fields are accessible by name. Returns `None` if the type is not part of the
/// contract.
pub fn dynamic<M: Name>(message: &M) -> Option<DynamicMessage> {
    let descriptor = descriptor::<M>()?;
    DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost_reflect::{Cardinality, FieldDescriptor, Kind};

    use super::*;

    /// The messages, enums and methods of existing clients: names, numbers and types.
    const CONTRACT: &str = include_str!("reflect/contract.txt");
    const PREFIX: &str = "octelium.api.main.";

    fn contract() -> impl Iterator<Item = &'static str> {
        CONTRACT.lines().filter(|line| !line.starts_with('#'))
    }

    fn short(name: &str) -> &str {
        name.strip_prefix(PREFIX).unwrap_or(name)
    }

    fn type_of(field: &FieldDescriptor) -> String {
        let kind = match field.kind() {
            Kind::Message(message) => short(message.full_name()).to_owned(),
            Kind::Enum(values) => short(values.full_name()).to_owned(),
            scalar => format!("{scalar:?}").to_lowercase(),
        };
        let is_repeated = field.cardinality() == Cardinality::Repeated;
        if is_repeated {
            format!("repeated {kind}")
        } else {
            kind
        }
    }

    /// Lists our contract in the format of [`CONTRACT`].
    fn ours() -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for message in pool().all_messages() {
            let name = short(message.full_name());
            lines.insert(format!("message {name}"));
            for field in message.fields() {
                let (number, field_name) = (field.number(), field.name());
                lines.insert(format!(
                    "field {name} {number} {field_name} {}",
                    type_of(&field)
                ));
            }
        }
        for values in pool().all_enums() {
            let name = short(values.full_name());
            for value in values.values() {
                lines.insert(format!("enum {name} {} {}", value.number(), value.name()));
            }
        }
        for service in pool().services() {
            for method in service.methods() {
                let stream = |is_stream| if is_stream { "stream " } else { "" };
                lines.insert(format!(
                    "rpc {} {}{} {}{}",
                    short(method.full_name()),
                    stream(method.is_client_streaming()),
                    short(method.input().full_name()),
                    stream(method.is_server_streaming()),
                    short(method.output().full_name()),
                ));
            }
        }
        lines
    }

    #[test]
    fn the_contract_has_everything_that_existing_clients_send_and_read_g1() {
        let ours = ours();
        let missing: Vec<&str> = contract().filter(|line| !ours.contains(*line)).collect();
        assert!(missing.is_empty(), "missing: {missing:#?}");
        assert!(contract().count() > 1000);
    }

    #[test]
    fn added_fields_are_numbered_from_10000_g1() {
        let contract: BTreeSet<&str> = contract().collect();
        let is_added =
            |line: &&String| line.starts_with("field ") && !contract.contains(line.as_str());
        let ours = ours();
        let of_existing = ours.iter().filter(is_added).filter(|line| {
            let message = line.split(' ').nth(1).unwrap_or_default();
            contract
                .iter()
                .any(|line| line.split(' ').nth(1) == Some(message) && !line.starts_with("rpc "))
        });
        let low: Vec<_> = of_existing
            .filter(|line| line.split(' ').nth(2).unwrap().parse::<u32>().unwrap() < 10_000)
            .collect();
        assert!(low.is_empty(), "numbers below 10000: {low:#?}");
    }
}
