//! A part of `ctx`: one encoded message, with an index of the fields that are reached without a loop.

use hashbrown::HashMap;

use crate::{
    schema::{Field, Kind, MessageType, Shape},
    wire::{self, RawValue},
};

/// Longest path that gets a slot; longer ones are walked to.
const MAX_DEPTH: usize = 12;

/// Place of a field in every document of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Slot(u16);

impl Slot {
    /// The document as a whole.
    pub(crate) const ROOT: Self = Self(0);
}

/// The fields of a message and of the messages in it, each with a slot.
pub(crate) struct Layout {
    nodes: Vec<Node>,
}

struct Node {
    message: Option<&'static MessageType>,
    children: HashMap<u32, Slot>,
}

impl Layout {
    /// Slots for the fields of `root` that `accept` takes, and for everything in them.
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

    /// The slot of a field of the message in `parent`.
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

/// An encoded message and where its set fields are.
pub(crate) struct Document {
    bytes: Box<[u8]>,
    /// One bit a slot, and the number of bits before the word.
    present: Box<[(u64, u32)]>,
    /// Of each set slot in order: where its value begins.
    offsets: Box<[u32]>,
}

impl Document {
    /// Indexes an encoded message of the type of `layout`.
    pub(crate) fn new(layout: &Layout, bytes: Vec<u8>) -> Self {
        let mut found = Vec::new();
        index(layout, Slot::ROOT, &bytes, 0, &mut found);
        found.sort_unstable();
        // A repeated occurrence would be the later one's; our encoding has none.
        found.dedup_by_key(|(slot, _)| *slot);
        let mut present = vec![(0_u64, 0_u32); layout.nodes.len().div_ceil(64)];
        for (slot, _) in &found {
            if let Some(word) = present.get_mut(usize::from(slot >> 6)) {
                word.0 |= 1 << (slot & 63);
            }
        }
        let mut before = 0;
        for word in &mut present {
            word.1 = before;
            before += word.0.count_ones();
        }
        Self {
            bytes: bytes.into_boxed_slice(),
            present: present.into_boxed_slice(),
            offsets: found.into_iter().map(|(_, offset)| offset).collect(),
        }
    }

    /// The bytes from the value of a slot on; `None` where it is unset.
    #[inline]
    fn at(&self, slot: Slot) -> Option<&[u8]> {
        let (bits, before) = *self.present.get(usize::from(slot.0 >> 6))?;
        let bit = 1_u64 << (slot.0 & 63);
        if bits & bit == 0 {
            return None;
        }
        let rank = before + (bits & (bit - 1)).count_ones();
        let offset = *self.offsets.get(rank as usize)?;
        self.bytes.get(offset as usize..)
    }

    /// Whether a slot is set.
    #[inline]
    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.at(slot).is_some()
    }

    /// A number that is stored as varint.
    #[inline]
    pub(crate) fn varint(&self, slot: Slot) -> Option<u64> {
        wire::varint(self.at(slot)?, &mut 0)
    }

    /// Text, bytes or a message.
    #[inline]
    pub(crate) fn slice(&self, slot: Slot) -> Option<&[u8]> {
        if slot == Slot::ROOT {
            return Some(&self.bytes);
        }
        wire::length_delimited(self.at(slot)?, &mut 0)
    }

    /// A value of any kind.
    pub(crate) fn raw(&self, slot: Slot, kind: Kind) -> Option<RawValue<'_>> {
        if slot == Slot::ROOT {
            return Some(RawValue::Bytes(&self.bytes));
        }
        wire::value(self.at(slot)?, &mut 0, wire_type(kind))
    }

    /// Memory in bytes.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>()
            + self.bytes.len()
            + self.present.len() * size_of::<(u64, u32)>()
            + self.offsets.len() * size_of::<u32>()
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

fn wire_type(kind: Kind) -> u64 {
    match kind {
        Kind::Bool | Kind::Int | Kind::Uint | Kind::Zigzag | Kind::Enum(_) => 0,
        Kind::Fixed64 | Kind::Double => 1,
        Kind::Fixed32 | Kind::Signed32 | Kind::Float => 5,
        Kind::Text
        | Kind::Bytes
        | Kind::Timestamp
        | Kind::Duration
        | Kind::Object
        | Kind::Json
        | Kind::Array
        | Kind::Message(_) => 2,
    }
}
