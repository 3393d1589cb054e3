//! The start page of the console.

use axum::response::{IntoResponse as _, Response};
use maud::html;

use super::{Administrator, kind::ConsoleKind, list, view};
use crate::web::failure::Failure;

/// Shows every kind that the Session may list, with the number of objects.
pub(super) async fn page(admin: Administrator) -> Result<Response, Failure> {
    let api = &admin.api;
    let mut kinds = Vec::new();
    for console_kind in ConsoleKind::all() {
        if api.allows(&console_kind.path()) {
            kinds.push((console_kind, list::count(api, console_kind).await?));
        }
    }
    let body = html! {
        div.heading {
            h1 { "Overview" }
            @if view::may_create_credentials(api) {
                a.button href="/admin/create/credential" { "Create a Credential" }
            }
        }
        p.count { "The resources that the Policies allow you to see." }
        ul.kinds {
            @for (console_kind, count) in &kinds {
                li {
                    a href=(console_kind.place()) {
                        span { (console_kind.plural()) }
                        @if let Some(count) = count { strong { (count) } }
                    }
                }
            }
        }
    };
    Ok(view::page(api, "Admin", super::ADMIN, &body).into_response())
}
