//! The Services that a User can reach.

use std::sync::Arc;

use api::{
    core_v1::{Service, service::spec::Mode},
    resource::Object as _,
};
use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};
use policy::{NoFields, Subject};

use super::Member;
use crate::{
    Context, Error, ServiceEntry,
    directory::ValidSession,
    step_up,
    web::{
        failure::Failure,
        form::Fields,
        page::{Page, Section},
    },
};

const ON_A_PAGE: usize = 50;
const LONGEST_SEARCH: usize = 100;

/// A Service in the list.
struct Item {
    name: String,
    label: String,
    description: String,
    host: String,
    mode: Mode,
    access: Access,
}

/// Access of the person to a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Open,
    /// Accessible after a step-up.
    AfterProof,
    Closed,
}

/// Shows one page of Services.
pub(super) async fn page(
    State(ctx): State<Context>,
    member: Member,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let search: String = fields
        .get("q")
        .unwrap_or_default()
        .trim()
        .chars()
        .take(LONGEST_SEARCH)
        .collect();
    let mut found = found(&ctx, &search);
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let total = found.len();
    let pages = total.div_ceil(ON_A_PAGE).max(1);
    let number = fields
        .get("page")
        .and_then(|number| number.parse::<usize>().ok());
    let number = number.unwrap_or(1).clamp(1, pages);

    let valid_session = ctx.directory.valid_session(member.uid, ctx.now()).await;
    let valid_session = valid_session.map_err(|error| Failure::from(Error::unavailable(error)))?;
    let shown = found
        .into_iter()
        .skip((number - 1) * ON_A_PAGE)
        .take(ON_A_PAGE);
    let mut items = Vec::new();
    for (_, entry) in shown {
        items.push(item(&ctx, &entry, &valid_session).await);
    }
    let body = list(&search, &items, total, number, pages);
    Ok(Page::of(Section::Services, body).into_response())
}

/// Returns the Services that match the search, with their sort key.
fn found(ctx: &Context, search: &str) -> Vec<(String, Arc<ServiceEntry>)> {
    let search = search.to_lowercase();
    let services = ctx.directory.services().into_iter();
    services
        .filter(|entry| is_shown(&entry.service))
        .filter_map(|entry| {
            let metadata = entry.service.metadata()?;
            let matches = search.is_empty()
                || [
                    &metadata.name,
                    &metadata.display_name,
                    &metadata.description,
                ]
                .iter()
                .any(|text| text.to_lowercase().contains(&search));
            matches.then(|| (label(&entry.service).to_lowercase(), entry.clone()))
        })
        .collect()
}

fn is_shown(service: &Service) -> bool {
    let is_hidden = service
        .metadata()
        .is_none_or(|metadata| metadata.is_user_hidden || metadata.is_system_hidden);
    let is_served = service
        .spec()
        .is_some_and(|spec| spec.is_public && !spec.is_disabled);
    is_served && !is_hidden
}

async fn item(ctx: &Context, entry: &ServiceEntry, valid_session: &ValidSession) -> Item {
    let service = &entry.service;
    let metadata = service.metadata().cloned().unwrap_or_default();
    let hostname = service.status().map(|status| &*status.primary_hostname);
    let host = format!(
        "{}.{}",
        hostname.unwrap_or_default(),
        ctx.domain.authority()
    );
    Item {
        access: access(ctx, entry, valid_session, &host).await,
        label: label(service),
        mode: service
            .spec()
            .map_or(Mode::Unset, api::core_v1::service::Spec::mode),
        name: metadata.name,
        description: metadata.description,
        host,
    }
}

async fn access(
    ctx: &Context,
    entry: &ServiceEntry,
    valid_session: &ValidSession,
    host: &str,
) -> Access {
    if policy::is_anonymous(&entry.service) || is_allowed(ctx, entry, valid_session.subject(), host)
    {
        return Access::Open;
    }
    let would_be = |subject: &Subject| is_allowed(ctx, entry, subject, host);
    match step_up::find(ctx, valid_session.uid, &would_be).await {
        Some(_) => Access::AfterProof,
        None => Access::Closed,
    }
}

