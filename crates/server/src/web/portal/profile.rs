//! The profile of the signed-in User.

use api::{core_v1::user::spec::Type, resource::Object as _};
use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use domain::clock::UnixMillis;
use maud::html;

use super::{Member, time_text::time_text};
use crate::{
    Context,
    web::page::{Page, Section},
};

pub(super) async fn page(State(ctx): State<Context>, member: Member) -> Response {
    let user = member.user();
    let spec = user.spec().cloned().unwrap_or_default();
    let since = user.metadata().and_then(|metadata| metadata.created_at);
    let is_human = spec.r#type() == Type::Human;
    let body = html! {
        div.heading { h1 { (member.display_name()) } }
        dl.profile {
            div { dt { "User" } dd { (user.name()) } }
            @if !spec.email.is_empty() { div { dt { "E-mail" } dd { (spec.email) } } }
            div { dt { "Kind" } dd { @if is_human { "Person" } @else { "Workload" } } }
            div {
                dt { "Groups" }
                dd { @if spec.groups.is_empty() { "None" } @else { (spec.groups.join(", ")) } }
            }
            @if let Some(at) = &since {
                div { dt { "Since" } dd { (time_text(UnixMillis::from_proto(at), ctx.now())) } }
            }
            div { dt { "Cluster" } dd { (ctx.domain.authority()) } }
        }
        h2 { "On the command line" }
        pre { code { "octelium login --domain " (ctx.domain.authority()) } }
    };
    Page::of(Section::Profile, body).into_response()
}
