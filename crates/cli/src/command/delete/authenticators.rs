//! The command `delete authenticator`.

use api::{meta_v1::ObjectReference, platform_v1::ResetAuthenticatorsRequest};
use clap::Args;

use super::counted;
use crate::{
    client::{Client, Repeat},
    context::Context,
    failure::{Failure, Outcome, Reason},
    kind::Kind,
    remote::{self, Selection},
    text::printable,
};

#[derive(Args)]
pub(super) struct AuthenticatorArgs {
    /// Names of the Authenticators, separated by spaces
    #[arg(required_unless_present = "all", value_name = "NAME")]
    pub(super) names: Vec<String>,
    /// Delete all Authenticators of a User who has lost them. Also delete the recovery codes and the count of wrong
    /// codes, and end the Sessions that were created by one of the Authenticators or are bound to it
    #[arg(long, requires = "user", conflicts_with = "names")]
    pub(super) all: bool,
    /// User whose Authenticators to delete, such as `alice` (with --all)
    #[arg(long, value_name = "USER", requires = "all")]
    user: Option<String>,
    /// Skip the confirmation before deleting all
    #[arg(short = 'y', long, requires = "all")]
    yes: bool,
}

/// Deletes all Authenticators of a User in one call.
pub(super) async fn reset(context: &Context, args: AuthenticatorArgs) -> Result<Outcome, Failure> {
    let user = args.user.unwrap_or_default();
    let client = Client::connect(context).await?;
    if !args.yes {
        confirm(context, &client, &user).await?;
    }
    let answer = client
        .call(Repeat::Unsafe, async |rpc| {
            let request = ResetAuthenticatorsRequest {
                user_ref: Some(ObjectReference {
                    name: user.clone(),
                    ..ObjectReference::default()
                }),
            };
            rpc.platform().reset_authenticators(request).await
        })
        .await?;
    let done = answer.into_inner();
    context.terminal.say(&format!(
        "{} of User `{}` successfully deleted; {} ended",
        counted(done.deleted_authenticators, "Authenticator"),
        printable(&user),
        counted(done.ended_sessions, "Session")
    ));
    Ok(Outcome::Done)
}

async fn confirm(context: &Context, client: &Client, user: &str) -> Result<(), Failure> {
    let selection = Selection {
        user: Some(user.to_owned()),
        ..Selection::default()
    };
    let listing = remote::list(client, Kind::Authenticator, &selection).await?;
    for item in &listing.items {
        let name = printable(item.name());
        context
            .terminal
            .say(&format!("Authenticator `{name}` would be deleted"));
    }
    let what = format!(
        "all Authenticators and the recovery codes of User `{}` would be deleted",
        printable(user)
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
        .hint("use --yes to skip the confirmation")),
    }
}
