//! The `ctx` of an expression: its fields and what stores them.

use std::sync::OnceLock;

use crate::{
    document::Layout,
    part::Part,
    schema::{Field, MessageType},
};

/// The storage of a field of `ctx`.
#[derive(Clone, Copy)]
pub enum Source {
    /// The document with this index in [`Inputs::documents`](crate::Inputs::documents).
    Document(u8),
    /// The host, which reads the field on demand.
    Part(&'static Part),
}

/// The type of `ctx`, and what stores each of its fields.
pub struct Context {
    root: &'static MessageType,
    layouts: Vec<Layout>,
    source: fn(&Field) -> Source,
}

impl Context {
    /// Builds the layouts of `documents` documents that together store the fields of `root`.
    pub fn new(root: &'static MessageType, documents: u8, source: fn(&Field) -> Source) -> Self {
        let is_in = |document: u8, field: &Field| match source(field) {
            Source::Document(stored) => stored == document,
            Source::Part(_) => false,
        };
        let layouts = (0..documents)
            .map(|document| Layout::new(root, |field| is_in(document, field)))
            .collect();
        Self {
            root,
            layouts,
            source,
        }
    }

    /// Returns the type of `ctx`.
    pub fn root(&self) -> &'static MessageType {
        self.root
    }

    /// Returns the layout of a document. A document that does not exist has an empty layout.
    pub fn layout(&self, document: u8) -> &Layout {
        static EMPTY: OnceLock<Layout> = OnceLock::new();
        self.layouts
            .get(usize::from(document))
            .unwrap_or_else(|| EMPTY.get_or_init(|| Layout::new(MessageType::empty(), |_| false)))
    }

    pub(crate) fn source(&self, field: &Field) -> Source {
        (self.source)(field)
    }
}
