//! Parser of all untrusted XML.

use std::{borrow::Cow, sync::Arc};

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

use super::{
    Attribute, Element, Node, Scope,
    characters::{is_char, is_ncname},
    escape, is_white_space,
};
use crate::saml::error::{Error, quoted};

const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// Size limits of a document.
#[derive(Debug, Clone, Copy)]
pub(in crate::saml) struct Limits {
    /// Maximum size of the text in bytes.
    pub(in crate::saml) bytes: usize,
    /// Maximum number of elements.
    pub(in crate::saml) elements: usize,
}

/// Maximum nesting depth of elements.
const DEPTH: usize = 48;
/// Maximum number of attributes of an element, including namespace declarations.
const ATTRIBUTES: usize = 64;
/// Maximum number of namespace bindings in force.
const BINDINGS: usize = 64;

/// Parses a document. Document types, entity declarations and processing instructions are rejected.
///
/// # Errors
/// Returns an error of `ErrorKind::Malformed` if the text is not well-formed, uses a rejected feature, or exceeds a
/// limit.
pub(in crate::saml) fn parse(text: &str, limits: Limits) -> Result<Element, Error> {
    parse_within(text, limits, &Scope::default())
}

/// Parses an element with the namespace bindings of `scope`.
///
/// # Errors
/// Returns the same errors as [`parse`].
pub(in crate::saml) fn parse_within(
    text: &str,
    limits: Limits,
    scope: &Scope,
) -> Result<Element, Error> {
    if text.len() > limits.bytes {
        return Err(Error::malformed(format!(
            "the document has {} bytes; at most {} are accepted",
            text.len(),
            limits.bytes
        )));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(c) = text.chars().find(|c| !is_char(*c)) {
        return Err(Error::malformed(format!(
            "the document contains U+{:04X}, which XML does not allow",
            u32::from(c)
        )));
    }
    let text = normal_line_ends(text);
    let mut reader = Reader::from_str(&text);
    let config = reader.config_mut();
    config.enable_all_checks(true);
    config.expand_empty_elements = false;
    let mut builder = Builder {
        outer: scope,
        open: Vec::new(),
        root: None,
        left: limits.elements,
        begun: false,
    };
    loop {
        let at = reader.buffer_position();
        let event = reader
            .read_event()
            .map_err(|error| Error::malformed(format!("not well-formed at byte {at}: {error}")))?;
        if matches!(event, Event::Eof) {
            return builder.finish();
        }
        builder.take(&event)?;
    }
}

/// Normalizes line ends (XML 1.0 §2.11).
fn normal_line_ends(text: &str) -> Cow<'_, str> {
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

struct Builder<'a> {
    outer: &'a Scope,
    open: Vec<Element>,
    root: Option<Element>,
    /// Number of elements that are still allowed.
    left: usize,
    begun: bool,
}

impl Builder<'_> {
    fn take(&mut self, event: &Event<'_>) -> Result<(), Error> {
        let first = !std::mem::replace(&mut self.begun, true);
        match event {
            Event::Start(tag) => self.start(tag),
            Event::Empty(tag) => {
                self.start(tag)?;
                self.end()
            }
            // The XML reader already compared the names.
            Event::End(_) => self.end(),
            Event::Text(text) => {
                if text.contains("]]>") {
                    return Err(Error::malformed("text contains ]]>"));
                }
                self.text(text)
            }
            Event::CData(text) if self.open.is_empty() => Err(Error::malformed(format!(
                "character data outside of the root element: {}",
                quoted(text)
            ))),
            Event::CData(text) => self.text(text),
            Event::GeneralRef(reference) => {
                let c = escape::character_of(reference)?;
                if self.open.is_empty() {
                    return Err(Error::malformed("a reference outside of the root element"));
                }
                self.text(c.encode_utf8(&mut [0; 4]))
            }
            Event::Comment(text) => {
                if text.contains("--") || text.ends_with('-') {
                    return Err(Error::malformed("a comment contains --"));
                }
                if let Some(parent) = self.open.last_mut() {
                    parent.nodes.push(Node::Comment(text.to_string()));
                }
                Ok(())
            }
            Event::Decl(declaration) => {
                if !first {
                    return Err(Error::malformed(
                        "an XML declaration that is not at the beginning",
                    ));
                }
                check_declaration(declaration)
            }
            Event::PI(_) => Err(Error::malformed("processing instructions are refused")),
            Event::DocType(_) => Err(Error::malformed("document types are refused")),
            Event::Eof => Ok(()),
        }
    }

    fn start(&mut self, tag: &BytesStart<'_>) -> Result<(), Error> {
        if self.root.is_some() {
            return Err(Error::malformed("a second root element"));
        }
        if self.open.len() >= DEPTH {
            return Err(Error::malformed(format!(
                "elements are more than {DEPTH} deep"
            )));
        }
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| Error::malformed("too many elements"))?;
        let scope = self
            .open
            .last()
            .map_or(self.outer, |parent| &parent.scope)
            .clone();
        self.open.push(element_of(tag, scope)?);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        let element = self
            .open
            .pop()
            .ok_or_else(|| Error::malformed("an end tag without a start tag"))?;
        match self.open.last_mut() {
            Some(parent) => parent.nodes.push(Node::Element(element)),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Error> {
        let Some(parent) = self.open.last_mut() else {
            return if text.chars().all(is_white_space) {
                Ok(())
            } else {
                Err(Error::malformed("text outside of the root element"))
            };
        };
        if let Some(Node::Text(before)) = parent.nodes.last_mut() {
            before.push_str(text);
        } else if !text.is_empty() {
            parent.nodes.push(Node::Text(text.to_owned()));
        }
        Ok(())
    }

    fn finish(self) -> Result<Element, Error> {
        if let Some(open) = self.open.last() {
            return Err(Error::malformed(format!(
                "{} is not closed",
                quoted(&open.local)
            )));
        }
        self.root
            .ok_or_else(|| Error::malformed("the document has no element"))
    }
}

