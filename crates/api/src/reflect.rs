//! Descriptors of all messages.

use std::sync::LazyLock;

use prost::Name;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

/// The compiled `.proto` files, imports included, as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    // The build script has decoded the same bytes.
    DescriptorPool::decode(DESCRIPTORS).unwrap_or_default()
});

/// Every message and service of the contract.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// The descriptor of `M`; `None` for a type that is not part of the contract.
pub fn descriptor<M: Name>() -> Option<MessageDescriptor> {
    POOL.get_message_by_name(&M::full_name())
}

/// The message as one whose fields can be walked by name; `None` for a type that is not part of the contract.
pub fn dynamic<M: Name>(message: &M) -> Option<DynamicMessage> {
    let descriptor = descriptor::<M>()?;
    DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).ok()
}
