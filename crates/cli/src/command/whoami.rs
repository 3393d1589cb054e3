//! `whoami`

use api::{reflect, user_v1::GetStatusRequest};
use clap::Args;

use crate::{
    client::{Client, Repeat},
    context::Context,
    failure::{Failure, Outcome},
    output::{self, Format, OutputArgs},
    terminal::printable,
};

/// Show as whom one is logged in
#[derive(Args)]
#[command(after_help = "Example:\n  octelium whoami")]
pub(crate) struct WhoamiArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints User and Session in a few lines; `-o name` the User alone.
pub(crate) async fn run(context: &Context, args: WhoamiArgs) -> Result<Outcome, Failure> {
    let client = Client::connect(context).await?;
    let status = client
        .call(Repeat::Safe, async |rpc| {
            rpc.user().get_status(GetStatusRequest {}).await
        })
        .await?
        .into_inner();
    let format = args.output.output.unwrap_or(Format::Table);
    if let (Format::Json | Format::Yaml, Some(message)) = (format, reflect::dynamic(&status)) {
        output::message(context, &message, format)?;
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