fn check_declaration(declaration: &quick_xml::events::BytesDecl<'_>) -> Result<(), Error> {
    let version = declaration
        .version()
        .map_err(|error| Error::malformed(format!("the XML declaration: {error}")))?;
    if version != "1.0" {
        return Err(Error::malformed(format!(
            "XML {}; only 1.0 is supported",
            quoted(&version)
        )));
    }
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(encoding)) if encoding.eq_ignore_ascii_case("utf-8") => Ok(()),
        Some(Ok(encoding)) => Err(Error::malformed(format!(
            "encoding {}; only UTF-8 is supported",
            quoted(&encoding)
        ))),
        Some(Err(error)) => Err(Error::malformed(format!("the XML declaration: {error}"))),
    }
}

fn element_of(tag: &BytesStart<'_>, mut scope: Scope) -> Result<Element, Error> {
    let (prefix, local) = split(tag.name().into_inner())?;
    let mut declared: Vec<&str> = Vec::new();
    let mut written = Vec::new();
    let mut attributes = tag.attributes();
    for (count, attribute) in attributes.with_checks(false).enumerate() {
        let attribute =
            attribute.map_err(|error| Error::malformed(format!("{}: {error}", quoted(local))))?;
        if count >= ATTRIBUTES {
            return Err(Error::malformed(format!(
                "{} has more than {ATTRIBUTES} attributes",
                quoted(local)
            )));
        }
        let name = attribute.key.into_inner();
        let value = escape::attribute_value(&attribute.value)?;
        let bound = match name.split_once(':') {
            None if name == "xmlns" => Some(""),
            Some(("xmlns", prefix)) => Some(prefix),
            _ => None,
        };
        match bound {
            Some(prefix) if declared.contains(&prefix) => return Err(twice(local, name)),
            Some(prefix) => {
                declare(&mut scope, prefix, &value)?;
                declared.push(prefix);
            }
            None => written.push((name, value)),
        }
    }
    if !declared.is_empty() && scope.len() > BINDINGS {
        return Err(Error::malformed(format!(
            "more than {BINDINGS} namespaces are declared"
        )));
    }
    let mut resolved: Vec<Attribute> = Vec::with_capacity(written.len());
    for (name, value) in written {
        let (prefix, attribute_local) = split(name)?;
        let namespace = if prefix.is_empty() {
            Arc::from("")
        } else {
            resolve(&scope, prefix)?
        };
        if resolved
            .iter()
            .any(|other| &*other.local == attribute_local && other.namespace == namespace)
        {
            return Err(twice(local, name));
        }
        resolved.push(Attribute {
            prefix: prefix.into(),
            local: attribute_local.into(),
            namespace,
            value,
        });
    }
    Ok(Element {
        prefix: prefix.into(),
        local: local.into(),
        namespace: resolve(&scope, prefix)?,
        attributes: resolved,
        scope,
        nodes: Vec::new(),
    })
}

fn twice(element: &str, attribute: &str) -> Error {
    Error::malformed(format!(
        "{} has the attribute {} twice",
        quoted(element),
        quoted(attribute)
    ))
}

/// Splits a qualified name into prefix and local name.
fn split(name: &str) -> Result<(&str, &str), Error> {
    let (prefix, local) = name.split_once(':').unwrap_or(("", name));
    if is_ncname(local) && (is_ncname(prefix) || !name.contains(':')) {
        Ok((prefix, local))
    } else {
        Err(Error::malformed(format!(
            "{} is not an XML name",
            quoted(name)
        )))
    }
}

fn declare(scope: &mut Scope, prefix: &str, uri: &str) -> Result<(), Error> {
    let reserved = prefix == "xmlns" || uri == XMLNS || (prefix == "xml") != (uri == XML);
    if reserved || !(prefix.is_empty() || is_ncname(prefix)) {
        return Err(Error::malformed(format!(
            "the prefix {} cannot be declared as {}",
            quoted(prefix),
            quoted(uri)
        )));
    }
    if uri.is_empty() && !prefix.is_empty() {
        return Err(Error::malformed(format!(
            "the prefix {} is declared with an empty namespace",
            quoted(prefix)
        )));
    }
    // Canonical XML must reject relative namespace URIs.
    if !uri.is_empty() && !uri.contains(':') {
        return Err(Error::malformed(format!(
            "the namespace {} is relative",
            quoted(uri)
        )));
    }
    if prefix != "xml" {
        scope.bind(prefix, Arc::from(uri));
    }
    Ok(())
}

fn resolve(scope: &Scope, prefix: &str) -> Result<Arc<str>, Error> {
    match prefix {
        "" => Ok(scope.lookup("").cloned().unwrap_or_else(|| Arc::from(""))),
        "xml" => Ok(Arc::from(XML)),
        _ => scope.lookup(prefix).cloned().ok_or_else(|| {
            Error::malformed(format!("the prefix {} is not declared", quoted(prefix)))
        }),
    }
}
