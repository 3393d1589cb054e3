//! Documents: the YAML and JSON form of resources.
//!
//! Parsing is strict. The schema determines the type of each value: `no` is a string in a string field and an error in
//! a boolean field. Anything unknown to the schema is an error with its position.

use std::fmt;

use prost_reflect::{DynamicMessage, ReflectMessage as _, SerializeOptions};

use crate::{
    core_v1,
    platform_v1::{PolicyTest, Resource},
    reflect,
};

mod decode;
mod scalar;
mod suggest;
mod tree;

pub use suggest::closest;

use decode::Decoder;
use tree::{Content, Node};

/// The maximum length of a text: 8 MiB.
pub const MAX_BYTES: usize = 8 << 20;
/// The maximum number of values in a text. Each use of an alias counts.
pub const MAX_NODES: usize = 500_000;
/// The maximum nesting depth of values.
pub const MAX_DEPTH: usize = 100;
/// Parsing stops after this many problems.
const MAX_PROBLEMS: usize = 20;

/// A position in a text. Both numbers start at 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line number.
    pub line: usize,
    /// The column number.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A problem in a text and its position. Never contains a value that could be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", Place(source_name, *position))]
pub struct Problem {
    /// The file name, or `<stdin>`.
    pub source_name: String,
    /// The position of the invalid key or value; `None` if the problem concerns the whole text.
    pub position: Option<Position>,
    /// The problem and how to correct it.
    pub message: String,
}

struct Place<'a>(&'a str, Option<Position>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(position) => write!(f, "{}:{position}", self.0),
            None => f.write_str(self.0),
        }
    }
}

/// Parses the resources in a YAML text (which includes JSON) of one or more documents.
///
/// Empty documents are skipped, a `<Kind>List` is expanded to its items, and a missing `spec` becomes an empty one.
/// `apiVersion` is optional. Names are not validated here, but every kind except `ClusterConfig` requires one.
///
/// # Errors
/// Returns every problem in the order of the text: excessive size, invalid syntax, unknown or duplicate keys, wrong
/// types, unknown kinds.
pub fn parse(source_name: &str, text: &[u8]) -> Result<Vec<(Position, Resource)>, Vec<Problem>> {
    read(source_name, text, None)
}

/// Parses a text like [`parse`], and also accepts documents of the kind `PolicyTest`.
///
/// # Errors
/// Returns every problem, like [`parse`].
#[allow(clippy::type_complexity, reason = "two lists, each with its positions")]
pub fn parse_with_tests(
    source_name: &str,
    text: &[u8],
) -> Result<(Vec<(Position, Resource)>, Vec<(Position, PolicyTest)>), Vec<Problem>> {
    let mut tests = Vec::new();
    let resources = read(source_name, text, Some(&mut tests))?;
    Ok((resources, tests))
}

fn read(
    source_name: &str,
    text: &[u8],
    mut tests: Option<&mut Vec<(Position, PolicyTest)>>,
) -> Result<Vec<(Position, Resource)>, Vec<Problem>> {
    let problem = |position, message| Problem {
        source_name: source_name.to_owned(),
        position,
        message,
    };
    let documents =
        tree::read(text).map_err(|error| vec![problem(error.position, error.message)])?;

    let mut resources = Vec::new();
    let mut problems = Vec::new();
    for document in documents {
        let mut decoder = Decoder::new(MAX_PROBLEMS - problems.len());
        match &mut tests {
            Some(tests) if is_policy_test(&document) => {
                tests.extend(policy_test(&document, &mut decoder));
            }
            _ => objects(&document, &mut decoder, &mut resources),
        }
        problems.extend(
            decoder
                .problems
                .into_iter()
                .map(|(position, message)| problem(Some(position), message)),
        );
        if problems.len() >= MAX_PROBLEMS {
            break;
        }
    }
    if problems.is_empty() {
        Ok(resources)
    } else {
        Err(problems)
    }
}

/// Converts to canonical protobuf JSON: camelCase names, enum names, RFC 3339 times, base64 bytes, no default values.
pub fn to_json(message: &DynamicMessage) -> serde_json::Value {
    let options = SerializeOptions::new().stringify_64_bit_integers(true);
    let mut value = message
        .serialize_with_options(serde_json::value::Serializer, &options)
        // Only an invalid well-known type fails, such as a time after the year 9999.
        .unwrap_or_else(|error| {
            serde_json::json!({ "unprintable": format!("{}: {error}", message.descriptor().full_name()) })
        });
    whole_numbers(&mut value);
    value
}

/// Converts to YAML with sorted keys and the values of [`to_json`].
pub fn to_yaml(message: &DynamicMessage) -> String {
    json_to_yaml(&to_json(message))
}

