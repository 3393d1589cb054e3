//! The command `diff`.

use api::{
    document,
    platform_v1::{
        Resource,
        apply_response::{self, Action},
    },
};
use clap::Args;
use similar::TextDiff;

use super::apply::{
    manifest::{Manifest, ManifestArgs},
    plan,
};
use crate::{
    client::Client,
    context::Context,
    failure::{Failure, Outcome},
    text::printable,
};

/// Fields of the metadata that the Cluster sets and that files do not contain.
const SERVER_OWNED: [&str; 10] = [
    "uid",
    "createdAt",
    "updatedAt",
    "resourceVersion",
    "lastResourceVersion",
    "actorRef",
    "actorOperation",
    "isSystem",
    "specLabels",
    "systemLabels",
];

/// Show what `apply` would change. Exit with code 3 if there are differences
#[derive(Args)]
#[command(after_help = "Example:\n  octeliumctl diff --prune ./cluster")]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    manifest: ManifestArgs,
}

/// Prints a unified diff from the Cluster to the files.
pub(crate) async fn run(context: &Context, args: DiffArgs) -> Result<Outcome, Failure> {
    let manifest = Manifest::load(context, &args.manifest)?;
    let client = Client::connect(context).await?;
    let planned = plan::call(&client, &manifest, plan::Mode::DryRun).await?;
    let mut outcome = Outcome::Done;
    for result in &planned.results {
        if matches!(result.action(), Action::Unchanged | Action::Unknown) {
            continue;
        }
        outcome = Outcome::Differences;
        context.terminal.data(&printable(&unified(result)))?;
    }
    Ok(outcome)
}

fn unified(result: &apply_response::Result) -> String {
    let name = plan::object_name(result);
    let before = text(result.before.as_ref());
    let after = text(result.after.as_ref());
    let (from, to) = match result.action() {
        Action::Created => ("/dev/null".to_owned(), name.clone()),
        Action::Deleted => (name.clone(), "/dev/null".to_owned()),
        Action::Updated | Action::Unchanged | Action::Unknown => (name.clone(), name.clone()),
    };
    if before == after {
        return format!(
            "--- {from}\n+++ {to}\n@@ data @@\n-(the data in the Cluster)\n+(the data in the file)\n"
        );
    }
    TextDiff::from_lines(&before, &after)
        .unified_diff()
        .context_radius(3)
        .header(&from, &to)
        .to_string()
}

/// Returns the resource as a file would contain it.
fn text(resource: Option<&Resource>) -> String {
    let Some(message) = resource.and_then(Resource::dynamic) else {
        return String::new();
    };
    let mut value = document::to_json(&message);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
        fields.remove("apiVersion");
        if let Some(metadata) = fields.get_mut("metadata").and_then(|m| m.as_object_mut()) {
            for field in SERVER_OWNED {
                metadata.remove(field);
            }
        }
    }
    document::json_to_yaml(&value)
}
