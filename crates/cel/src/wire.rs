//! Reads encoded protobuf messages in place.
//!
//! The caller encoded the messages, so they are well-formed. A malformed field would read as unset.

// Wire types.
pub(crate) const VARINT: u64 = 0;
pub(crate) const FIXED64: u64 = 1;
pub(crate) const LENGTH_DELIMITED: u64 = 2;
pub(crate) const FIXED32: u64 = 5;

#[derive(Clone, Copy)]
pub(crate) struct Raw<'a> {
    pub(crate) number: u32,
    pub(crate) value: RawValue<'a>,
    /// Offset of the value, including its length prefix.
    pub(crate) start: usize,
}

/// A value whose type is not known yet.
#[derive(Clone, Copy)]
pub(crate) enum RawValue<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    Bytes(&'a [u8]),
}

impl<'a> RawValue<'a> {
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Varint(value) | Self::Fixed64(value) => value,
            Self::Fixed32(value) => u64::from(value),
            Self::Bytes(_) => 0,
        }
    }
}

/// Iterates over the fields of a message, in encoding order.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    position: usize,
}

pub(crate) fn fields(bytes: &[u8]) -> Fields<'_> {
    Fields { bytes, position: 0 }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Raw<'a>;

    #[inline]
    fn next(&mut self) -> Option<Raw<'a>> {
        let key = varint(self.bytes, &mut self.position)?;
        let start = self.position;
        let value = value(self.bytes, &mut self.position, key & 7)?;
        Some(Raw {
            number: u32::try_from(key >> 3).ok()?,
            value,
            start,
        })
    }
}

/// Reads the value with wire type `wire` at `position`.
#[inline]
pub(crate) fn value<'a>(bytes: &'a [u8], position: &mut usize, wire: u64) -> Option<RawValue<'a>> {
    match wire {
        VARINT => varint(bytes, position).map(RawValue::Varint),
        FIXED64 => {
            let end = position.checked_add(8)?;
            let raw = bytes.get(*position..end)?.try_into().ok()?;
            *position = end;
            Some(RawValue::Fixed64(u64::from_le_bytes(raw)))
        }
        LENGTH_DELIMITED => length_delimited(bytes, position).map(RawValue::Bytes),
        FIXED32 => {
            let end = position.checked_add(4)?;
            let raw = bytes.get(*position..end)?.try_into().ok()?;
            *position = end;
            Some(RawValue::Fixed32(u32::from_le_bytes(raw)))
        }
        _ => None,
    }
}

#[inline]
pub(crate) fn length_delimited<'a>(bytes: &'a [u8], position: &mut usize) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(bytes, position)?).ok()?;
    let end = position.checked_add(length)?;
    let value = bytes.get(*position..end)?;
    *position = end;
    Some(value)
}

#[inline]
pub(crate) fn varint(bytes: &[u8], position: &mut usize) -> Option<u64> {
    let first = *bytes.get(*position)?;
    *position += 1;
    if first < 0x80 {
        return Some(u64::from(first));
    }
    let mut value = u64::from(first & 0x7f);
    let mut shift = 7;
    loop {
        let byte = *bytes.get(*position)?;
        *position += 1;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}
