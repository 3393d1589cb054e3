//! Exclusive XML Canonicalization 1.0 (W3C Recommendation, 18 July 2002).

use std::collections::BTreeMap;

use super::xml::{Attribute, Element, Node, escape_attribute, escape_text};

/// Options of the canonicalization.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options<'a> {
    /// True if the output contains comments.
    pub(super) comments: bool,
    /// `PrefixList` of `InclusiveNamespaces`. The empty string is the default namespace.
    pub(super) inclusive: &'a [String],
    /// Element to omit with its content: the enveloped signature.
    pub(super) without: Option<&'a Element>,
}

/// Returns the canonical form of `element`.
pub(super) fn canonicalize(element: &Element, options: Options<'_>) -> String {
    let mut writer = Writer {
        options,
        rendered: Vec::new(),
        out: String::new(),
    };
    writer.element(element);
    writer.out
}

struct Writer<'a> {
    options: Options<'a>,
    /// Namespace declarations in force in the output, innermost last.
    rendered: Vec<(&'a str, &'a str)>,
    out: String,
}

impl<'a> Writer<'a> {
    fn element(&mut self, element: &'a Element) {
        let outer = self.rendered.len();
        self.out.push('<');
        self.name(&element.prefix, &element.local);
        for (prefix, uri) in self.wanted(element) {
            self.declaration(prefix, uri);
        }
        let mut attributes: Vec<&Attribute> = element.attributes.iter().collect();
        attributes.sort_by(|a, b| (&*a.namespace, &*a.local).cmp(&(&*b.namespace, &*b.local)));
        for attribute in attributes {
            self.out.push(' ');
            self.name(&attribute.prefix, &attribute.local);
            self.out.push_str("=\"");
            escape_attribute(&attribute.value, &mut self.out);
            self.out.push('"');
        }
        self.out.push('>');
        for node in &element.nodes {
            match node {
                Node::Element(child) => {
                    if !self
                        .options
                        .without
                        .is_some_and(|out| std::ptr::eq(out, child))
                    {
                        self.element(child);
                    }
                }
                Node::Text(text) => escape_text(text, &mut self.out),
                Node::Comment(text) if self.options.comments => {
                    self.out.push_str("<!--");
                    self.out.push_str(text);
                    self.out.push_str("-->");
                }
                Node::Comment(_) => {}
            }
        }
        self.out.push_str("</");
        self.name(&element.prefix, &element.local);
        self.out.push('>');
        self.rendered.truncate(outer);
    }

    fn name(&mut self, prefix: &str, local: &str) {
        if !prefix.is_empty() {
            self.out.push_str(prefix);
            self.out.push(':');
        }
        self.out.push_str(local);
    }

    /// Returns the visibly used namespaces and those of the prefix list, in output order.
    fn wanted(&self, element: &'a Element) -> BTreeMap<&'a str, &'a str> {
        let mut wanted: BTreeMap<&str, &str> = BTreeMap::new();
        for prefix in self.options.inclusive {
            match element.scope.lookup(prefix) {
                Some(uri) => wanted.insert(prefix, uri),
                None if prefix.is_empty() => wanted.insert("", ""),
                None => None,
            };
        }
        wanted.insert(&element.prefix, &element.namespace);
        for attribute in &element.attributes {
            if !attribute.prefix.is_empty() {
                wanted.insert(&attribute.prefix, &attribute.namespace);
            }
        }
        wanted.remove("xml");
        wanted
    }

    fn declaration(&mut self, prefix: &'a str, uri: &'a str) {
        let in_force = self
            .rendered
            .iter()
            .rev()
            .find(|(rendered, _)| *rendered == prefix)
            .map_or("", |(_, uri)| uri);
        // A prefix cannot be undeclared, so the check also covers the default namespace.
        if in_force == uri {
            return;
        }
        self.rendered.push((prefix, uri));
        self.out.push_str(" xmlns");
        if !prefix.is_empty() {
            self.out.push(':');
            self.out.push_str(prefix);
        }
        self.out.push_str("=\"");
        escape_attribute(uri, &mut self.out);
        self.out.push('"');
    }
}
