//! The audit log: events of identities, Credentials and resources, updated live.

use ::api::{
    meta_v1::{CommonListOptions, ObjectReference},
    platform_v1::{AuditEvent, AuditEventList, ListAuditEventOptions, audit_event::Outcome},
};
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use maud::{Markup, html};

use super::{
    Administrator,
    events::{self, EventPage, EventQuery, Field, Input, Log, ON_A_PAGE, SINCE, UNTIL},
    kind::ConsoleKind,
    view,
};
use crate::{Context, web::failure::Failure};

pub(super) const PLACE: &str = "/admin/audit";
const LOG: Log = Log {
    place: PLACE,
    title: "Audit events",
    fields: &[
        Field {
            name: "type",
            label: "Event",
            input: Input::Text,
        },
        Field {
            name: "user",
            label: "User",
            input: Input::Text,
        },
        Field {
            name: "resource",
            label: "Object (kind/name)",
            input: Input::Text,
        },
        SINCE,
        UNTIL,
    ],
    columns: &[
        "Time (UTC)",
        "Event",
        "Outcome",
        "User",
        "Object",
        "Address",
        "Details",
    ],
    nothing: "No events match the filters.",
};

/// Shows one page of events, newest first. Returns only the rows to the script.
pub(super) async fn page(
    State(ctx): State<Context>,
    admin: Administrator,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let wanted = EventQuery::read(&LOG, query.as_deref());
    let found = events::query(&admin, "ListAuditEvent", options(&wanted)).await;
    let (list, problem): (AuditEventList, _) = found?;
    let meta = list.list_response_meta.unwrap_or_default();
    let found = EventPage {
        rows: list.items.iter().map(|event| row(&admin, event)).collect(),
        total: meta.total_count,
        has_more: meta.has_more,
        problem,
    };
    Ok(events::page(&LOG, &admin, &wanted, &found, ctx.now()))
}

fn options(wanted: &EventQuery) -> Result<ListAuditEventOptions, String> {
    let reference = |kind: &str, name: &str| ObjectReference {
        kind: kind.to_owned(),
        name: name.to_owned(),
        ..ObjectReference::default()
    };
    let user = wanted.get("user");
    let resource = match wanted.get("resource") {
        "" => None,
        text => {
            let (word, name) = text
                .split_once('/')
                .ok_or("Object: enter kind/name, such as credential/cred01.")?;
            let console_kind = ConsoleKind::named(&word.to_lowercase())
                .map_err(|_| "Object: unknown kind.".to_owned())?;
            Some(reference(console_kind.kind.as_str(), name))
        }
    };
    Ok(ListAuditEventOptions {
        common: Some(CommonListOptions {
            page: wanted.number - 1,
            items_per_page: ON_A_PAGE,
            order_by: None,
        }),
        user_ref: (!user.is_empty()).then(|| reference("User", user)),
        resource_ref: resource,
        r#type: wanted.get("type").to_owned(),
        since: wanted.instant(&SINCE)?,
        until: wanted.instant(&UNTIL)?,
    })
}

fn row(admin: &Administrator, event: &AuditEvent) -> Markup {
    let name = |reference: Option<&ObjectReference>| {
        reference.map_or("", |reference| &reference.name).to_owned()
    };
    let (class, outcome) = match event.outcome() {
        Outcome::Success => ("badge good", "done"),
        Outcome::Refused => ("badge bad", "refused"),
        Outcome::Failed => ("badge bad", "failed"),
        Outcome::Unknown => ("badge", "unknown"),
    };
    let attributes = event
        .attrs
        .iter()
        .map(|(key, value)| format!("{key} {value}"));
    let mut more: Vec<String> = attributes.collect();
    more.extend((!event.reason.is_empty()).then(|| event.reason.clone()));
    more.extend((event.count > 1).then(|| format!("{} times", event.count)));
    html! {
        tr data-event=(event.uid) {
        th scope="row" { (events::timestamp_text(event.at.as_ref())) }
        td { (view::cut(&event.r#type)) }
        td { span class=(class) { (outcome) } }
        td { (view::cut(&name(event.user_ref.as_ref()))) }
        td { (target(admin, event.resource_ref.as_ref())) }
        td { (view::cut(&event.ip_address)) }
        td { (view::cut(&more.join(", "))) }
        }
    }
}

fn target(admin: &Administrator, reference: Option<&ObjectReference>) -> Markup {
    let Some(reference) = reference else {
        return html! { "–" };
    };
    let text = view::cut(&format!("{} {}", reference.kind, reference.name));
    let console_kind = ConsoleKind::named(&reference.kind.to_lowercase()).ok();
    let console_kind = console_kind
        .filter(|console_kind| admin.api.allows(&super::api::path_of(&console_kind.get)));
    html! {
        @if let Some(console_kind) = console_kind { a href=(view::object_path(console_kind, &reference.name)) { (text) } }
        @else { (text) }
    }
}
