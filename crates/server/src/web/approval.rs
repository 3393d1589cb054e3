//! The page on which a person approves or rejects the login of a command-line client.

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use maud::{Markup, html};

use super::{
    failure::Failure,
    form::VerifiedForm,
    page::{Page, token_field},
    portal::{Member, utc},
    see_other,
    visit::Visitor,
};
use crate::{
    Caller, Context,
    authentication::client_login::{self, ClientLogin, InvalidRequest},
};

/// Parses a login request of a client.
///
/// # Errors
/// Returns a [`Failure`] that tells the person how to fix an invalid request.
pub(super) fn read(request: &str) -> Result<ClientLogin, Failure> {
    ClientLogin::read(request).map_err(|invalid| {
        let text = match invalid {
            InvalidRequest::Malformed => {
                "It is damaged, or a client of this platform did not create it. Start the login again in your \
                 terminal: \
                 octelium login"
            }
            InvalidRequest::NoChallenge => {
                "The client is too old for a safe sign-in: other users of the same machine could use its tokens. \
                 Update the client and start the login again."
            }
        };
        Failure::new(
            StatusCode::BAD_REQUEST,
            "This sign-in request is not valid",
            text,
        )
    })
}

/// Shows the client and asks for approval.
pub(super) fn page(
    ctx: &Context,
    visitor: &Visitor,
    request: &str,
    caller: &Caller,
) -> Result<Response, Failure> {
    let login = read(request)?;
    let token = visitor.form_token(ctx)?;
    let body = question(ctx, visitor, &login, request, caller, &token);
    // The answer redirects to the client.
    let target = login.callback.origin();
    Ok(Page::new("Approve this sign-in?", body)
        .forms_lead_to(target)
        .into_response())
}

/// Approves or rejects the request that the form repeats.
pub(super) async fn answer(
    State(ctx): State<Context>,
    member: Member,
    Extension(caller): Extension<Caller>,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let login = read(form.get("request").unwrap_or_default())?;
    let by = &member.active;
    if form.get("answer") == Some("approve") {
        let place = client_login::approve(&ctx, &login, by, &caller).await?;
        return Ok(see_other(&place, []));
    }
    client_login::reject(&ctx, &login, by, &caller).await?;
    let body = html! {
        section.card {
            h1 { "The sign-in was denied" }
            p { "The program was not signed in. If you did not start it yourself, someone may have tried to sign in as you: tell an administrator." }
            p { a.button href="/" { "Go to the portal" } }
        }
    };
    Ok(Page::new("Sign-in denied", body).into_response())
}

fn question(
    ctx: &Context,
    visitor: &Visitor,
    login: &ClientLogin,
    request: &str,
    caller: &Caller,
    token: &str,
) -> Markup {
    let code = login.code();
    html! {
        section.card.broad {
            h1 { "Approve this sign-in?" }
            p {
                "A program on " strong { "this computer" } " asks to sign in as "
                strong { (visitor.display_name()) } ". It will be able to do what you can do."
            }
            dl.profile.tight {
                @if let Some(code) = &code { div { dt { "Code" } dd { code.big { (code) } } } }
                div { dt { "Program" } dd { "Command line, at localhost:" (login.callback.port) } }
                @if let Some(ip) = caller.ip { div { dt { "Your address" } dd { (ip) } } }
                div { dt { "Time" } dd { (utc(ctx.now())) } }
            }
            p.warning {
                "Approve this only if you have just started " code { "octelium login" } " on this computer yourself"
                @if code.is_some() { " and it shows the same code" }
                ". If someone sent you to this page, do not approve."
            }
            form method="post" action="/login/answer" {
                (token_field(token))
                input type="hidden" name="request" value=(request);
                div.pair {
                    button.quiet type="submit" name="answer" value="reject" { "Deny" }
                    button type="submit" name="answer" value="approve" { "Approve" }
                }
            }
        }
    }
}
