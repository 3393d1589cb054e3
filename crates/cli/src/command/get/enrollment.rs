//! The command `get enrollment`.

use api::{
    meta_v1::ObjectReference,
    platform_v1::{Enrollment, ListEnrollmentOptions},
};
use clap::Args;
use domain::{clock::UnixMillis, columns};

use super::{
    PagingArgs,
    listing::{self, Listing},
};
use crate::{
    client::{Client, Repeat},
    context::Context,
    failure::{Failure, Outcome},
    output::{Format, OutputArgs},
};

/// Arguments of `get enrollment`.
#[derive(Args)]
pub(super) struct EnrollmentArgs {
    /// Show only links of this User, such as `john`
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Lists the links without their URLs, which the Cluster returns only when a link is created.
pub(super) async fn run(
    context: &Context,
    args: EnrollmentArgs,
    paging: &PagingArgs,
) -> Result<Outcome, Failure> {
    let options = ListEnrollmentOptions {
        common: Some(paging.options()),
        user_ref: args.user.map(|name| ObjectReference {
            name,
            ..ObjectReference::default()
        }),
    };
    let client = Client::connect(context).await?;
    let list = client
        .call(Repeat::Safe, async |rpc| {
            rpc.platform().list_enrollment(options.clone()).await
        })
        .await?
        .into_inner();
    let format = args.output.output.unwrap_or(Format::Table);
    let header = ["UID", "USER", "EXPIRES IN", "MADE BY", "AGE"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(list.items.iter().map(|item| row(item, context.now())));
    let listing = Listing {
        rows,
        names: list.items.iter().map(|item| item.uid.clone()).collect(),
        nothing: "No unused enrollment links found",
        meta: list.list_response_meta,
    };
    listing::print(context, paging, &format, &list, &listing)
}

fn row(item: &Enrollment, now: UnixMillis) -> Vec<String> {
    let name = |reference: Option<&ObjectReference>| {
        reference.map_or_else(String::new, |reference| reference.name.clone())
    };
    vec![
        item.uid.clone(),
        name(item.user_ref.as_ref()),
        columns::until(item.expires_at.as_ref(), now),
        name(item.created_by_ref.as_ref()),
        columns::since(item.created_at.as_ref(), now),
    ]
}
