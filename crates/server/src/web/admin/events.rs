//! Event logs as pages with live updates and filters, newest event first.

use axum::response::{IntoResponse as _, Response};
use domain::clock::UnixMillis;
use http::{HeaderValue, StatusCode, header};
use maud::{Markup, html};
use prost::Message;
use prost_types::Timestamp;

use super::{Administrator, api::platform, view};
use crate::{
    ErrorKind,
    web::{failure::Failure, form::Fields, portal::time_text::utc},
};

pub(super) const ON_A_PAGE: u32 = 50;

/// Description of a log.
pub(super) struct Log {
    pub(super) place: &'static str,
    pub(super) title: &'static str,
    /// The filter fields.
    pub(super) fields: &'static [Field],
    pub(super) columns: &'static [&'static str],
    /// Text for an empty list.
    pub(super) nothing: &'static str,
}

/// A filter field.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) input: Input,
}

/// Type of a filter field.
#[derive(Clone, Copy)]
pub(super) enum Input {
    Text,
    /// Date and time in UTC.
    Moment,
    /// One of the given words, or none.
    Choice(&'static [&'static str]),
}

/// Inclusive lower bound of the time.
pub(super) const SINCE: Field = Field {
    name: "since",
    label: "From (UTC)",
    input: Input::Moment,
};
/// Exclusive upper bound of the time.
pub(super) const UNTIL: Field = Field {
    name: "until",
    label: "Until (UTC)",
    input: Input::Moment,
};

/// The filters as typed.
pub(super) struct EventQuery {
    fields: Vec<(&'static str, String)>,
    /// Page number, starting at 1.
    pub(super) number: u32,
    /// True if the script asks for rows only.
    is_fragment: bool,
}

impl EventQuery {
    pub(super) fn read(log: &Log, query: Option<&str>) -> Self {
        let given = Fields::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
        let value = |name| given.get(name).unwrap_or_default().trim().to_owned();
        Self {
            fields: log
                .fields
                .iter()
                .map(|field| (field.name, value(field.name)))
                .collect(),
            number: given
                .get("page")
                .and_then(|number| number.parse().ok())
                .unwrap_or(1)
                .max(1),
            is_fragment: given.get("rows").is_some(),
        }
    }

    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value)
    }

    /// Parses a date and time field.
    ///
    /// # Errors
    /// Returns a text for the person if the value is malformed.
    pub(super) fn instant(&self, field: &Field) -> Result<Option<Timestamp>, String> {
        let text = self.get(field.name);
        if text.is_empty() {
            return Ok(None);
        }
        let seconds = if text.matches(':').count() == 1 {
            ":00"
        } else {
            ""
        };
        format!("{text}{seconds}Z").parse().map(Some).map_err(|_| {
            let label = field.label.split(' ').next().unwrap_or_default();
            format!("{label}: enter date and time, such as 2026-11-22T09:30.")
        })
    }
}

/// A page of events.
pub(super) struct EventPage {
    /// One table row per event.
    pub(super) rows: Vec<Markup>,
    /// Total number of matching events.
    pub(super) total: u32,
    /// True if more events follow.
    pub(super) has_more: bool,
    /// Error in the filters, if any.
    pub(super) problem: Option<String>,
}

/// Queries a log through the API. Returns an error in the filters as text beside an empty list.
///
/// # Errors
/// Returns the error of the API call, unless the filters caused it, such as an unknown User.
pub(super) async fn query<Q: Message, A: Message + Default>(
    admin: &Administrator,
    method: &str,
    options: Result<Q, String>,
) -> Result<(A, Option<String>), Failure> {
    let options = match options {
        Ok(options) => options,
        Err(problem) => return Ok((A::default(), Some(problem))),
    };
    match admin.api.ask(&platform(method), &options).await {
        Ok(list) => Ok((list, None)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::InvalidArgument
            ) =>
        {
            Ok((A::default(), Some(error.public().to_owned())))
        }
        Err(error) => Err(error.into()),
    }
}

/// Renders the page, or only the rows for the script.
pub(super) fn page(
    log: &Log,
    admin: &Administrator,
    wanted: &EventQuery,
    found: &EventPage,
    now: UnixMillis,
) -> Response {
    let rows = html! {
        @for row in &found.rows { (row) }
        @if found.rows.is_empty() { tr { td colspan=(log.columns.len()) { (log.nothing) } } }
    };
    if wanted.is_fragment {
        return fragment(&rows, found.problem.is_none());
    }
    let body = body(log, wanted, &rows, found, now);
    view::page(&admin.api, log.title, log.place, &body)
        .asks_for_more()
        .into_response()
}

/// Renders the time of an event in UTC.
pub(super) fn timestamp_text(at: Option<&Timestamp>) -> Markup {
    let at = at.map(|at| utc(UnixMillis::from_proto(at)));
    let at = at.unwrap_or_default();
    html! {
        time datetime=(at) { (at.replace('T', " ").trim_end_matches('Z')) }
    }
}

/// Returns only the rows, for the script.
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
    log: &Log,
    wanted: &EventQuery,
    rows: &Markup,
    found: &EventPage,
    now: UnixMillis,
) -> Markup {
    let (place, total) = (log.place, found.total);
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(wanted.fields.iter().filter(|(_, value)| !value.is_empty()))
        .finish();
    let again = format!("{place}?{query}");
    let more = if query.is_empty() {
        "rows=1".to_owned()
    } else {
        format!("{query}&rows=1")
    };
    // Only the first page without an upper bound changes.
    let is_live =
        wanted.number == 1 && wanted.get(UNTIL.name).is_empty() && found.problem.is_none();
    let live = is_live.then(|| format!("{place}?{more}"));
    let fields: Vec<(&str, &str)> = wanted
        .fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    html! {
        div.heading { h1 { (log.title) } }
        (filters(log, wanted))
        @if let Some(problem) = &found.problem { p.warning role="alert" { (problem) } }
        div.live {
            p.count role="status" id="live-said" {
                @if total == 1 { "1 event" } @else { (total) " events" }
                ", newest first. Updated at " (utc(now).replace('T', " ").trim_end_matches('Z')) " UTC."
            }
            a.button.quiet href=(again) { "Reload" }
            button.quiet type="button" id="live-switch" hidden { "Pause" }
        }
        div.scroll role="region" aria-label=(log.title) tabindex="0" {
            table.events {
                caption.unseen { (log.title) ", newest first" }
                thead { tr { @for title in log.columns { th scope="col" { (title) } } } }
                tbody id="live" data-live=[live.as_deref()] { (rows) }
            }
        }
        (view::pager(place, &fields, wanted.number, view::pages(total, ON_A_PAGE, wanted.number, found.has_more)))
    }
}

fn filters(log: &Log, wanted: &EventQuery) -> Markup {
    html! {
        form.filters role="search" method="get" action=(log.place) {
            @for field in log.fields { div { (input(field, wanted.get(field.name))) } }
            button.quiet type="submit" { "Show" }
        }
    }
}

fn input(field: &Field, value: &str) -> Markup {
    let id = field.name;
    let typed = match field.input {
        Input::Choice(choices) => {
            return html! {
                label for=(id) { (field.label) }
                select id=(id) name=(id) {
                    option value="" { "Any" }
                    @for choice in choices {
                        option value=(choice) selected[*choice == value] { (choice) }
                    }
                }
            };
        }
        Input::Text => "text",
        Input::Moment => "datetime-local",
    };
    html! {
        label for=(id) { (field.label) }
        input type=(typed) id=(id) name=(id) value=(value) autocomplete="off" autocapitalize="off" spellcheck="false";
    }
}
