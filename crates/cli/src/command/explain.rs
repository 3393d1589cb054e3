//! The command `explain`.

use api::{document, reflect};
use clap::Args;
use prost_reflect::{Cardinality, FieldDescriptor, Kind as FieldKind, MessageDescriptor};

use crate::{
    context::Context,
    failure::{Failure, Outcome},
    kind::Kind,
};

mod comments {
    //! The comments of the contract about its messages and fields, sorted by full name.
    include!(concat!(env!("OUT_DIR"), "/comments.rs"));
}

/// Show the documentation of a resource or field
#[derive(Args)]
#[command(
    after_help = "Example:\n  octeliumctl explain user\n  octeliumctl explain service.spec.config.upstream"
)]
pub(crate) struct ExplainArgs {
    /// Kind, optionally with a field, such as `user.spec.session`
    #[arg(value_name = "KIND[.FIELD]")]
    path: String,
}

/// Prints a field and its nested fields. Works offline, with the contract that this program was built with.
pub(crate) fn run(context: &Context, args: &ExplainArgs) -> Result<Outcome, Failure> {
    let (word, fields) = match args.path.split_once('.') {
        Some((word, fields)) => (word, fields.split('.').collect()),
        None => (args.path.as_str(), Vec::new()),
    };
    let kind = Kind::parse(word).ok_or_else(|| unknown_kind(word))?;
    let mut message =
        reflect::pool().get_message_by_name(&format!("octelium.api.main.core.v1.{}", kind.name()));
    let mut named = message
        .as_ref()
        .map(|message| message.full_name().to_owned());
    let mut shown = kind.name().to_owned();
    let mut field = None;
    for name in fields {
        let inside =
            message.ok_or_else(|| Failure::usage(format!("{shown} has no fields of its own")))?;
        let next = inside
            .fields()
            .find(|field| field.json_name() == name || field.name() == name)
            .ok_or_else(|| unknown_field(&shown, name, &inside))?;
        shown = format!("{shown}.{}", next.json_name());
        message = inner(&next);
        named = Some(next.full_name().to_owned());
        field = Some(next);
    }
    let terminal = &context.terminal;
    match &field {
        None => terminal.line(&shown)?,
        Some(field) => terminal.line(&format!("{shown}: {}", type_name(field)))?,
    }
    let own = named.as_deref().and_then(comment);
    let of_type = message
        .as_ref()
        .and_then(|message| comment(message.full_name()));
    for text in own
        .into_iter()
        .chain(of_type.filter(|text| Some(*text) != own))
    {
        terminal.line("")?;
        terminal.line(text)?;
    }
    if let Some(message) = message.filter(|message| message.fields().len() > 0) {
        terminal.line("")?;
        terminal.line("Fields:")?;
        for field in message.fields() {
            terminal.line(&format!("  {:<26}{}", field.json_name(), type_name(&field)))?;
            for line in comment(field.full_name()).into_iter().flat_map(str::lines) {
                terminal.line(&format!("      {line}"))?;
            }
        }
    }
    Ok(Outcome::Done)
}

fn unknown_kind(word: &str) -> Failure {
    let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.word()).collect();
    let failure = Failure::usage(format!("unknown kind `{word}`"));
    match document::closest(word, names.iter().copied()) {
        Some(closest) => failure.hint(format!("did you mean {closest}?")),
        None => failure.hint(format!("the kinds are {}", names.join(", "))),
    }
}

fn unknown_field(shown: &str, name: &str, message: &MessageDescriptor) -> Failure {
    let names: Vec<String> = message
        .fields()
        .map(|field| field.json_name().to_owned())
        .collect();
    let failure = Failure::usage(format!("{shown} has no field `{name}`"));
    match document::closest(name, names.iter().map(String::as_str)) {
        Some(closest) => failure.hint(format!("did you mean {closest}?")),
        None => failure.hint(format!("its fields are {}", names.join(", "))),
    }
}

/// Returns the message type of a field, of its items or of its map values, if that message has fields to show.
fn inner(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let held = match field.kind() {
        FieldKind::Message(entry) if entry.is_map_entry() => entry.map_entry_value_field().kind(),
        kind => kind,
    };
    match held {
        FieldKind::Message(message) if !message.full_name().starts_with("google.protobuf.") => {
            Some(message)
        }
        _ => None,
    }
}

fn type_name(field: &FieldDescriptor) -> String {
    let name = match field.kind() {
        FieldKind::Message(entry) if entry.is_map_entry() => format!(
            "map of {} to {}",
            kind_name(&entry.map_entry_key_field().kind()),
            kind_name(&entry.map_entry_value_field().kind())
        ),
        kind if field.cardinality() == Cardinality::Repeated => {
            format!("list of {}", kind_name(&kind))
        }
        kind => kind_name(&kind),
    };
    let alternatives = field
        .containing_oneof()
        .map(|of| {
            of.fields()
                .map(|field| field.json_name().to_owned())
                .collect::<Vec<_>>()
        })
        .filter(|alternatives| alternatives.len() > 1);
    match alternatives {
        Some(alternatives) => format!("{name} (one of {})", alternatives.join(", ")),
        None => name,
    }
}

fn kind_name(kind: &FieldKind) -> String {
    match kind {
        FieldKind::Double | FieldKind::Float => "number".to_owned(),
        FieldKind::Bool => "boolean".to_owned(),
        FieldKind::String => "text".to_owned(),
        FieldKind::Bytes => "bytes in base64".to_owned(),
        FieldKind::Enum(values) => {
            // The value 0 stands for unset.
            let names: Vec<String> = values
                .values()
                .filter(|value| value.number() != 0)
                .map(|value| value.name().to_owned())
                .collect();
            names.join(" | ")
        }
        FieldKind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => "time as 2026-12-31T00:00:00Z".to_owned(),
            "google.protobuf.Struct" => "any object".to_owned(),
            "google.protobuf.Value" => "any value".to_owned(),
            _ => message.name().to_owned(),
        },
        FieldKind::Int32
        | FieldKind::Int64
        | FieldKind::Uint32
        | FieldKind::Uint64
        | FieldKind::Sint32
        | FieldKind::Sint64
        | FieldKind::Fixed32
        | FieldKind::Fixed64
        | FieldKind::Sfixed32
        | FieldKind::Sfixed64 => "integer".to_owned(),
    }
}

fn comment(full_name: &str) -> Option<&'static str> {
    let at = comments::COMMENTS
        .binary_search_by_key(&full_name, |(name, _)| name)
        .ok()?;
    comments::COMMENTS.get(at).map(|(_, text)| *text)
}
