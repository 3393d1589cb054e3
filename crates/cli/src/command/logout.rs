//! The command `logout`.

use clap::Args;

use crate::{
    client::Client,
    context::Context,
    failure::{Failure, Outcome},
};

/// End the Session and delete the saved login
#[derive(Args)]
#[command(after_help = "Example:\n  octelium logout --domain example.com")]
pub(crate) struct LogoutArgs {}

/// Ends the Session of the domain.
pub(crate) async fn run(context: &Context) -> Result<Outcome, Failure> {
    let client = Client::connect(context).await?;
    context.terminal.say(if client.log_out().await? {
        "You are now logged out."
    } else {
        "You are not logged in."
    });
    Ok(Outcome::Done)
}
