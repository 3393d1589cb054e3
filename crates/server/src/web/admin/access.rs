//! The access log: requests to Services, their decisions and the reasons.

use ::api::{
    meta_v1::{CommonListOptions, ObjectReference},
    platform_v1::{AccessEvent, AccessEventList, ListAccessEventOptions, access_event::Decision},
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

pub(super) const PLACE: &str = "/admin/access";
const LOG: Log = Log {
    place: PLACE,
    title: "Access events",
    fields: &[
        Field {
            name: "user",
            label: "User",
            input: Input::Text,
        },
        Field {
            name: "service",
            label: "Service",
            input: Input::Text,
        },
        Field {
            name: "decision",
            label: "Decision",
            input: Input::Choice(&["allowed", "denied", "refused", "open", "undecided"]),
        },
        SINCE,
        UNTIL,
    ],
    columns: &[
        "Time (UTC)",
        "Decision",
        "User",
        "Service",
        "Request",
        "Reason",
        "Status",
        "Address",
    ],
    nothing: "No requests match the filters.",
};

/// Shows one page of events, newest first. Returns only the rows to the script.
pub(super) async fn page(
    State(ctx): State<Context>,
    admin: Administrator,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let wanted = EventQuery::read(&LOG, query.as_deref());
    let found = events::query(&admin, "ListAccessEvent", options(&wanted)).await;
    let (list, problem): (AccessEventList, _) = found?;
    let meta = list.list_response_meta.unwrap_or_default();
    let found = EventPage {
        rows: list.items.iter().map(|event| row(&admin, event)).collect(),
        total: meta.total_count,
        has_more: meta.has_more,
        problem,
    };
    Ok(events::page(&LOG, &admin, &wanted, &found, ctx.now()))
}

fn options(wanted: &EventQuery) -> Result<ListAccessEventOptions, String> {
    let reference = |kind: &str, field: &str| {
        let name = wanted.get(field);
        (!name.is_empty()).then(|| ObjectReference {
            kind: kind.to_owned(),
            name: name.to_owned(),
            ..ObjectReference::default()
        })
    };
    let decision = match wanted.get("decision") {
        "" => Decision::Unknown,
        word => Decision::from_str_name(&word.to_uppercase()).ok_or("Decision: unknown value.")?,
    };
    Ok(ListAccessEventOptions {
        common: Some(CommonListOptions {
            page: wanted.number - 1,
            items_per_page: ON_A_PAGE,
            order_by: None,
        }),
        user_ref: reference("User", "user"),
        service_ref: reference("Service", "service"),
        decision: decision.into(),
        since: wanted.instant(&SINCE)?,
        until: wanted.instant(&UNTIL)?,
    })
}

fn row(admin: &Administrator, event: &AccessEvent) -> Markup {
    let (class, decision) = match event.decision() {
        Decision::Allowed => ("badge good", "allowed"),
        Decision::Open => ("badge good", "open"),
        Decision::Denied => ("badge bad", "denied"),
        Decision::Refused => ("badge bad", "refused"),
        Decision::Undecided => ("badge", "undecided"),
        Decision::LeftOut => ("badge", "left out"),
        Decision::Unknown => ("badge", "unknown"),
    };
    if event.decision() == Decision::LeftOut {
        return html! {
            tr data-event=(identity(event)) {
                th scope="row" { (events::timestamp_text(event.at.as_ref())) }
                td { span class=(class) { (decision) } }
                td colspan="6" {
                    (event.count) " more at this time, recorded only in the access log of the replica."
                }
            }
        };
    }
    let status = match (event.status, event.grpc_status) {
        (0, _) => "–".to_owned(),
        (status, None) => status.to_string(),
        (status, Some(of_grpc)) => format!("{status}, gRPC {of_grpc}"),
    };
    let mut why = vec![event.reason.clone()];
    why.extend((!event.step_up.is_empty()).then(|| format!("would suffice: {}", event.step_up)));
    why.extend((!event.error.is_empty()).then(|| event.error.replace('_', " ")));
    why.retain(|part| !part.is_empty());
    let request = format!("{} {}{}", event.method, event.host, event.path);
    html! {
        tr data-event=(identity(event)) {
            th scope="row" { (events::timestamp_text(event.at.as_ref())) }
            td { span class=(class) { (decision) } }
            td { (object(admin, "user", event.user_ref.as_ref())) }
            td { (object(admin, "service", event.service_ref.as_ref())) }
            td { (view::cut(&request)) }
            td { (view::cut(&why.join("; "))) }
            td { (status) }
            td { (view::cut(&event.ip_address)) }
        }
    }
}

/// Returns a key that is unique per event.
fn identity(event: &AccessEvent) -> String {
    let at = event.at.unwrap_or_default();
    format!("{}-{}-{}", event.request_id, at.seconds, at.nanos)
}

fn object(admin: &Administrator, word: &str, reference: Option<&ObjectReference>) -> Markup {
    let Some(reference) = reference else {
        return html! { "–" };
    };
    let console_kind = ConsoleKind::named(word).ok();
    let console_kind = console_kind
        .filter(|console_kind| admin.api.allows(&super::api::path_of(&console_kind.get)));
    let text = view::cut(&reference.name);
    html! {
        @if let Some(console_kind) = console_kind { a href=(view::object_path(console_kind, &reference.name)) { (text) } }
        @else { (text) }
    }
}
