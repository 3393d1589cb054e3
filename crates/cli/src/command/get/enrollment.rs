//! `get enrollment`

use api::{
    meta_v1::ObjectReference,
    platform_v1::{Enrollment, ListEnrollmentOptions},
};
use clap::Args;
use domain::{clock::UnixMillis, columns};

use super::PagingArgs;
use crate::{
    client::{Client, Repeat},
    context::Context,
    failure::{Failure, Outcome},
    output::{self, Format, OutputArgs, table},
};

/// Which links.
#[derive(Args)]
pub(super) struct EnrollmentArgs {
    /// Only those of this User
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// The links themselves are not shown: they were told once, when they were made.
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
    match args.output.output.unwrap_or(Format::Table) {
        Format::Table | Format::Wide if list.items.is_empty() => {
            context.terminal.say("No enrollment links that still work");
        }
        Format::Table | Format::Wide => {
            let header = ["UID", "USER", "EXPIRES IN", "MADE BY", "AGE"];
            let mut rows = vec![header.map(str::to_owned).to_vec()];
            rows.extend(list.items.iter().map(|item| row(item, context.now())));
            context.terminal.data(&table::render(&rows))?;
            if list.list_response_meta.unwrap_or_default().has_more {
                let next = paging.options().page + 2;
                context
                    .terminal
                    .say(&format!("There are more: --page {next}"));
            }
        }
        Format::Name => {
            for item in &list.items {
                context.terminal.line(&item.uid)?;
            }
        }
        format => {
            if let Some(value) = output::list_value(&list) {
                output::value(context, &value, &format)?;
            }
        }
    }
    Ok(Outcome::Done)
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
