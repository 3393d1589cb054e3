//! Encoded messages with an index of the fields that are reachable without a loop.

use hashbrown::HashMap;

use crate::{
    schema::{Field, Kind, MessageType, Shape},
    wire::{self, RawValue},
};

/// Maximum path length of a slot. Fields on longer paths are found by walking the message.
const MAX_DEPTH: usize = 12;

/// Index of a field in the documents of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Slot(u16);

impl Slot {
    /// The whole message.
    pub(crate) const ROOT: Self = Self(0);
}

/// The singular fields of a message and of its nested messages that a [`Document`] indexes.
pub struct Layout {
    nodes: Vec<Node>,
}

struct Node {
    message: Option<&'static MessageType>,
    children: HashMap<u32, Slot>,
}

impl Layout {
    /// Assigns slots to the fields of `root` that `accept` selects, and to the fields nested in them.
    pub(crate) fn new(root: &'static MessageType, accept: impl Fn(&Field) -> bool) -> Self {
        let mut layout = Self { nodes: Vec::new() };
        let mut path = vec![root];
        layout.nodes.push(Node {
            message: Some(root),
            children: HashMap::new(),
        });
        for field in root.fields.iter().filter(|field| accept(field)) {
            layout.add(Slot::ROOT, field, &mut path);
        }
        layout
    }

    /// Returns the slot of field `number` of the message in `parent`.
    pub(crate) fn child(&self, parent: Slot, number: u32) -> Option<Slot> {
        let node = self.nodes.get(usize::from(parent.0))?;
        node.children.get(&number).copied()
    }

    fn add(&mut self, parent: Slot, field: &'static Field, path: &mut Vec<&'static MessageType>) {
        let (Shape::One(kind) | Shape::Explicit(kind)) = field.shape else {
            return;
        };
        let message = match kind {
            Kind::Message(id) => Some(id.get()),
            _ => None,
        };
        if message.is_some_and(|message| path.iter().any(|above| std::ptr::eq(*above, message))) {
            return;
        }
        let Ok(index) = u16::try_from(self.nodes.len()) else {
            return;
        };
        let slot = Slot(index);
        self.nodes.push(Node {
            message,
            children: HashMap::new(),
        });
        if let Some(node) = self.nodes.get_mut(usize::from(parent.0)) {
            node.children.insert(field.number, slot);
        }
        if let Some(message) = message
            && path.len() < MAX_DEPTH
        {
            path.push(message);
            for field in &message.fields {
                self.add(slot, field, path);
            }
            path.pop();
        }
    }
}

/// A part of `ctx`: an encoded message and the offsets of its set fields, in one allocation.
pub struct Document {
    /// Three parts: for each 64 slots a `u64` bitmap of the set ones and a `u16` count of the set ones before them; the
    /// offset of each set value, in slot order (`u16`, or `u32` if `is_long`); the encoded message.
    data: Box<[u8]>,
    /// Start of the offsets in `data`.
    offsets: u16,
    /// Start of the message in `data`.
    message: u32,
    /// True if offsets have 32 bits.
    is_long: bool,
}

/// Length of the bitmap and count of 64 slots, in bytes.
const WORD: usize = 10;

