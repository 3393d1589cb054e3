//! The page of one object.

use ::api::{
    core_v1::GetClusterConfigRequest, document, meta_v1::GetOptions, platform_v1::Resource,
};
use axum::{
    extract::{Path, RawQuery, State},
    response::{IntoResponse as _, Response},
};
use domain::{clock::UnixMillis, columns};
use maud::{Markup, html};

use domain::kind::Kind;

use super::{
    Administrator, access,
    action::Action,
    api::{Api, path_of, platform},
    audit,
    kind::ConsoleKind,
    view,
};
use crate::{
    Context, Error,
    web::{failure::Failure, form::Fields},
};

/// Maximum length of the displayed YAML in bytes after escaping. Longer documents are truncated to keep the page small.
const LONGEST: usize = 60_000;

pub(super) async fn page(
    State(ctx): State<Context>,
    admin: Administrator,
    Path((word, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let console_kind = ConsoleKind::named(&word)?;
    let resource = get(&admin.api, console_kind, &name).await?;
    let fields = Fields::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let done = fields.get("done").and_then(Action::named);
    Ok(show(&ctx, &admin, console_kind, &resource, done))
}

/// Shows the singleton object of a kind.
pub(super) async fn single(
    ctx: &Context,
    admin: &Administrator,
    console_kind: &'static ConsoleKind,
) -> Result<Response, Failure> {
    let answer: ::api::core_v1::ClusterConfig = admin
        .api
        .ask(&path_of(&console_kind.get), &GetClusterConfigRequest {})
        .await?;
    Ok(show(
        ctx,
        admin,
        console_kind,
        &Resource::from(answer),
        None,
    ))
}

/// Reads an object.
///
/// # Errors
/// Returns the error of the API call.
pub(super) async fn get(
    api: &Api,
    console_kind: &ConsoleKind,
    name: &str,
) -> Result<Resource, Error> {
    let which = GetOptions {
        name: name.to_owned(),
        ..GetOptions::default()
    };
    let which = ::api::reflect::dynamic(&which).ok_or_else(|| Error::internal("no descriptor"))?;
    if console_kind.list.is_none() {
        return Err(Error::not_found(console_kind.kind, name));
    }
    let found = api.ask_dynamic(&console_kind.get, &which).await?;
    super::list::resource(console_kind.kind, &found)
}

fn show(
    ctx: &Context,
    admin: &Administrator,
    console_kind: &ConsoleKind,
    resource: &Resource,
    done: Option<Action>,
) -> Response {
    let title = format!("{} {}", console_kind.kind, resource.name());
    let body = body(&admin.api, console_kind, resource, done, ctx.now());
    view::page(&admin.api, &title, &console_kind.place(), &body).into_response()
}

fn body(
    api: &Api,
    console_kind: &ConsoleKind,
    resource: &Resource,
    done: Option<Action>,
    now: UnixMillis,
) -> Markup {
    let name = resource.name();
    let actions = Action::on(resource);
    let actions: Vec<Action> = actions
        .into_iter()
        .filter(|action| action.is_allowed(api, console_kind.kind))
        .collect();
    html! {
        @if let Some(done) = done { p.hint role="status" { (done.message()) } }
        p.crumb { a href=(console_kind.place()) { (console_kind.plural()) } }
        div.heading { h1 { (name) } }
        (facts(resource, now))
        @if !actions.is_empty() {
            div.actions {
                @for action in &actions {
                    @let class = if action.is_dangerous() { "button danger" } else { "button quiet" };
                    a class=(class) href=(action.place(console_kind, name)) { (action.label()) }
                }
            }
        }
        (related(api, console_kind, name))
        h2 { "YAML" }
        (yaml(resource))
    }
}

/// Renders the wide columns of the command line as facts.
pub(super) fn facts(resource: &Resource, now: UnixMillis) -> Markup {
    let kind = resource.kind().and_then(|kind| kind.parse().ok());
    let header = kind
        .map(|kind| columns::header(kind, true))
        .unwrap_or_default();
    let cells = columns::row(resource, now, true);
    let pairs = header.iter().zip(&cells).skip(1);
    html! {
        dl.facts.of-object {
            @for (title, cell) in pairs.filter(|(_, cell)| !cell.is_empty()) {
                div { dt { (view::heading(title)) } dd { (view::cut(cell)) } }
            }
        }
    }
}

fn related(api: &Api, console_kind: &ConsoleKind, name: &str) -> Markup {
    let owned = ConsoleKind::all().iter().filter(|other| {
        let is_owned = other
            .owner_filter
            .is_some_and(|by| by.kind() == console_kind.kind);
        is_owned && api.allows(&other.path())
    });
    let places: Vec<(String, String)> = owned
        .filter_map(|other| Some((view::narrowed(other, name)?, other.plural())))
        .collect();
    let has_access = matches!(console_kind.kind, Kind::User | Kind::Service)
        && api.allows(&platform("ListAccessEvent"));
    let has_audit = api.allows(&platform("ListAuditEvent"));
    html! {
        @if has_audit || has_access || !places.is_empty() {
            nav.related aria-label="Related" {
                @for (place, label) in &places { a href=(place) { (label) } }
                @if has_access {
                    a href=(format!("{}?{}={name}", access::PLACE, console_kind.word)) { "Access events" }
                }
                @if has_audit {
                    a href=(format!("{}?resource={}/{name}", audit::PLACE, console_kind.word)) { "Audit events" }
                }
            }
        }
    }
}

fn yaml(resource: &Resource) -> Markup {
    let text = resource
        .dynamic()
        .map(|message| document::to_yaml(&message));
    let text = text.unwrap_or_default();
    let whole = text.trim_end();
    let excerpt = beginning(whole);
    let is_cut = excerpt.len() < whole.len();
    html! {
        pre role="region" tabindex="0" aria-label="The object as YAML" { code { (excerpt) } }
        @if is_cut {
            p.fine { "The object is too long to show in full. Run " code { "octeliumctl get … -o yaml" } " to see all of it." }
        }
    }
}

/// Returns the longest prefix of `text` whose escaped form is within [`LONGEST`] bytes.
fn beginning(text: &str) -> &str {
    let mut length = 0;
    let end = text.char_indices().find(|(_, character)| {
        length += match character {
            '"' => 6,
            '&' => 5,
            '<' | '>' => 4,
            other => other.len_utf8(),
        };
        length > LONGEST
    });
    let end = end.map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or_default()
}
