//! Lists of what is no resource.

use api::meta_v1::ListResponseMeta;
use prost::Name;

use super::PagingArgs;
use crate::{
    context::Context,
    failure::{Failure, Outcome},
    output::{self, Format, table},
};

/// One page of a list, as people see it.
pub(super) struct Listing {
    /// The header first.
    pub(super) rows: Vec<Vec<String>>,
    /// By what each is named in a script.
    pub(super) names: Vec<String>,
    /// What is said where there is nothing.
    pub(super) nothing: &'static str,
    pub(super) meta: Option<ListResponseMeta>,
}

/// Prints `list`, which `listing` shows, in the format that is asked for.
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
                    .say(&format!("There are more: --page {next}"));
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
