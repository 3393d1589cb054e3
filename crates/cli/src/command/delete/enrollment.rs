//! The command `delete enrollment`.

use api::{meta_v1::ObjectReference, platform_v1::RevokeEnrollmentRequest};
use clap::Args;

use super::counted;
use crate::{
    client::{Client, Repeat},
    context::Context,
    failure::{Failure, Outcome},
    text::printable,
};

#[derive(Args)]
pub(super) struct EnrollmentArgs {
    /// Uids of the links, as shown by `octeliumctl get enrollment`, separated by spaces
    #[arg(required_unless_present = "all", value_name = "UID")]
    uids: Vec<String>,
    /// Revoke all links of a User
    #[arg(long, requires = "user", conflicts_with = "uids")]
    all: bool,
    /// User whose links to revoke, such as `john` (with --all)
    #[arg(long, value_name = "USER", requires = "all")]
    user: Option<String>,
}

/// Revokes links that were not used yet.
pub(super) async fn revoke(context: &Context, args: EnrollmentArgs) -> Result<Outcome, Failure> {
    let client = Client::connect(context).await?;
    for uid in &args.uids {
        let request = RevokeEnrollmentRequest {
            uid: uid.clone(),
            user_ref: None,
        };
        call(&client, request).await?;
        let uid = printable(uid);
        context
            .terminal
            .say(&format!("Enrollment link `{uid}` successfully revoked"));
    }
    if let Some(user) = args.user {
        let request = RevokeEnrollmentRequest {
            uid: String::new(),
            user_ref: Some(ObjectReference {
                name: user.clone(),
                ..ObjectReference::default()
            }),
        };
        let revoked = call(&client, request).await?;
        context.terminal.say(&format!(
            "{} of User `{}` successfully revoked",
            counted(revoked, "enrollment link"),
            printable(&user)
        ));
    }
    Ok(Outcome::Done)
}

async fn call(client: &Client, request: RevokeEnrollmentRequest) -> Result<u32, Failure> {
    let answer = client
        .call(Repeat::Unsafe, async |rpc| {
            rpc.platform().revoke_enrollment(request.clone()).await
        })
        .await?;
    Ok(answer.into_inner().revoked)
}
