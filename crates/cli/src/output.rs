//! How objects are shown.

use api::{document, platform_v1::Resource};
use prost_reflect::DynamicMessage;

use crate::{context::Context, failure::Failure, kind::Kind, remote::Listing};

pub(crate) mod age;
pub(crate) mod columns;
pub(crate) mod table;

/// The forms of `-o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    Table,
    /// More columns.
    Wide,
    /// Protobuf JSON; a list is one List message.
    Json,
    /// The same in YAML.
    #[value(alias = "yml")]
    Yaml,
    /// `kind/name`, one a line.
    Name,
}

/// `-o` of most commands.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct OutputArgs {
    /// How to print
    #[arg(
        short = 'o',
        long = "output",
        alias = "out",
        value_enum,
        value_name = "FORMAT"
    )]
    pub(crate) output: Option<Format>,
}

/// Prints one object.
///
/// # Errors
/// Nobody reads.
pub(crate) fn object(
    context: &Context,
    kind: Kind,
    resource: &Resource,
    format: Format,
) -> Result<(), Failure> {
    match format {
        Format::Table | Format::Wide => {
            let listing = Listing {
                items: vec![resource.clone()],
                message: None,
            };
            listing_table(context, kind, &listing, format == Format::Wide)
        }
        Format::Name => context.terminal.line(&name(kind, resource)),
        Format::Json | Format::Yaml => match resource.dynamic() {
            Some(message) => self::message(context, &message, format),
            None => Ok(()),
        },
    }
}

/// Prints several.
///
/// # Errors
/// Nobody reads.
pub(crate) fn listing(
    context: &Context,
    kind: Kind,
    listing: &Listing,
    format: Format,
) -> Result<(), Failure> {
    match format {
        Format::Table | Format::Wide => {
            listing_table(context, kind, listing, format == Format::Wide)
        }
        Format::Name => listing
            .items
            .iter()
            .try_for_each(|item| context.terminal.line(&name(kind, item))),
        Format::Json | Format::Yaml => {
            let Some(message) = &listing.message else {
                return Ok(());
            };
            let mut value = document::to_json(message);
            with_items(&mut value);
            self::value(context, &value, format)
        }
    }
}

/// Prints any message as JSON, else as YAML.
///
/// # Errors
/// Nobody reads.
pub(crate) fn message(
    context: &Context,
    message: &DynamicMessage,
    format: Format,
) -> Result<(), Failure> {
    value(context, &document::to_json(message), format)
}

/// Prints a JSON value as JSON, else as YAML.
///
/// # Errors
/// Nobody reads.
pub(crate) fn value(
    context: &Context,
    value: &serde_json::Value,
    format: Format,
) -> Result<(), Failure> {
    match format {
        Format::Json => context.terminal.line(&format!("{value:#}")),
        Format::Yaml | Format::Table | Format::Wide | Format::Name => context
            .terminal
            .line(document::json_to_yaml(value).trim_end()),
    }
}

/// `kind/name`.
pub(crate) fn name(kind: Kind, resource: &Resource) -> String {
    format!("{}/{}", kind.word(), resource.name())
}

/// Protobuf JSON leaves empty lists out; a List without `items` surprises.
pub(crate) fn with_items(list: &mut serde_json::Value) {
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
    let mut rows = vec![columns::header(kind, wide)];
    let now = context.now();
    rows.extend(
        listing
            .items
            .iter()
            .map(|item| columns::row(item, now, wide)),
    );
    context.terminal.data(&table::render(&rows))
}
