//! The command `get mds`.

use api::{
    platform_v1::{GetMetadataServiceStateRequest, MetadataServiceState},
    reflect,
};
use clap::Args;
use domain::clock::UnixMillis;
use prost_types::Timestamp;

use crate::{
    client::{Client, Repeat},
    context::Context,
    failure::{Failure, Outcome},
    output::{self, Format, OutputArgs, table},
};

/// Arguments of `get mds`.
#[derive(Args)]
pub(super) struct MdsArgs {
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(context: &Context, args: MdsArgs) -> Result<Outcome, Failure> {
    let client = Client::connect(context).await?;
    let state = client
        .call(Repeat::Safe, async |rpc| {
            let request = GetMetadataServiceStateRequest {};
            rpc.platform().get_metadata_service_state(request).await
        })
        .await?
        .into_inner();
    match args.output.output.unwrap_or(Format::Table) {
        Format::Table | Format::Wide => {
            let header = [
                "STATE",
                "NUMBER",
                "ENTRIES",
                "NEXT UPDATE",
                "STORED",
                "SOURCE",
            ];
            let rows = [header.map(str::to_owned).to_vec(), row(&state)];
            context.terminal.data(&table::render(&rows))?;
            if !state.last_error.is_empty() {
                let error = &state.last_error;
                context
                    .terminal
                    .say(&format!("The last attempt failed: {error}"));
            }
        }
        Format::Name => context.terminal.line("mds")?,
        format => {
            if let Some(message) = reflect::dynamic(&state) {
                output::message(context, &message, &format)?;
            }
        }
    }
    Ok(Outcome::Done)
}

fn row(state: &MetadataServiceState) -> Vec<String> {
    let time = |time: Option<&Timestamp>| {
        time.map_or_else(String::new, |time| {
            UnixMillis::from_seconds(time.seconds).to_string()
        })
    };
    vec![
        state.state().as_str_name().to_owned(),
        state.number.to_string(),
        state.entries.to_string(),
        time(state.next_update.as_ref()),
        time(state.stored_at.as_ref()),
        state.source.clone(),
    ]
}
