//! Logout: a person ends the Session of the browser.

use std::time::Duration;

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::header;
use maud::{Markup, html};
use tokio::time::timeout;

use super::{
    cookie::{self, SameSite},
    failure::Failure,
    form::VerifiedForm,
    login::elsewhere,
    page::Page,
    saml,
    visit::Visit,
};
use crate::{
    Caller, Context,
    authentication::browser,
    federation::{oidc, saml::logout::begin_provider_logout},
};

/// Timeout for the preparation of a logout at the provider.
const PATIENCE: Duration = Duration::from_secs(2);

/// Ends the Session of this browser. Succeeds without a Session too.
pub(super) async fn logout(
    State(ctx): State<Context>,
    visit: Visit,
    Extension(caller): Extension<Caller>,
    _form: VerifiedForm,
) -> Result<Response, Failure> {
    let mut further = None;
    let mut other = None;
    if let Visit::SignedIn(visitor) = &visit {
        let session = &visitor.resumed.session.message;
        let ways = async {
            (
                begin_provider_logout(&ctx, session).await,
                oidc::logout_page(&ctx, session).await,
            )
        };
        // A provider that is down must not delay the logout.
        let (provider_logout, logout_page) = timeout(PATIENCE, ways).await.unwrap_or_default();
        other = logout_page;
        browser::log_out(&ctx, &visitor.resumed, &caller).await?;
        further = provider_logout
            .map(|provider_logout| saml::provider_logout_form(&ctx, &provider_logout))
            .transpose()?;
    }
    let text = "This browser's Session has ended, here and at all Services.";
    let Some((further, cookie)) = further else {
        let other = other.map(|other| {
            html! { p { a.button href=(other.url) { "Sign out of " (other.label) " too" } } }
        });
        return Ok(without_session(page(text, other.as_ref())));
    };
    // The answer to the form redirects to the provider.
    let page = page(text, Some(&further)).forms_lead_to(elsewhere(&ctx));
    let mut response = without_session(page);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

/// Shows the page after a logout and deletes the Session cookie.
pub(super) fn logged_out(text: &str) -> Response {
    without_session(page(text, None))
}

fn page(text: &str, further: Option<&Markup>) -> Page {
    let body = html! {
        section.card {
            h1 { "You are signed out" }
            p { (text) }
            @if let Some(further) = further { (further) }
            p { a.button href="/login" { "Sign in again" } }
        }
    };
    // The frame still knows the ended Session, so it is rendered without one.
    Page::new("Signed out", body).without_visitor()
}

fn without_session(page: Page) -> Response {
    let mut response = page.into_response();
    if let Some(cookie) = cookie::clear(cookie::SESSION, SameSite::Lax) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