/// Converts any JSON value to YAML.
pub fn json_to_yaml(value: &serde_json::Value) -> String {
    // YAML can express every JSON value.
    serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string())
}

fn is_policy_test(document: &Node) -> bool {
    let Content::Mapping(entries) = &document.content else {
        return false;
    };
    entries
        .iter()
        .any(|(key, value)| key.name == "kind" && value.text() == Some("PolicyTest"))
}

fn policy_test(document: &Node, decoder: &mut Decoder) -> Option<(Position, PolicyTest)> {
    let descriptor = reflect::descriptor::<PolicyTest>()?;
    let message = decoder.message(document, &descriptor, "PolicyTest")?;
    // Cannot fail: the message has the same descriptor.
    let test = message.transcode_to().ok()?;
    Some((document.position, test))
}

fn objects(document: &Node, decoder: &mut Decoder, resources: &mut Vec<(Position, Resource)>) {
    let Content::Mapping(entries) = &document.content else {
        if !document.is_null() {
            decoder.problem(
                document.position,
                format!(
                    "expected a mapping with `kind`, `metadata` and `spec`, found {}",
                    document.describe()
                ),
            );
        }
        return;
    };
    let Some((_, kind)) = entries.iter().find(|(key, _)| key.name == "kind") else {
        decoder.problem(
            document.position,
            "`kind` is missing: each document needs one, such as `kind: User`".to_owned(),
        );
        return;
    };
    let Some(name) = kind.text() else {
        decoder.problem(
            kind.position,
            format!(
                "`kind` must be a string such as `User`, found {}",
                kind.describe()
            ),
        );
        return;
    };
    if Resource::KINDS.contains(&name) {
        resources.extend(object(document, name, decoder));
    } else if let Some(item_kind) = name
        .strip_suffix("List")
        .filter(|item| Resource::KINDS.contains(item))
    {
        list(entries, item_kind, decoder, resources);
    } else {
        let hint = match closest(name, Resource::KINDS.iter().copied()) {
            Some(closest) => format!("; did you mean `{closest}`?"),
            None => format!("; the kinds are {}", Resource::KINDS.join(", ")),
        };
        decoder.problem(
            kind.position,
            format!("unknown kind `{}`{hint}", scalar::excerpt(name)),
        );
    }
}

fn list(
    entries: &[(tree::Key, Node)],
    kind: &str,
    decoder: &mut Decoder,
    resources: &mut Vec<(Position, Resource)>,
) {
    const KNOWN: [&str; 4] = ["apiVersion", "kind", "items", "listResponseMeta"];
    for (key, value) in entries {
        if !KNOWN.contains(&key.name.as_str()) {
            decoder.unknown_field(key, &format!("{kind}List"), KNOWN.into_iter());
        } else if key.name == "items" && !value.is_null() {
            let Content::Sequence(items) = &value.content else {
                decoder.problem(
                    value.position,
                    format!("`items` must be a list, found {}", value.describe()),
                );
                continue;
            };
            for item in items {
                resources.extend(object(item, kind, decoder));
            }
        }
    }
}

fn object(node: &Node, kind: &str, decoder: &mut Decoder) -> Option<(Position, Resource)> {
    let full_name = format!("{}.{kind}", package());
    let descriptor = reflect::pool().get_message_by_name(&full_name)?;
    let problems = decoder.problems.len();
    let message = decoder.message(node, &descriptor, kind)?;
    // Cannot fail: the message has the same descriptor.
    let mut resource =
        Resource::decode_object(kind, &prost::Message::encode_to_vec(&message))?.ok()?;
    resource.stamp();
    resource.ensure_spec();
    let well_formed = decoder.problems.len() == problems;
    if well_formed && resource.name().is_empty() && kind != "ClusterConfig" {
        decoder.problem(
            node.position,
            format!("`metadata.name` is missing: which {kind} is meant?"),
        );
        return None;
    }
    Some((node.position, resource))
}

/// Writes whole floating-point numbers (3.0, from free-form attributes) as integers (3).
fn whole_numbers(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        serde_json::Value::Number(number) => {
            #[allow(clippy::cast_possible_truncation, reason = "whole and within ±2^53")]
            if let Some(float) = number.as_f64().filter(|float| float.fract() == 0.0)
                && number.is_f64()
                && float.abs() <= 9_007_199_254_740_992.0
            {
                *number = (float as i64).into();
            }
        }
        _ => {}
    }
}

fn package() -> &'static str {
    <core_v1::User as prost::Name>::PACKAGE
}

#[cfg(test)]
mod tests;
