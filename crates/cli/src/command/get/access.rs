//! The command `get access`.

use std::{collections::BTreeSet, time::Duration};

use api::{
    meta_v1::ObjectReference,
    platform_v1::{AccessEvent, AccessEventList, ListAccessEventOptions, access_event::Decision},
    reflect,
};
use clap::{Args, ValueEnum};
use domain::clock::UnixMillis;

use super::{
    PagingArgs, instant,
    listing::{self, Listing},
};
use crate::{
    client::{Client, Repeat},
    context::Context,
    failure::{Failure, Outcome},
    kind::Kind,
    output::{self, Format, OutputArgs, table},
};

/// Polling interval of `--watch`.
const PERIOD: Duration = Duration::from_secs(1);

/// Maximum number of events in one response of the API.
const MOST: u32 = 1000;

/// Arguments of `get access`.
#[derive(Args)]
pub(super) struct AccessArgs {
    /// Show only requests of this User, such as `alice`
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Show only requests to this Service, such as `web`
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Show only requests with this decision, such as `denied`
    #[arg(long, value_name = "DECISION")]
    decision: Option<Word>,
    /// Show only requests after this time (2026-12-31T00:00:00Z) or duration ago (24h)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Show only requests before this time (2026-12-31T00:00:00Z) or duration ago (24h)
    #[arg(long, value_name = "TIME", conflicts_with = "watch")]
    until: Option<String>,
    /// Continue to print requests as they are made, as rows or as one JSON object per line
    #[arg(short = 'w', long)]
    watch: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Word {
    /// Allowed by a Policy
    Allowed,
    /// Denied by the Policies
    Denied,
    /// Refused before the Policies were evaluated
    Refused,
    /// Made to an anonymous Service
    Open,
    /// Cancelled by the client before the decision
    Undecided,
}

impl From<Word> for Decision {
    fn from(word: Word) -> Self {
        match word {
            Word::Allowed => Self::Allowed,
            Word::Denied => Self::Denied,
            Word::Refused => Self::Refused,
            Word::Open => Self::Open,
            Word::Undecided => Self::Undecided,
        }
    }
}

pub(super) async fn run(
    context: &Context,
    args: AccessArgs,
    paging: &PagingArgs,
) -> Result<Outcome, Failure> {
    let now = context.now();
    let reference = |kind: Kind, name: &str| ObjectReference {
        kind: kind.name().to_owned(),
        name: kind.full_name(name),
        ..ObjectReference::default()
    };
    let time = |text: Option<&String>| text.map(|text| instant(text, now)).transpose();
    let options = ListAccessEventOptions {
        common: Some(paging.options()),
        user_ref: args.user.as_deref().map(|name| reference(Kind::User, name)),
        service_ref: args
            .service
            .as_deref()
            .map(|name| reference(Kind::Service, name)),
        decision: args
            .decision
            .map_or(Decision::Unknown, Decision::from)
            .into(),
        since: time(args.since.as_ref())?,
        until: time(args.until.as_ref())?,
    };
    let client = Client::connect(context).await?;
    let format = args.output.output.unwrap_or(Format::Table);
    if args.watch {
        return watch(context, &client, options, &format).await;
    }
    let list = list(&client, &options).await?;
    let wide = format.is_wide();
    let mut rows = vec![header(wide)];
    rows.extend(list.items.iter().map(|event| row(event, wide)));
    let ids = list.items.iter().map(|event| event.request_id.clone());
    let listing = Listing {
        rows,
        names: ids.collect(),
        nothing: "No access events found",
        meta: list.list_response_meta,
    };
    listing::print(context, paging, &format, &list, &listing)
}

async fn list(
    client: &Client,
    options: &ListAccessEventOptions,
) -> Result<AccessEventList, Failure> {
    let answer = client.call(Repeat::Safe, async |rpc| {
        rpc.platform().list_access_event(options.clone()).await
    });
    Ok(answer.await?.into_inner())
}

/// Prints requests as they arrive, the oldest first, until the program is stopped.
async fn watch(
    context: &Context,
    client: &Client,
    mut options: ListAccessEventOptions,
    format: &Format,
) -> Result<Outcome, Failure> {
    let wide = format.is_wide();
    let is_table = matches!(format, Format::Table | Format::Wide);
    if is_table {
        context.terminal.line(&table::stream_row(&header(wide)))?;
    }
    if let Some(common) = &mut options.common {
        common.items_per_page = MOST;
    }
    // Events of the last interval, which the next poll may return again.
    let mut shown: BTreeSet<(String, Option<UnixMillis>)> = BTreeSet::new();
    loop {
        let mut items = list(client, &options).await?.items;
        items.reverse();
        let identity = |event: &AccessEvent| {
            let at = event.at.as_ref().map(UnixMillis::from_proto);
            (event.request_id.clone(), at)
        };
        for event in &items {
            if shown.contains(&identity(event)) {
                continue;
            }
            if is_table {
                let line = table::stream_row(&row(event, wide));
                context.terminal.line(&line)?;
            } else if let Format::Name = format {
                context.terminal.line(&event.request_id)?;
            } else if let Some(message) = reflect::dynamic(event) {
                output::message(context, &message, &Format::Jsonl)?;
            }
        }
        if let Some(last) = items.last().and_then(|event| event.at) {
            // Another replica may write events of the same time a little later, so the next poll starts earlier.
            let again = UnixMillis::from_proto(&last).saturating_sub(PERIOD * 2);
            options.since = Some(again.to_proto());
            shown = items.iter().map(identity).collect();
        }
        tokio::time::sleep(PERIOD).await;
    }
}

fn header(wide: bool) -> Vec<String> {
    let narrow = [
        "TIME", "DECISION", "USER", "SERVICE", "METHOD", "PATH", "STATUS", "REASON",
    ];
    let more = [
        "SESSION",
        "HOST",
        "IP ADDRESS",
        "DURATION",
        "ERROR",
        "REQUEST ID",
    ];
    let more = if wide { &more[..] } else { &[] };
    narrow.iter().chain(more).map(ToString::to_string).collect()
}

fn row(event: &AccessEvent, wide: bool) -> Vec<String> {
    let named = |reference: Option<&ObjectReference>| {
        reference.map_or_else(String::new, |reference| reference.name.clone())
    };
    let time = event.at.map_or_else(String::new, |at| {
        UnixMillis::from_seconds(at.seconds).to_string()
    });
    let reason = match event.decision() {
        Decision::LeftOut => format!("{} requests, in the access log only", event.count),
        _ => event.reason.clone(),
    };
    let status = match (event.status, event.grpc_status) {
        (0, _) => String::new(),
        (status, None) => status.to_string(),
        (_, Some(of_grpc)) => format!("gRPC {of_grpc}"),
    };
    let mut row = vec![
        time,
        event.decision().as_str_name().to_owned(),
        named(event.user_ref.as_ref()),
        named(event.service_ref.as_ref()),
        event.method.clone(),
        event.path.clone(),
        status,
        reason,
    ];
    if wide {
        let duration = event.duration.map_or_else(String::new, |duration| {
            let micros = duration.seconds * 1_000_000 + i64::from(duration.nanos) / 1000;
            format!("{}.{:03}ms", micros / 1000, micros % 1000)
        });
        row.extend([
            named(event.session_ref.as_ref()),
            event.host.clone(),
            event.ip_address.clone(),
            duration,
            event.error.clone(),
            event.request_id.clone(),
        ]);
    }
    row
}
