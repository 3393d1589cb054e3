//! The command `create enrollment`.

use api::{meta_v1::ObjectReference, platform_v1::CreateEnrollmentRequest};
use clap::Args;
use domain::clock::UnixMillis;

use crate::{
    client::{Client, Repeat},
    context::Context,
    failure::{Failure, Outcome},
};

/// Create a one-time link that lets a User log in with a browser
#[derive(Args)]
#[command(
    after_help = "Example:\n  octeliumctl create enrollment --user john\n  octeliumctl create enrollment --user john --expire-in 2days"
)]
pub(crate) struct EnrollmentArgs {
    /// User that the link is for, such as `john`
    #[arg(long, value_name = "USER")]
    user: String,
    /// Lifetime of the link, such as 2days, at most 7days [default: 1hour]
    #[arg(long, value_name = "DURATION")]
    expire_in: Option<String>,
}

/// Creates a link and prints only the link to standard output.
pub(crate) async fn run(context: &Context, args: EnrollmentArgs) -> Result<Outcome, Failure> {
    let now = context.now();
    let expires_in = args
        .expire_in
        .as_deref()
        .map(|text| {
            domain::duration::parse_expire_in(text, now)
                .map(|until| domain::duration::to_proto(until.since(now)))
                .map_err(|error| Failure::usage(format!("--expire-in: {error}")))
        })
        .transpose()?;
    let client = Client::connect(context).await?;
    let answer = client
        .call(Repeat::Unsafe, async |rpc| {
            let request = CreateEnrollmentRequest {
                user_ref: Some(ObjectReference {
                    name: args.user.clone(),
                    ..ObjectReference::default()
                }),
                expires_in,
            };
            rpc.platform().create_enrollment(request).await
        })
        .await?;
    let enrollment = answer.into_inner();
    let until = enrollment.expires_at.as_ref().map(UnixMillis::from_proto);
    let minutes = until.map_or(0, |until| until.since(now).as_secs().div_ceil(60));
    context.terminal.say(&format!(
        "Anyone who opens this link is signed in as {}. It works once, within {minutes} minutes. Give it only to that \
         person.",
        args.user
    ));
    context.terminal.line(&enrollment.url)?;
    Ok(Outcome::Done)
}
