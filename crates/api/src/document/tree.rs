//! Parses YAML into a tree with positions, within limits on size and depth.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Marker, Options, Parser, ScalarStyle, Span, StrInput};

use super::{MAX_BYTES, MAX_DEPTH, MAX_NODES, Position, scalar};

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) position: Position,
    pub(super) content: Content,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    /// `plain` is true for unquoted text, whose type depends on its form.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) position: Position,
}

/// The reason why a text is not accepted as YAML.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) position: Option<Position>,
    pub(super) message: String,
}

impl Node {
    /// Returns whether the value is null, which protobuf JSON treats as absent.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, plain: true } if scalar::is_null(text))
    }

    /// Returns the text if the value is a string.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, plain } if !plain || scalar::is_string(text) => Some(text),
            _ => None,
        }
    }

    /// Describes the type in words, without the value.
    pub(super) fn describe(&self) -> &'static str {
        match &self.content {
            Content::Scalar { text, plain: true } => scalar::describe(text),
            Content::Scalar { plain: false, .. } => "a string",
            Content::Sequence(_) => "a list",
            Content::Mapping(_) => "a mapping",
        }
    }
}

/// Parses the documents of a text.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Node>, Refused> {
    if bytes.len() > MAX_BYTES {
        return Err(Refused {
            position: None,
            message: format!(
                "the text is larger than the limit of {} MiB; split it",
                MAX_BYTES >> 20
            ),
        });
    }
    let text = utf8(bytes)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut options = Options::default();
    options.disallow_directives = true;
    Reader {
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        spent: Weight::default(),
    }
    .documents()
}

/// The cost of a value in nodes and bytes of text.
#[derive(Debug, Default, Clone, Copy)]
struct Weight {
    nodes: usize,
    bytes: usize,
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, (Node, Weight)>,
    spent: Weight,
}

