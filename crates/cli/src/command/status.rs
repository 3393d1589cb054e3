//! The command `status`.

use api::{
    reflect,
    user_v1::{GetStatusRequest, GetStatusResponse},
};
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

/// Prints the status of the caller.
pub(crate) async fn run(context: &Context, args: StatusArgs) -> Result<Outcome, Failure> {
    let client = Client::connect(context).await?;
    let status = fetch(&client).await?;
    if let Some(message) = reflect::dynamic(&status) {
        let format = args.output.output.unwrap_or(Format::Yaml);
        output::message(context, &message, &format)?;
    }
    Ok(Outcome::Done)
}

/// Gets the status of the caller from the Cluster.
pub(super) async fn fetch(client: &Client) -> Result<GetStatusResponse, Failure> {
    let status = client
        .call(Repeat::Safe, async |rpc| {
            rpc.user().get_status(GetStatusRequest {}).await
        })
        .await?;
    Ok(status.into_inner())
}