/// Returns whether `GET /` would be allowed. Policies may decide differently on other paths.
fn is_allowed(ctx: &Context, entry: &ServiceEntry, subject: &Subject, host: &str) -> bool {
    let request = policy::Request {
        ip: "",
        method: "GET",
        path: "/",
        uri: "/",
        host: host.split(':').next().unwrap_or_default(),
        scheme: "https",
        protocol: "HTTP/2.0",
        size: 0,
        headers: &NoFields,
        query: &NoFields,
        body: &[],
        body_map: None,
        grpc: None,
    };
    policy::decide(
        &ctx.directory.policies(),
        Some(subject),
        &entry.target,
        &request,
        ctx.now(),
    )
    .allowed
}

fn label(service: &Service) -> String {
    let metadata = service.metadata();
    let display = metadata.map(|metadata| metadata.display_name.as_str());
    match display {
        Some(display) if !display.is_empty() => display.to_owned(),
        // Omits the default Namespace.
        _ => {
            let name = service.name();
            name.strip_suffix(".default").unwrap_or(name).to_owned()
        }
    }
}

fn list(search: &str, items: &[Item], total: usize, number: usize, pages: usize) -> Markup {
    html! {
        div.heading {
            h1 { "Services" }
            form.search role="search" method="get" action="/" {
                label.unseen for="q" { "Search" }
                input type="search" id="q" name="q" value=(search) placeholder="Search" autocomplete="off";
                button.unseen type="submit" { "Search" }
            }
        }
        p.count role="status" {
            @if !search.is_empty() { (total) " found for “" (search) "”" }
            @else if total == 1 { "1 Service" }
            @else { (total) " Services" }
        }
        @if items.is_empty() {
            div.empty {
                @if search.is_empty() {
                    p { "No Services yet." }
                    p.fine { "Public Services that an administrator creates are listed here." }
                } @else {
                    p { "No Service matches your search." }
                    p { a href="/" { "Show all" } }
                }
            }
        } @else {
            ul.tiles {
                @for item in items { li.tile { (tile(item)) } }
            }
        }
        @if pages > 1 { (pager(search, number, pages)) }
    }
}

fn tile(item: &Item) -> Markup {
    let url = format!("https://{}/", item.host);
    let is_for_browsers = item.mode != Mode::Grpc;
    html! {
        div.tile-head {
            span.initial aria-hidden="true" { (initial(&item.label)) }
            div {
                h2 { (item.label) }
                p.host { (item.host) }
            }
        }
        @if !item.description.is_empty() { p.description { (item.description) } }
        div.tile-foot {
            @if item.access == Access::Closed {
                span.badge { "No access" }
                span.fine { "Ask an administrator" }
            } @else if is_for_browsers {
                a.button href=(url) { "Open" span.unseen { " " (item.label) } }
            } @else {
                span.badge { "gRPC" }
            }
            @if item.access == Access::AfterProof { span.fine { "Asks you to verify it's you" } }
            @if item.access == Access::Open {
                button.quiet type="button" data-copy=(command(item, &url)) hidden {
                    "Copy command" span.unseen { " for " (item.label) }
                }
            }
        }
    }
}

/// Returns the command that reaches the Service from a terminal.
fn command(item: &Item, url: &str) -> String {
    if item.mode == Mode::Grpc {
        format!("octelium get service {}", item.name)
    } else {
        format!("curl -H \"Authorization: Bearer $OCTELIUM_ACCESS_TOKEN\" {url}")
    }
}

fn initial(label: &str) -> String {
    let first = label.chars().find(|character| character.is_alphanumeric());
    first.map_or_else(|| "·".to_owned(), |first| first.to_uppercase().to_string())
}

fn pager(search: &str, number: usize, pages: usize) -> Markup {
    let place = |number: usize| {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs((!search.is_empty()).then_some(("q", search)))
            .append_pair("page", &number.to_string())
            .finish();
        format!("/?{query}")
    };
    html! {
        nav.pager aria-label="Pages" {
            @if number > 1 { a.button.quiet href=(place(number - 1)) rel="prev" { "Previous" } }
            span { "Page " (number) " of " (pages) }
            @if number < pages { a.button.quiet href=(place(number + 1)) rel="next" { "Next" } }
        }
    }
}
