//! The flag `--watch` of `get`.

use std::time::Duration;

use api::{
    document,
    platform_v1::{
        Resource, WatchEvent, WatchRequest, resource::Resource as Body, watch_event::Type,
    },
};
use domain::columns;
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

use crate::{
    client::{Client, Repeat},
    context::Context,
    failure::{Failure, Outcome, Reason},
    kind::Kind,
    output::{self, Format, table},
    remote::Selection,
};

/// Maximum number of reconnection attempts without a new event.
const ATTEMPTS: u32 = 5;

/// The objects to watch.
pub(super) struct Watched {
    pub(super) kind: Kind,
    pub(super) name: Option<String>,
    pub(super) selection: Selection,
    pub(super) after_cursor: u64,
}

/// Prints events until the Cluster ends the stream permanently.
pub(super) async fn run(
    context: &Context,
    client: &Client,
    watched: &Watched,
    format: &Format,
) -> Result<Outcome, Failure> {
    if matches!(format, Format::Table | Format::Wide) {
        let mut header = columns::header(watched.kind.stored(), format.is_wide());
        header.insert(0, "EVENT".to_owned());
        context.terminal.line(&table::stream_row(&header))?;
    }
    let mut cursor = watched.after_cursor;
    let mut attempts = 0;
    loop {
        let before = cursor;
        let failure = match follow(context, client, watched, format, &mut cursor).await {
            Ok(()) => Failure::unavailable("the Cluster ended the watch"),
            Err(failure) => failure,
        };
        attempts = if cursor == before { attempts + 1 } else { 1 };
        if failure.reason != Reason::Unavailable || attempts >= ATTEMPTS {
            return Err(failure);
        }
        context
            .terminal
            .say(&format!("{}; reconnecting", failure.message));
        tokio::time::sleep(Duration::from_millis(100) * 2_u32.pow(attempts)).await;
    }
}

async fn follow(
    context: &Context,
    client: &Client,
    watched: &Watched,
    format: &Format,
    cursor: &mut u64,
) -> Result<(), Failure> {
    let request = WatchRequest {
        kind: watched.kind.name().to_owned(),
        after_cursor: *cursor,
    };
    let mut stream = client
        .call(Repeat::Safe, async |rpc| {
            rpc.platform().watch(request.clone()).await
        })
        .await?
        .into_inner();
    while let Some(event) = stream.next().await {
        let event = event.map_err(|status| broken(&status))?;
        show(context, watched, format, &event)?;
        if event.cursor > 0 {
            *cursor = event.cursor;
        }
    }
    Ok(())
}

/// Converts the error of a stream. A broken connection has one of these codes, so they count as unavailable.
fn broken(status: &Status) -> Failure {
    let mut failure = Failure::of_status(status);
    if matches!(
        status.code(),
        Code::Unknown | Code::Internal | Code::Cancelled
    ) {
        failure.reason = Reason::Unavailable;
    }
    failure
}

fn show(
    context: &Context,
    watched: &Watched,
    format: &Format,
    event: &WatchEvent,
) -> Result<(), Failure> {
    let event_type = event.r#type().as_str_name();
    let Some(resource) = &event.resource else {
        if event.r#type() == Type::Synced && matches!(format, Format::Json | Format::Jsonl) {
            let line =
                serde_json::json!({ "type": event_type, "cursor": event.cursor.to_string() });
            return context.terminal.line(&line.to_string());
        }
        return Ok(());
    };
    if !watched.holds(resource) {
        return Ok(());
    }
    let text = match format {
        Format::Table | Format::Wide => {
            let mut row = columns::row(resource, context.now(), format.is_wide());
            row.insert(0, event_type.to_owned());
            table::stream_row(&row)
        }
        Format::Name => output::name(watched.kind, resource),
        Format::Json | Format::Jsonl | Format::Yaml | Format::JsonPath(_) | Format::Field(_) => {
            let object = resource
                .dynamic()
                .map(|message| document::to_json(&message));
            if let Format::JsonPath(_) | Format::Field(_) = format {
                let object = object.unwrap_or_default();
                return output::value(context, &object, format);
            }
            let event = serde_json::json!({
                "type": event_type,
                "cursor": event.cursor.to_string(),
                "object": object,
            });
            if *format == Format::Yaml {
                context.terminal.line("---")?;
                return output::value(context, &event, format);
            }
            event.to_string()
        }
    };
    context.terminal.line(&text)
}

impl Watched {
    fn holds(&self, resource: &Resource) -> bool {
        let named = self
            .name
            .as_deref()
            .is_none_or(|name| name == resource.name());
        let wanted = self
            .selection
            .user
            .as_ref()
            .or(self.selection.namespace.as_ref());
        named && wanted.is_none_or(|wanted| parent(resource) == Some(wanted))
    }
}

/// Returns the name of the User or the Namespace that the object belongs to.
fn parent(resource: &Resource) -> Option<&String> {
    let reference = match resource.resource.as_ref()? {
        Body::Session(object) => object.status.as_ref()?.user_ref.as_ref(),
        Body::Credential(object) => object.status.as_ref()?.user_ref.as_ref(),
        Body::Device(object) => object.status.as_ref()?.user_ref.as_ref(),
        Body::Authenticator(object) => object.status.as_ref()?.user_ref.as_ref(),
        Body::Service(object) => object.status.as_ref()?.namespace_ref.as_ref(),
        _ => None,
    };
    reference.map(|reference| &reference.name)
}