impl Document {
    /// Indexes an encoded message of the type of `layout`.
    pub fn new(layout: &Layout, bytes: &[u8]) -> Self {
        let mut found = Vec::new();
        index(layout, Slot::ROOT, bytes, 0, &mut found);
        found.sort_unstable();
        // Protobuf takes the last occurrence of a repeated singular field. Our encoder writes each field once.
        found.dedup_by_key(|(slot, _)| *slot);
        let mut present = vec![0_u64; layout.nodes.len().div_ceil(64)];
        for (slot, _) in &found {
            if let Some(word) = present.get_mut(usize::from(slot >> 6)) {
                *word |= 1 << (slot & 63);
            }
        }
        let is_long = u16::try_from(bytes.len()).is_err();
        let offsets = present.len() * WORD;
        let message = offsets + found.len() * if is_long { 4 } else { 2 };
        let mut data = Vec::with_capacity(message + bytes.len());
        let mut before = 0_u16;
        for word in present {
            data.extend(word.to_le_bytes());
            data.extend(before.to_le_bytes());
            // A layout has at most 65,536 slots, so the count fits.
            before = before.wrapping_add(u16::try_from(word.count_ones()).unwrap_or(0));
        }
        for (_, offset) in found {
            match u16::try_from(offset) {
                Ok(offset) if !is_long => data.extend(offset.to_le_bytes()),
                _ => data.extend(offset.to_le_bytes()),
            }
        }
        data.extend(bytes);
        Self {
            data: data.into_boxed_slice(),
            // At most 1024 words and 65,536 offsets.
            offsets: u16::try_from(offsets).unwrap_or(u16::MAX),
            message: u32::try_from(message).unwrap_or(u32::MAX),
            is_long,
        }
    }

    /// Returns the encoded message.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.data.get(self.message as usize..).unwrap_or_default()
    }

    /// Returns the bytes from the value of a slot on, or `None` if the field is not set.
    #[inline]
    fn at(&self, slot: Slot) -> Option<&[u8]> {
        let word = usize::from(slot.0 >> 6) * WORD;
        if word >= usize::from(self.offsets) {
            return None;
        }
        let (bits, rest) = self.data.get(word..)?.split_first_chunk()?;
        let bits = u64::from_le_bytes(*bits);
        let bit = 1_u64 << (slot.0 & 63);
        if bits & bit == 0 {
            return None;
        }
        let before = u16::from_le_bytes(*rest.first_chunk()?);
        let rank = usize::from(before) + (bits & (bit - 1)).count_ones() as usize;
        let offsets = self.data.get(usize::from(self.offsets)..)?;
        let offset = if self.is_long {
            u32::from_le_bytes(*offsets.get(rank * 4..)?.first_chunk()?) as usize
        } else {
            usize::from(u16::from_le_bytes(*offsets.get(rank * 2..)?.first_chunk()?))
        };
        self.bytes().get(offset..)
    }

    #[inline]
    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.at(slot).is_some()
    }

    /// Returns the value of a field that is encoded as a varint.
    #[inline]
    pub(crate) fn varint(&self, slot: Slot) -> Option<u64> {
        wire::varint(self.at(slot)?, &mut 0)
    }

    /// Returns the value of a length-delimited field: text, bytes or a message.
    #[inline]
    pub(crate) fn slice(&self, slot: Slot) -> Option<&[u8]> {
        if slot == Slot::ROOT {
            return Some(self.bytes());
        }
        wire::length_delimited(self.at(slot)?, &mut 0)
    }

    /// Returns the value of a field of any kind.
    pub(crate) fn raw(&self, slot: Slot, kind: Kind) -> Option<RawValue<'_>> {
        if slot == Slot::ROOT {
            return Some(RawValue::Bytes(self.bytes()));
        }
        wire::value(self.at(slot)?, &mut 0, kind.wire_type())
    }

    /// Returns the memory size, in bytes.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.data.len()
    }
}

fn index(layout: &Layout, parent: Slot, message: &[u8], base: usize, found: &mut Vec<(u16, u32)>) {
    for raw in wire::fields(message) {
        let Some(slot) = layout.child(parent, raw.number) else {
            continue;
        };
        let start = base + raw.start;
        let Ok(offset) = u32::try_from(start) else {
            return;
        };
        found.push((slot.0, offset));
        let is_message = layout
            .nodes
            .get(usize::from(slot.0))
            .is_some_and(|node| node.message.is_some());
        if let (RawValue::Bytes(inner), true) = (raw.value, is_message) {
            let mut position = raw.start;
            wire::varint(message, &mut position);
            index(layout, slot, inner, base + position, found);
        }
    }
}
