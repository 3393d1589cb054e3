//! What has happened to identities, Credentials and resources, as it happens.

use ::api::{
    meta_v1::{CommonListOptions, ObjectReference},
    platform_v1::{AuditEvent, AuditEventList, ListAuditEventOptions, audit_event::Outcome},
};
use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use domain::clock::UnixMillis;
use http::{HeaderValue, StatusCode, header};
use maud::{Markup, html};
use prost_types::Timestamp;

use super::{Administrator, api::platform, kind::Shown, view};
use crate::{
    Context, ErrorKind,
    web::{failure::Failure, form::Fields, portal::moment::utc},
};

const PLACE: &str = "/admin/audit";
const ON_A_PAGE: u32 = 50;
/// The fields of the form.
const FIELDS: [&str; 5] = ["type", "user", "resource", "since", "until"];

/// What a person has asked for, as written.
struct Wanted<'a> {
    fields: Vec<(&'static str, &'a str)>,
    /// From 1.
    number: u32,
}

impl Wanted<'_> {
    fn get(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// One page of events, newest first; the rows alone where the script asks for those.
pub(super) async fn page(
    State(ctx): State<Context>,
    admin: Administrator,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let given = Fields::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let wanted = Wanted {
        fields: FIELDS
            .map(|name| (name, given.get(name).unwrap_or_default().trim()))
            .into(),
        number: given
            .get("page")
            .and_then(|number| number.parse().ok())
            .unwrap_or(1)
            .max(1),
    };
    let is_fragment = given.get("rows").is_some();
    let (list, problem) = match options(&wanted) {
        Ok(options) => match admin.api.ask(&platform("ListAuditEvent"), &options).await {
            Ok(list) => (list, None),
            // Such as of a User that there is not.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::InvalidArgument
                ) =>
            {
                (AuditEventList::default(), Some(error.public().to_owned()))
            }
            Err(error) => return Err(error.into()),
        },
        Err(problem) => (AuditEventList::default(), Some(problem)),
    };
    let rows = rows(&admin, &list.items);
    if is_fragment {
        return Ok(fragment(&rows, problem.is_none()));
    }
    let total = list.list_response_meta.unwrap_or_default().total_count;
    let body = body(&wanted, &rows, total, problem.as_deref(), ctx.now());
    let page = view::page(&admin.api, "Audit events", PLACE, &body).asks_for_more();
    Ok(page.into_response())
}

fn options(wanted: &Wanted<'_>) -> Result<ListAuditEventOptions, String> {
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
                .ok_or("Resource: write kind/name, as credential/cred01.")?;
            let shown = Shown::named(&word.to_lowercase())
                .map_err(|_| "Resource: there is no such kind.".to_owned())?;
            Some(reference(shown.kind.as_str(), name))
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
        since: instant("From", wanted.get("since"))?,
        until: instant("Until", wanted.get("until"))?,
    })
}

/// What a field for date and time holds, in UTC.
fn instant(label: &str, text: &str) -> Result<Option<Timestamp>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let seconds = if text.matches(':').count() == 1 {
        ":00"
    } else {
        ""
    };
    format!("{text}{seconds}Z")
        .parse()
        .map(Some)
        .map_err(|_| format!("{label}: write date and time, as 2026-11-22T09:30."))
}

fn rows(admin: &Administrator, events: &[AuditEvent]) -> Markup {
    html! {
        @for event in events { tr data-event=(event.uid) { (row(admin, event)) } }
        @if events.is_empty() { tr { td colspan="7" { "Nothing has happened that is asked for." } } }
    }
}

fn row(admin: &Administrator, event: &AuditEvent) -> Markup {
    let at = event.at.as_ref().map(|at| utc(UnixMillis::from_proto(at)));
    let at = at.unwrap_or_default();
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
        th scope="row" { time datetime=(at) { (at.replace('T', " ").trim_end_matches('Z')) } }
        td { (view::cut(&event.r#type)) }
        td { span class=(class) { (outcome) } }
        td { (view::cut(&name(event.user_ref.as_ref()))) }
        td { (target(admin, event.resource_ref.as_ref())) }
        td { (view::cut(&event.ip_address)) }
        td { (view::cut(&more.join(", "))) }
    }
}

fn target(admin: &Administrator, reference: Option<&ObjectReference>) -> Markup {
    let Some(reference) = reference else {
        return html! { "–" };
    };
    let text = view::cut(&format!("{} {}", reference.kind, reference.name));
    let shown = Shown::named(&reference.kind.to_lowercase()).ok();
    let shown = shown.filter(|shown| admin.api.allows(&super::api::path_of(&shown.get)));
    html! {
        @if let Some(shown) = shown { a href=(view::place_of(shown, &reference.name)) { (text) } }
        @else { (text) }
    }
}

/// The rows, for the script. Whatever else comes, as the login page, is none.
fn fragment(rows: &Markup, is_good: bool) -> Response {
    let status = if is_good {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    let mut response = (status, rows.0.clone()).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn body(
    wanted: &Wanted<'_>,
    rows: &Markup,
    total: u32,
    problem: Option<&str>,
    now: UnixMillis,
) -> Markup {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(wanted.fields.iter().filter(|(_, value)| !value.is_empty()))
        .finish();
    let again = format!("{PLACE}?{query}");
    let more = if query.is_empty() {
        "rows=1".to_owned()
    } else {
        format!("{query}&rows=1")
    };
    // What is behind the first page does not change, and neither does what has an end.
    let is_live = wanted.number == 1 && wanted.get("until").is_empty() && problem.is_none();
    let live = is_live.then(|| format!("{PLACE}?{more}"));
    html! {
        div.heading { h1 { "Audit events" } }
        (filters(wanted))
        @if let Some(problem) = problem { p.warning role="alert" { (problem) } }
        div.live {
            p.count role="status" id="live-said" {
                @if total == 1 { "1 event" } @else { (total) " events" }
                ", newest first. Read at " (utc(now).replace('T', " ").trim_end_matches('Z')) " UTC."
            }
            a.button.quiet href=(again) { "Reload" }
            button.quiet type="button" id="live-switch" hidden { "Pause" }
        }
        div.scroll role="region" aria-label="Audit events" tabindex="0" {
            table.audit {
                caption.unseen { "Audit events, newest first" }
                thead {
                    tr {
                        @for title in ["Time (UTC)", "Event", "Outcome", "User", "Object", "Address", "More"] {
                            th scope="col" { (title) }
                        }
                    }
                }
                tbody id="live" data-live=[live.as_deref()] { (rows) }
            }
        }
        (view::pager(PLACE, &wanted.fields, wanted.number, total.div_ceil(ON_A_PAGE).max(1)))
    }
}

fn filters(wanted: &Wanted<'_>) -> Markup {
    let input = |id: &str, r#type: &str, label: &str| {
        html! {
            div {
                label for=(id) { (label) }
                input type=(r#type) id=(id) name=(id) value=(wanted.get(id)) autocomplete="off" autocapitalize="off" spellcheck="false";
            }
        }
    };
    html! {
        form.filters role="search" method="get" action=(PLACE) {
            (input("type", "text", "Event"))
            (input("user", "text", "User"))
            (input("resource", "text", "Object (kind/name)"))
            (input("since", "datetime-local", "From (UTC)"))
            (input("until", "datetime-local", "Until (UTC)"))
            button.quiet type="submit" { "Show" }
        }
    }
}
