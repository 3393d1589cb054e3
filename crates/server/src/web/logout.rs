//! The end of a Session by its owner.

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::header;
use maud::html;

use super::{
    cookie::{self, SameSite},
    failure::Failure,
    form::Posted,
    page::Page,
    visit::Visit,
};
use crate::{Caller, Context, authentication::browser};

/// Logs this browser out. Whoever is not logged in is as good.
pub(super) async fn logout(
    State(ctx): State<Context>,
    visit: Visit,
    Extension(caller): Extension<Caller>,
    _form: Posted,
) -> Result<Response, Failure> {
    if let Visit::Known(visitor) = &visit {
        browser::end(&ctx, &visitor.resumed, visitor.uid, &caller).await?;
    }
    Ok(logged_out(
        "This browser's Session has ended, here and at all Services.",
    ))
}

/// The page for somebody who was logged in until now. Its frame still knows them, so it is one without.
pub(super) fn logged_out(text: &str) -> Response {
    let body = html! {
        section.card {
            h1 { "You are logged out" }
            p { (text) }
            p { a.button href="/login" { "Log in again" } }
        }
    };
    let mut response = Page::new("Logged out", body).for_nobody().into_response();
    if let Some(cookie) = cookie::clear(cookie::SESSION, SameSite::Lax) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
