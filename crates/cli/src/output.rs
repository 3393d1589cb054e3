//! Prints objects in the format of `-o`.

use std::{ffi::OsStr, str::FromStr};

use api::{document, platform_v1::Resource, reflect};
use clap::{
    Arg, Command,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};
use domain::columns;
use prost::Name;
use prost_reflect::DynamicMessage;
use serde_json::Value;

use crate::{context::Context, failure::Failure, kind::Kind, remote::Listing, text::printable};

mod path;
pub(crate) mod table;

use path::Path;

/// The formats of `-o`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Format {
    /// Table for people.
    Table,
    /// Table with more columns.
    Wide,
    /// Protobuf JSON. A list is printed as one List message.
    Json,
    /// Protobuf JSON, one object per line.
    Jsonl,
    /// Protobuf JSON as YAML.
    Yaml,
    /// `kind/name`, one per line.
    Name,
    /// Values that a path selects in the JSON, one per line.
    JsonPath(Path),
    /// One field of each object, one per line. Empty if the field is not set.
    Field(Path),
}

impl Format {
    /// Returns whether the table has additional columns.
    pub(crate) fn is_wide(&self) -> bool {
        *self == Self::Wide
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.split_once('=') {
            Some(("jsonpath", path)) => Self::JsonPath(path.parse()?),
            Some(("field", path)) => Self::Field(path.parse()?),
            _ => match text {
                "table" => Self::Table,
                "wide" => Self::Wide,
                "json" => Self::Json,
                "jsonl" => Self::Jsonl,
                "yaml" | "yml" => Self::Yaml,
                "name" => Self::Name,
                _ => {
                    return Err(
                        "it must be table, wide, json, jsonl, yaml, name, jsonpath=PATH or field=PATH"
                            .to_owned(),
                    );
                }
            },
        })
    }
}

/// Parses `-o` and lists the formats in help and completion.
#[derive(Clone)]
struct FormatParser;

impl TypedValueParser for FormatParser {
    type Value = Format;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Format, clap::Error> {
        StringValueParser::new()
            .try_map(|text| text.parse::<Format>())
            .parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let forms = [
            ("table", "Table for people"),
            ("wide", "Table with more columns"),
            ("json", "Protobuf JSON; a list is one List message"),
            ("jsonl", "Protobuf JSON, one object per line"),
            ("yaml", "Protobuf JSON as YAML"),
            ("name", "`kind/name`, one per line"),
            (
                "jsonpath=PATH",
                "Values that a path selects in the JSON, such as `$.items[*].metadata.name`",
            ),
            (
                "field=PATH",
                "One field of each object, such as `metadata.name`",
            ),
        ];
        let forms = forms.map(|(name, help)| PossibleValue::new(name).help(help));
        Some(Box::new(forms.into_iter()))
    }
}

/// The flag `-o`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OutputArgs {
    /// Output format, such as `json`
    #[arg(
        short = 'o',
        long = "output",
        alias = "out",
        value_parser = FormatParser,
        value_name = "FORMAT"
    )]
    pub(crate) output: Option<Format>,
}

/// Prints one object.
///
/// # Errors
/// Returns a failure if standard output cannot be written.
pub(crate) fn object(
    context: &Context,
    kind: Kind,
    resource: &Resource,
    format: &Format,
) -> Result<(), Failure> {
    match format {
        Format::Table | Format::Wide => {
            let listing = Listing {
                items: vec![resource.clone()],
                message: None,
            };
            listing_table(context, kind, &listing, format.is_wide())
        }
        Format::Name => context.terminal.line(&name(kind, resource)),
        Format::Json | Format::Jsonl | Format::Yaml | Format::JsonPath(_) | Format::Field(_) => {
            match resource.dynamic() {
                Some(message) => self::message(context, &message, format),
                None => Ok(()),
            }
        }
    }
}

/// Prints a list of objects.
///
/// # Errors
/// Returns a failure if standard output cannot be written.
pub(crate) fn listing(
    context: &Context,
    kind: Kind,
    listing: &Listing,
    format: &Format,
) -> Result<(), Failure> {
    match format {
        Format::Table | Format::Wide => listing_table(context, kind, listing, format.is_wide()),
        Format::Name => listing
            .items
            .iter()
            .try_for_each(|item| context.terminal.line(&name(kind, item))),
        Format::Json | Format::Jsonl | Format::Yaml | Format::JsonPath(_) | Format::Field(_) => {
            let Some(message) = &listing.message else {
                return Ok(());
            };
            let mut list = document::to_json(message);
            with_items(&mut list);
            value(context, &list, format)
        }
    }
}

/// Prints a message in a JSON or YAML format.
///
/// # Errors
/// Returns a failure if standard output cannot be written.
pub(crate) fn message(
    context: &Context,
    message: &DynamicMessage,
    format: &Format,
) -> Result<(), Failure> {
    value(context, &document::to_json(message), format)
}

/// Prints a JSON value. The line-based formats print each object of a list. Table and name formats print YAML, because
/// they support resources only.
///
/// # Errors
/// Returns a failure if standard output cannot be written.
pub(crate) fn value(context: &Context, value: &Value, format: &Format) -> Result<(), Failure> {
    let terminal = &context.terminal;
    match format {
        Format::Json => terminal.line(&format!("{value:#}")),
        Format::Jsonl => objects(value).try_for_each(|object| terminal.line(&object.to_string())),
        Format::JsonPath(path) => path
            .find(value)
            .into_iter()
            .try_for_each(|found| terminal.line(&plain(found))),
        Format::Field(path) => objects(value).try_for_each(|object| {
            let found: Vec<String> = path.find(object).into_iter().map(plain).collect();
            terminal.line(&found.join(" "))
        }),
        Format::Yaml | Format::Table | Format::Wide | Format::Name => {
            terminal.line(document::json_to_yaml(value).trim_end())
        }
    }
}

/// Returns the items of a list, or the value itself if it is not a list.
fn objects(value: &Value) -> impl Iterator<Item = &Value> {
    match value.get("items") {
        Some(Value::Array(items)) => items.iter(),
        _ => std::slice::from_ref(value).iter(),
    }
}

/// Formats a value: text without control characters, null as empty text, anything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Converts a List message to JSON.
pub(crate) fn list_value<M: Name>(list: &M) -> Option<Value> {
    let mut value = document::to_json(&reflect::dynamic(list)?);
    with_items(&mut value);
    Some(value)
}

/// Returns `kind/name`.
pub(crate) fn name(kind: Kind, resource: &Resource) -> String {
    format!("{}/{}", kind.word(), resource.name())
}

/// Adds an empty `items` field if it is missing. Protobuf JSON omits empty lists, which surprises scripts.
fn with_items(list: &mut Value) {
    if let Some(fields) = list.as_object_mut() {
        fields
            .entry("items")
            .or_insert_with(|| serde_json::json!([]));
    }
}

fn listing_table(
    context: &Context,
    kind: Kind,
    listing: &Listing,
    wide: bool,
) -> Result<(), Failure> {
    if listing.items.is_empty() {
        context.terminal.say(&format!("No {} found", kind.plural()));
        return Ok(());
    }
    let mut rows = vec![columns::header(kind.stored(), wide)];
    let now = context.now();
    rows.extend(
        listing
            .items
            .iter()
            .map(|item| columns::row(item, now, wide)),
    );
    context.terminal.data(&table::render(&rows))
}
