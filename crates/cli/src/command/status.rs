//! `status`

use api::{reflect, user_v1::GetStatusRequest};
use clap::Args;

use crate::{
    client::{Client, Repeat},
    context::Context,
    failure::{Failure, Outcome},
    output::{self, Format, OutputArgs},
};

/// Show the User, the Session and the Cluster
#[derive(Args)]
#[command(after_help = "Example:\n  octelium status -o json")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints what the Cluster knows about the caller.
pub(crate) async fn run(context: &Context, args: StatusArgs) -> Result<Outcome, Failure> {
    let client = Client::connect(context).await?;
    let status = client
        .call(Repeat::Safe, async |rpc| {
            rpc.user().get_status(GetStatusRequest {}).await
        })
        .await?
        .into_inner();
    if let Some(message) = reflect::dynamic(&status) {
        output::message(
            context,
            &message,
            args.output.output.unwrap_or(Format::Yaml),
        )?;
    }
    Ok(Outcome::Done)
}
