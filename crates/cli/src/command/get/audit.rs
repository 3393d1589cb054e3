//! The command `get audit`.

use api::{
    meta_v1::ObjectReference,
    platform_v1::{AuditEvent, ListAuditEventOptions},
};
use clap::Args;
use domain::clock::UnixMillis;
use prost_types::Timestamp;

use super::{
    PagingArgs,
    listing::{self, Listing},
};
use crate::{
    client::{Client, Repeat},
    context::Context,
    failure::{Failure, Outcome},
    kind::Kind,
    output::{Format, OutputArgs},
};

/// Arguments of `get audit`.
#[derive(Args)]
pub(super) struct AuditArgs {
    /// Show only events of this User, such as `alice`
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Show only events of this object, such as `credential/cred01`
    #[arg(long, value_name = "KIND/NAME")]
    resource: Option<String>,
    /// Show only events of this type, such as `session.created`
    #[arg(long, value_name = "TYPE")]
    r#type: Option<String>,
    /// Show only events after this time (2026-12-31T00:00:00Z) or duration ago (24h)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Show only events before this time (2026-12-31T00:00:00Z) or duration ago (24h)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(
    context: &Context,
    args: AuditArgs,
    paging: &PagingArgs,
) -> Result<Outcome, Failure> {
    let now = context.now();
    let reference = |kind: Kind, name: &str| ObjectReference {
        kind: kind.name().to_owned(),
        name: kind.full_name(name),
        ..ObjectReference::default()
    };
    let resource_ref = args
        .resource
        .as_deref()
        .map(|text| {
            let (kind, name) = text.split_once('/').unwrap_or((text, ""));
            match Kind::parse(kind) {
                Some(kind) if !name.is_empty() => Ok(reference(kind, name)),
                _ => Err(Failure::usage(format!(
                    "--resource is `{text}`; it must be kind/name, such as credential/cred01"
                ))),
            }
        })
        .transpose()?;
    let time = |text: Option<&String>| text.map(|text| instant(text, now)).transpose();
    let options = ListAuditEventOptions {
        common: Some(paging.options()),
        user_ref: args.user.as_deref().map(|name| reference(Kind::User, name)),
        resource_ref,
        r#type: args.r#type.clone().unwrap_or_default(),
        since: time(args.since.as_ref())?,
        until: time(args.until.as_ref())?,
    };
    let client = Client::connect(context).await?;
    let list = client
        .call(Repeat::Safe, async |rpc| {
            rpc.platform().list_audit_event(options.clone()).await
        })
        .await?
        .into_inner();
    let format = args.output.output.unwrap_or(Format::Table);
    let wide = format.is_wide();
    let mut rows = vec![header(wide)];
    rows.extend(list.items.iter().map(|event| row(event, wide)));
    let listing = Listing {
        rows,
        names: list.items.iter().map(|event| event.uid.clone()).collect(),
        nothing: "No audit events found",
        meta: list.list_response_meta,
    };
    listing::print(context, paging, &format, &list, &listing)
}

/// Parses a time (RFC 3339) or a duration before `now`.
pub(super) fn instant(text: &str, now: UnixMillis) -> Result<Timestamp, Failure> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(UnixMillis(time.as_millisecond()).to_proto());
    }
    let later = domain::duration::parse_expire_in(text, now).map_err(|error| {
        Failure::usage(format!(
            "`{text}` is neither a time such as 2026-12-31T00:00:00Z nor a duration: {error}"
        ))
    })?;
    Ok(now.saturating_sub(later.since(now)).to_proto())
}

fn header(wide: bool) -> Vec<String> {
    let narrow = [
        "TIME", "TYPE", "OUTCOME", "REASON", "USER", "RESOURCE", "COUNT",
    ];
    let more = ["SESSION", "IP ADDRESS", "USER AGENT", "REQUEST ID"];
    let more = if wide { &more[..] } else { &[] };
    narrow.iter().chain(more).map(ToString::to_string).collect()
}

fn row(event: &AuditEvent, wide: bool) -> Vec<String> {
    let named = |reference: Option<&ObjectReference>| {
        reference.map_or_else(String::new, |reference| reference.name.clone())
    };
    let resource = event
        .resource_ref
        .as_ref()
        .map_or_else(String::new, |reference| {
            let kind =
                Kind::parse(&reference.kind).map_or(reference.kind.as_str(), |kind| kind.word());
            let name = if reference.name.is_empty() {
                &reference.uid
            } else {
                &reference.name
            };
            format!("{kind}/{name}")
        });
    let time = event.at.map_or_else(String::new, |at| {
        UnixMillis::from_seconds(at.seconds).to_string()
    });
    let mut row = vec![
        time,
        event.r#type.clone(),
        event.outcome().as_str_name().to_owned(),
        event.reason.clone(),
        named(event.user_ref.as_ref()),
        resource,
        event.count.max(1).to_string(),
    ];
    if wide {
        row.extend([
            named(event.actor_ref.as_ref()),
            event.ip_address.clone(),
            event.user_agent.clone(),
            event.request_id.clone(),
        ]);
    }
    row
}
