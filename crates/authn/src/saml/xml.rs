//! A minimal owned tree of a strictly parsed XML document, with resolved namespaces.

use std::sync::Arc;

use super::error::{Error, quoted};

mod characters;
mod escape;
mod reader;

pub(super) use escape::{escape_attribute, escape_text};
pub(super) use reader::{Limits, parse, parse_within};

/// An XML element. References in text are resolved and line ends normalized.
#[derive(Debug, Clone)]
pub(super) struct Element {
    pub(super) prefix: Box<str>,
    pub(super) local: Box<str>,
    pub(super) namespace: Arc<str>,
    /// Attributes without namespace declarations.
    pub(super) attributes: Vec<Attribute>,
    /// Namespace bindings in force inside this element.
    pub(super) scope: Scope,
    pub(super) nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
pub(super) struct Attribute {
    pub(super) prefix: Box<str>,
    pub(super) local: Box<str>,
    /// Empty if the attribute has no prefix.
    pub(super) namespace: Arc<str>,
    pub(super) value: String,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Element(Element),
    Text(String),
    Comment(String),
}

/// Namespace bindings, innermost first.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope(Option<Arc<Binding>>);

#[derive(Debug)]
struct Binding {
    prefix: Box<str>,
    uri: Arc<str>,
    outer: Scope,
}

impl Element {
    pub(super) fn is(&self, namespace: &str, local: &str) -> bool {
        &*self.local == local && &*self.namespace == namespace
    }

    /// Returns the attribute without a namespace that has this name.
    pub(super) fn attribute(&self, local: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|attribute| attribute.namespace.is_empty() && &*attribute.local == local)
            .map(|attribute| attribute.value.as_str())
    }

    pub(super) fn required_attribute(&self, local: &str) -> Result<&str, Error> {
        self.attribute(local)
            .ok_or_else(|| Error::malformed(format!("{} has no attribute {local}", self.local)))
    }

    pub(super) fn children(&self) -> impl Iterator<Item = &Element> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) | Node::Comment(_) => None,
        })
    }

    pub(super) fn children_named<'a>(
        &'a self,
        namespace: &'a str,
        local: &'a str,
    ) -> impl Iterator<Item = &'a Element> {
        self.children()
            .filter(move |child| child.is(namespace, local))
    }

    /// Returns the child with this name. More than one is an error.
    pub(super) fn child(&self, namespace: &str, local: &str) -> Result<Option<&Element>, Error> {
        let mut found = self.children().filter(|child| child.is(namespace, local));
        match (found.next(), found.next()) {
            (first, None) => Ok(first),
            _ => Err(Error::malformed(format!(
                "{} has more than one {local}",
                self.local
            ))),
        }
    }

    pub(super) fn required_child(&self, namespace: &str, local: &str) -> Result<&Element, Error> {
        self.child(namespace, local)?
            .ok_or_else(|| Error::malformed(format!("{} has no {local}", self.local)))
    }

    /// Returns the text content without comments. Child elements are an error.
    pub(super) fn text(&self) -> Result<String, Error> {
        let mut text = String::new();
        for node in &self.nodes {
            match node {
                Node::Text(part) => text.push_str(part),
                Node::Comment(_) => {}
                Node::Element(child) => {
                    return Err(Error::malformed(format!(
                        "{} contains the element {}; text is expected",
                        self.local,
                        quoted(&child.local)
                    )));
                }
            }
        }
        Ok(text)
    }

    /// Returns the text without surrounding white space, for URIs and algorithm names.
    pub(super) fn token(&self) -> Result<String, Error> {
        Ok(self.text()?.trim_matches(is_white_space).to_owned())
    }

    /// Returns this element and all descendants in document order.
    pub(super) fn descendants(&self) -> impl Iterator<Item = &Element> {
        let mut pending = vec![self];
        std::iter::from_fn(move || {
            let element = pending.pop()?;
            let below = pending.len();
            pending.extend(element.children());
            pending.get_mut(below..)?.reverse();
            Some(element)
        })
    }
}

impl Scope {
    /// Returns the namespace of `prefix`. An undeclaration of the default namespace returns the empty string.
    pub(super) fn lookup(&self, prefix: &str) -> Option<&Arc<str>> {
        let mut scope = self;
        while let Some(binding) = &scope.0 {
            if &*binding.prefix == prefix {
                return Some(&binding.uri);
            }
            scope = &binding.outer;
        }
        None
    }

    fn bind(&mut self, prefix: &str, uri: Arc<str>) {
        let outer = std::mem::take(self);
        self.0 = Some(Arc::new(Binding {
            prefix: prefix.into(),
            uri,
            outer,
        }));
    }

    fn len(&self) -> usize {
        let mut scope = self;
        let mut count = 0;
        while let Some(binding) = &scope.0 {
            count += 1;
            scope = &binding.outer;
        }
        count
    }
}

/// Returns true for XML white space: U+0020, U+0009, U+000A and U+000D.
pub(super) fn is_white_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}
