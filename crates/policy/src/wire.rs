//! Writes encoded protobuf messages.

/// Appends a length-delimited field.
pub(crate) fn put_message(buffer: &mut Vec<u8>, number: u32, message: &[u8]) {
    put_varint(buffer, u64::from(number) << 3 | 2);
    put_varint(buffer, message.len() as u64);
    buffer.extend_from_slice(message);
}

#[allow(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn put_varint(buffer: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buffer.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}
