//! The page on which a person enters the code that a device shows (RFC 8628 §3.3).

use axum::{
    Extension,
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};

use super::{
    authenticators,
    failure::Failure,
    form::{Fields, VerifiedForm},
    next::Next,
    page::{Page, token_field},
    portal::{Member, time_text},
    see_other,
    visit::Visit,
};
use crate::{
    Caller, Context,
    authentication::device_login::{self, Request},
    geoip,
};

/// Shows the form. Redirects visitors without a Session to the login.
pub(super) async fn page(
    State(ctx): State<Context>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let code = Next::code(fields.get("user_code").unwrap_or_default());
    let Visit::SignedIn(visitor) = &visit else {
        let login = Next::Device(code).login(&ctx)?;
        return Ok(see_other(&login, []));
    };
    let next = Next::Device(code.clone());
    if let Some(place) = authenticators::required_authenticator_page(&ctx, visitor, &next)? {
        return Ok(see_other(&place, []));
    }
    visitor.check_active(&ctx, ctx.now()).await?;
    let token = visitor.form_token(&ctx)?;
    let body = html! {
        section.card {
            h1 { "Sign in a device" }
            p { "Enter the code that the device shows. You can check the request before you approve it." }
            form.stack method="post" action="/device" {
                (token_field(&token))
                div {
                    label for="code" { "Code" }
                    input.code type="text" id="code" name="code" value=(code) required maxlength="9"
                        autocomplete="off" spellcheck="false" autocapitalize="characters" placeholder="BCDF-GHJK";
                }
                button.wide type="submit" { "Continue" }
            }
        }
    };
    Ok(Page::new("Sign in a device", body).into_response())
}

/// Looks up the code and shows the device that requests access.
pub(super) async fn find(
    State(ctx): State<Context>,
    member: Member,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let code = form.get("code").unwrap_or_default();
    let (request, shown) = device_login::find(&ctx, code, &member.active)
        .await
        .map_err(|error| Failure::from(error).then("/device", "Enter it again"))?;
    let token = member.form_token(&ctx)?;
    let body = question(&ctx, member.display_name(), &request, &shown, &token);
    Ok(Page::new("Approve this sign-in?", body).into_response())
}

pub(super) async fn answer(
    State(ctx): State<Context>,
    member: Member,
    Extension(caller): Extension<Caller>,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let is_approved = form.get("answer") == Some("approve");
    let shown = form.get("request").unwrap_or_default();
    device_login::answer(&ctx, shown, is_approved, &member.active, &caller).await?;
    let (title, text) = if is_approved {
        (
            "The device is signed in",
            "It continues automatically in a few seconds. You can close this page.",
        )
    } else {
        (
            "The sign-in was denied",
            "The device was not signed in. If someone asked you to enter the code, tell an administrator.",
        )
    };
    let body = html! {
        section.card {
            h1 { (title) }
            p { (text) }
            p { a.button.quiet href="/sessions" { "View your sessions" } }
        }
    };
    Ok(Page::new(title, body).into_response())
}

/// Returns the location of the device as text, if its address is known.
fn place(ctx: &Context, request: &Request) -> Option<String> {
    let place = ctx.geoip.find(request.address.parse().ok()?)?;
    Some(geoip::display_location(&place)).filter(|words| !words.is_empty())
}

fn question(ctx: &Context, name: &str, request: &Request, shown: &str, token: &str) -> Markup {
    html! {
        section.card.broad {
            h1 { "Approve this sign-in?" }
            p {
                "A device asks to sign in as " strong { (name) }
                ". Anyone who uses it will be able to do what you can do."
            }
            dl.profile.tight {
                div { dt { "Code" } dd { code.big { (request.shown_code()) } } }
                @if !request.address.is_empty() { div { dt { "IP address" } dd { (request.address) } } }
                @if let Some(place) = place(ctx, request) { div { dt { "Location" } dd { (place) } } }
                @if !request.user_agent.is_empty() { div { dt { "Program" } dd { (request.user_agent) } } }
                div { dt { "Requested" } dd { (time_text(request.at(), ctx.now())) } }
                @if !request.scopes.is_empty() { div { dt { "Restricted to" } dd { (request.scopes.join(" ")) } } }
            }
            p.warning {
                "Approve this only if it is your own device and you started the sign-in there yourself. "
                "If someone sent you a code, they may be trying to sign in as you."
            }
            form method="post" action="/device/answer" {
                (token_field(token))
                input type="hidden" name="request" value=(shown);
                div.pair {
                    button.quiet type="submit" name="answer" value="reject" { "Deny" }
                    button type="submit" name="answer" value="approve" { "Approve" }
                }
            }
        }
    }
}