impl<'a> Reader<'a> {
    fn documents(mut self) -> Result<Vec<Node>, Refused> {
        let mut documents = Vec::new();
        while let Some((event, span)) = self.next()? {
            match event {
                Event::DocumentStart(..) => self.anchors.clear(),
                Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                node => documents.push(self.node(node, span, 0)?),
            }
        }
        Ok(documents)
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Refused> {
        loop {
            match self.parser.next_event() {
                None => return Ok(None),
                Some(Err(error)) => {
                    return Err(refused(error.marker(), malformed(&error.info())));
                }
                Some(Ok((event, _))) if is_presentation(&event) => {}
                Some(Ok(found)) => return Ok(Some(found)),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Refused> {
        if depth >= MAX_DEPTH {
            return Err(refused(
                &span.start,
                format!("values nest deeper than {MAX_DEPTH}"),
            ));
        }
        let before = self.spent;
        let (content, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                untagged(tag.is_some(), &span)?;
                self.spend(1, text.len(), &span)?;
                let plain = style == ScalarStyle::Plain;
                let text = text.into_owned();
                (Content::Scalar { text, plain }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                untagged(tag.is_some(), &span)?;
                self.spend(1, 0, &span)?;
                (Content::Sequence(self.sequence(depth)?), anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                untagged(tag.is_some(), &span)?;
                self.spend(1, 0, &span)?;
                (Content::Mapping(self.mapping(depth)?), anchor)
            }
            Event::Alias(id) => return self.alias(id, &span, depth),
            _ => return Err(refused(&span.start, "malformed YAML".to_owned())),
        };
        let node = Node {
            position: position(&span.start),
            content,
        };
        if anchor != 0 {
            let weight = Weight {
                nodes: self.spent.nodes - before.nodes,
                bytes: self.spent.bytes - before.bytes,
            };
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        Ok(node)
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Node>, Refused> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            items.push(self.node(event, span, depth + 1)?);
        }
        Ok(items)
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<(Key, Node)>, Refused> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut seen: HashMap<String, Position> = HashMap::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.key(event, &span)?;
            if let Some(first) = seen.insert(key.name.clone(), key.position) {
                return Err(Refused {
                    position: Some(key.position),
                    message: format!(
                        "duplicate key `{}`, first at line {}",
                        scalar::excerpt(&key.name),
                        first.line
                    ),
                });
            }
            let Some((event, span)) = self.next()? else {
                break;
            };
            entries.push((key, self.node(event, span, depth + 1)?));
        }
        Ok(entries)
    }

    fn key(&mut self, event: Event<'a>, span: &Span) -> Result<Key, Refused> {
        let Event::Scalar(text, style, _, tag) = event else {
            return Err(refused(
                &span.start,
                "a key must be a plain string".to_owned(),
            ));
        };
        untagged(tag.is_some(), span)?;
        self.spend(1, text.len(), span)?;
        if style == ScalarStyle::Plain && text == "<<" {
            return Err(refused(
                &span.start,
                "merge keys (`<<`) are not supported; write the fields out".to_owned(),
            ));
        }
        Ok(Key {
            name: text.into_owned(),
            position: position(&span.start),
        })
    }

    fn alias(&mut self, id: usize, span: &Span, depth: usize) -> Result<Node, Refused> {
        let Some((node, weight)) = self.anchors.get(&id).cloned() else {
            return Err(refused(
                &span.start,
                "an alias cannot be inside the value that it refers to".to_owned(),
            ));
        };
        self.spend(weight.nodes, weight.bytes, span)?;
        if depth + height(&node) > MAX_DEPTH {
            return Err(refused(
                &span.start,
                format!("values nest deeper than {MAX_DEPTH}"),
            ));
        }
        Ok(node)
    }

    fn spend(&mut self, nodes: usize, bytes: usize, span: &Span) -> Result<(), Refused> {
        self.spent.nodes = self.spent.nodes.saturating_add(nodes);
        self.spent.bytes = self.spent.bytes.saturating_add(bytes);
        if self.spent.nodes > MAX_NODES || self.spent.bytes > MAX_BYTES {
            return Err(refused(
                &span.start,
                format!(
                    "too much: more than {MAX_NODES} values or {} MiB with aliases expanded",
                    MAX_BYTES >> 20
                ),
            ));
        }
        Ok(())
    }
}

fn height(node: &Node) -> usize {
    1 + match &node.content {
        Content::Scalar { .. } => 0,
        Content::Sequence(items) => items.iter().map(height).max().unwrap_or(0),
        Content::Mapping(entries) => entries
            .iter()
            .map(|(_, node)| height(node))
            .max()
            .unwrap_or(0),
    }
}

/// Returns whether the event affects only the presentation, such as a comment.
fn is_presentation(event: &Event<'_>) -> bool {
    !event.is_node()
        && !matches!(
            event,
            Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(..)
                | Event::DocumentEnd
                | Event::SequenceEnd
                | Event::MappingEnd
        )
}

fn untagged(tagged: bool, span: &Span) -> Result<(), Refused> {
    if tagged {
        return Err(refused(
            &span.tag_start().unwrap_or(span.start),
            "tags (`!…`) are not supported; the field decides the type".to_owned(),
        ));
    }
    Ok(())
}

fn malformed(info: &str) -> String {
    if info.contains("tab") {
        format!("{info}; indent with spaces")
    } else {
        info.to_owned()
    }
}

fn refused(marker: &Marker, message: String) -> Refused {
    Refused {
        position: Some(position(marker)),
        message,
    }
}

fn position(marker: &Marker) -> Position {
    Position {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Refused> {
    let text = std::str::from_utf8(bytes).map_err(|error| Refused {
        position: Some(place(bytes.get(..error.valid_up_to()).unwrap_or_default())),
        message: "not UTF-8".to_owned(),
    })?;
    let forbidden = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    match text.char_indices().find(|(_, c)| forbidden(*c)) {
        None => Ok(text),
        Some((at, c)) => Err(Refused {
            position: Some(place(bytes.get(..at).unwrap_or_default())),
            message: format!(
                "the control character U+{:04X} cannot stand in YAML; write it as an escape in double quotes",
                u32::from(c)
            ),
        }),
    }
}

/// Returns the position right after `before`.
fn place(before: &[u8]) -> Position {
    let text = String::from_utf8_lossy(before);
    let last = text.rsplit('\n').next().unwrap_or_default();
    Position {
        line: text.matches('\n').count() + 1,
        column: last.chars().count() + 1,
    }
}
