//! The command `version`.

use clap::Args;

use crate::{
    context::Context,
    failure::{Failure, Outcome},
    output::{self, Format, OutputArgs},
};

/// Show the version of this program
#[derive(Clone, Args)]
#[command(after_help = "Example:\n  octelium version -o json")]
pub(crate) struct VersionArgs {
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(context: &Context, args: VersionArgs) -> Result<Outcome, Failure> {
    let value = serde_json::json!({
        "releaseVersion": env!("CARGO_PKG_VERSION"),
        "apiVersion": "v1",
    });
    output::value(context, &value, &args.output.output.unwrap_or(Format::Yaml))?;
    Ok(Outcome::Done)
}
