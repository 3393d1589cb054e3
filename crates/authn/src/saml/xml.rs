//! A small owned tree of a strict XML document with resolved namespaces: what SAML needs and no more.

use std::sync::Arc;

use super::error::{Error, quoted};

mod characters;
mod escape;
mod reader;

pub(super) use escape::{escape_attribute, escape_text};
pub(super) use reader::{Limits, parse, parse_within};

/// An element. Text is resolved and line ends are normalised.
#[derive(Debug, Clone)]
pub(super) struct Element {
    pub(super) prefix: Box<str>,
    pub(super) local: Box<str>,
    pub(super) namespace: Arc<str>,
    /// Without namespace declarations.
    pub(super) attributes: Vec<Attribute>,
    /// What prefixes stand for inside of this element.
    pub(super) scope: Scope,
    pub(super) nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
pub(super) struct Attribute {
    pub(super) prefix: Box<str>,
    pub(super) local: Box<str>,
    /// Empty where there is no prefix.
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

    /// The attribute of no namespace with this name.
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

    /// The elements directly inside.
    pub(super) fn children(&self) -> impl Iterator<Item = &Element> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) | Node::Comment(_) => None,
        })
    }

    /// The elements directly inside that have this name.
    pub(super) fn children_named<'a>(
        &'a self,
        namespace: &'a str,
        local: &'a str,
    ) -> impl Iterator<Item = &'a Element> {
        self.children()
            .filter(move |child| child.is(namespace, local))
    }

    /// The only child of this name, or none.
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

    /// All of the text inside, across comments. Elements inside are an error.
    pub(super) fn text(&self) -> Result<String, Error> {
        let mut text = String::new();
        for node in &self.nodes {
            match node {
                Node::Text(part) => text.push_str(part),
                Node::Comment(_) => {}
                Node::Element(child) => {
                    return Err(Error::malformed(format!(
                        "{} holds the element {} where text is expected",
                        self.local,
                        quoted(&child.local)
                    )));
                }
            }
        }
        Ok(text)
    }

    /// The text inside without white space around it, as URIs and names of algorithms are written.
    pub(super) fn token(&self) -> Result<String, Error> {
        Ok(self.text()?.trim_matches(is_white_space).to_owned())
    }

    /// This element and everything below it, outermost first.
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
    /// What `prefix` stands for; the empty text where it is the undeclared default.
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

/// White space of XML: U+0020, U+0009, U+000A and U+000D alone.
pub(super) fn is_white_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}
