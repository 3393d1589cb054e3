//! The start page of the console.

use axum::response::{IntoResponse as _, Response};
use maud::html;

use super::{Administrator, kind::Shown, list, view};
use crate::web::failure::Failure;

/// Shows every kind that the Session may list, with the number of objects.
pub(super) async fn page(admin: Administrator) -> Result<Response, Failure> {
    let api = &admin.api;
    let mut kinds = Vec::new();
    for shown in Shown::all() {
        if api.allows(&shown.path()) {
            kinds.push((shown, list::count(api, shown).await?));
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
            @for (shown, count) in &kinds {
                li {
                    a href=(shown.place()) {
                        span { (shown.plural()) }
                        @if let Some(count) = count { strong { (count) } }
                    }
                }
            }
        }
    };
    Ok(view::page(api, "Admin", super::ADMIN, &body).into_response())
}
