//! The command `apply`.

use api::{
    document,
    platform_v1::{ApplyResponse, apply_response::Action},
    reflect,
};
use clap::Args;

use crate::{
    client::Client,
    context::Context,
    failure::{Failure, Outcome, Reason},
    output::{self, Format, OutputArgs},
    text::printable,
};

pub(crate) mod manifest;
pub(crate) mod plan;

use manifest::{Manifest, ManifestArgs};

/// Create, update and optionally delete resources to match files, in one transaction
#[derive(Args)]
#[command(
    after_help = "Example:\n  octeliumctl apply ./cluster\n  octeliumctl apply --dry-run --prune ./cluster"
)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    manifest: ManifestArgs,
    /// Print the changes without making them
    #[arg(long)]
    dry_run: bool,
    /// Skip the confirmation before `--prune` deletes all objects of a kind
    #[arg(short = 'y', long)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Applies the files in one call, so that either all changes are made or none.
pub(crate) async fn run(context: &Context, args: ApplyArgs) -> Result<Outcome, Failure> {
    let manifest = Manifest::load(context, &args.manifest)?;
    let format = args.output.output.unwrap_or(Format::Table);
    if manifest.entries.is_empty() && manifest.prune.is_empty() {
        context.terminal.say("There is nothing to apply");
    }
    let client = Client::connect(context).await?;
    if args.dry_run {
        let planned = plan::call(&client, &manifest, plan::Mode::DryRun).await?;
        report(context, &planned, &format, true)?;
        return Ok(Outcome::Done);
    }
    let mut mode = plan::Mode::Careful;
    if !manifest.prune.is_empty() {
        let planned = plan::call(&client, &manifest, plan::Mode::DryRun).await?;
        let emptied = plan::fully_deleted_kinds(&planned);
        if !emptied.is_empty() {
            if !args.yes {
                confirm(context, &planned, &emptied)?;
            }
            mode = plan::Mode::PruneAll;
        }
    }
    let applied = plan::call(&client, &manifest, mode).await?;
    report(context, &applied, &format, false)?;
    Ok(Outcome::Done)
}

fn confirm(context: &Context, planned: &ApplyResponse, emptied: &[&str]) -> Result<(), Failure> {
    for line in lines(planned, "would be ") {
        context.terminal.say(&line);
    }
    let what = format!(
        "every {} in the Cluster would be deleted",
        emptied.join(", every ")
    );
    match context.terminal.confirm(&format!("{what}. Continue?")) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::new(
            Reason::Usage,
            "Cancelled",
            "cancelled; nothing was changed",
        )),
        None => Err(Failure::new(
            Reason::Usage,
            "ConfirmationNeeded",
            format!("{what}; nothing was changed"),
        )
        .hint("check --domain and the files; use --yes to confirm, or --exclude to keep the objects of a kind")),
    }
}

fn report(
    context: &Context,
    response: &ApplyResponse,
    format: &Format,
    dry_run: bool,
) -> Result<(), Failure> {
    for result in &response.results {
        for warning in &result.warnings {
            context.terminal.warn(&printable(warning));
        }
    }
    match format {
        Format::Json | Format::Jsonl | Format::Yaml | Format::JsonPath(_) | Format::Field(_) => {
            if let Some(message) = reflect::dynamic(response) {
                let mut value = document::to_json(&message);
                if let Some(fields) = value.as_object_mut() {
                    fields
                        .entry("results")
                        .or_insert_with(|| serde_json::json!([]));
                }
                output::value(context, &value, format)?;
            }
        }
        Format::Name => {
            for result in &response.results {
                context.terminal.line(&plan::object_name(result))?;
            }
        }
        Format::Table | Format::Wide => {
            for line in lines(response, if dry_run { "would be " } else { "" }) {
                context.terminal.line(&line)?;
            }
            context.terminal.line(&summary(response, dry_run))?;
        }
    }
    Ok(())
}

fn lines(response: &ApplyResponse, auxiliary: &str) -> Vec<String> {
    let line = |result: &api::platform_v1::apply_response::Result| {
        let (auxiliary, verb) = match result.action() {
            Action::Created => (auxiliary, "created"),
            Action::Updated => (auxiliary, "updated"),
            Action::Deleted => (auxiliary, "deleted"),
            Action::Unchanged => ("", "unchanged"),
            Action::Unknown => ("", "unknown"),
        };
        format!("{} {auxiliary}{verb}", plan::object_name(result))
    };
    response.results.iter().map(line).collect()
}

fn summary(response: &ApplyResponse, dry_run: bool) -> String {
    let count = |action: Action| {
        response
            .results
            .iter()
            .filter(|result| result.action() == action)
            .count()
    };
    let note = if dry_run {
        " (dry run: nothing was changed)"
    } else {
        ""
    };
    format!(
        "{} created, {} updated, {} deleted, {} unchanged{note}",
        count(Action::Created),
        count(Action::Updated),
        count(Action::Deleted),
        count(Action::Unchanged),
    )
}
