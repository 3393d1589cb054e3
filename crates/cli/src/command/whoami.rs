//! The command `whoami`.

use api::reflect;
use clap::Args;

use super::status;
use crate::{
    client::Client,
    context::Context,
    failure::{Failure, Outcome},
    output::{self, Format, OutputArgs},
    text::printable,
};

/// Show the signed-in User
#[derive(Args)]
#[command(after_help = "Example:\n  octelium whoami")]
pub(crate) struct WhoamiArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints User and Session in a few lines. With `-o name`, prints only the User.
pub(crate) async fn run(context: &Context, args: WhoamiArgs) -> Result<Outcome, Failure> {
    let client = Client::connect(context).await?;
    let status = status::fetch(&client).await?;
    let format = args.output.output.unwrap_or(Format::Table);
    if !matches!(format, Format::Table | Format::Wide | Format::Name) {
        if let Some(message) = reflect::dynamic(&status) {
            output::message(context, &message, &format)?;
        }
        return Ok(Outcome::Done);
    }
    let user = status.user.unwrap_or_default();
    let session = status.session.unwrap_or_default();
    let spec = user.spec.unwrap_or_default();
    let metadata = user.metadata.unwrap_or_default();
    let session_type = session.status.unwrap_or_default();
    let session = session.metadata.unwrap_or_default();
    if format == Format::Name {
        context
            .terminal
            .line(&printable(&format!("user/{}", metadata.name)))?;
        return Ok(Outcome::Done);
    }
    let mut lines = vec![
        ("User", metadata.name),
        ("Type", spec.r#type().as_str_name().to_owned()),
    ];
    for (label, value) in [
        ("Display name", metadata.display_name),
        ("Email", spec.email.clone()),
    ] {
        if !value.is_empty() {
            lines.push((label, value));
        }
    }
    let session_type = session_type.r#type().as_str_name();
    lines.push(("Session", format!("{} ({session_type})", session.name)));
    lines.push(("Cluster", client.domain().to_owned()));
    for (label, value) in lines {
        context
            .terminal
            .line(&printable(&format!("{:<14}{value}", format!("{label}:"))))?;
    }
    Ok(Outcome::Done)
}
