//! Prints lists of objects that are not resources.

use api::meta_v1::ListResponseMeta;
use prost::Name;

use super::PagingArgs;
use crate::{
    context::Context,
    failure::{Failure, Outcome},
    output::{self, Format, table},
};

/// One page of a list, in the forms for people and scripts.
pub(super) struct Listing {
    /// Rows of the table, with the header first.
    pub(super) rows: Vec<Vec<String>>,
    /// Names of the items for `-o name`.
    pub(super) names: Vec<String>,
    /// Message if the list is empty.
    pub(super) nothing: &'static str,
    pub(super) meta: Option<ListResponseMeta>,
}

/// Prints `list` in the requested format. Tables and names show `listing` instead.
pub(super) fn print<M: Name>(
    context: &Context,
    paging: &PagingArgs,
    format: &Format,
    list: &M,
    listing: &Listing,
) -> Result<Outcome, Failure> {
    match format {
        Format::Table | Format::Wide if listing.names.is_empty() => {
            context.terminal.say(listing.nothing);
        }
        Format::Table | Format::Wide => {
            context.terminal.data(&table::render(&listing.rows))?;
            if listing.meta.unwrap_or_default().has_more {
                let next = paging.options().page + 2;
                context
                    .terminal
                    .say(&format!("More objects: --page {next}"));
            }
        }
        Format::Name => {
            for name in &listing.names {
                context.terminal.line(name)?;
            }
        }
        Format::Json | Format::Jsonl | Format::Yaml | Format::JsonPath(_) | Format::Field(_) => {
            if let Some(value) = output::list_value(list) {
                output::value(context, &value, format)?;
            }
        }
    }
    Ok(Outcome::Done)
}
