//! Authentication of a command-line client with a passkey or a security key, through a browser on its machine.
//!
//! The Cluster issued the challenge to the client and bound it to the client's Session. The answer is sent only to a
//! loopback port and is valid only with the tokens of that Session. The page therefore requires no login.

use axum::{
    Extension,
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use maud::{Markup, html};

use super::key::{self, Ceremony};
use crate::{
    Caller, Context,
    authentication::{
        authenticator::fido::{self, ForClient},
        client_login::Callback,
    },
    web::{
        failure::Failure,
        form::{Fields, VerifiedForm},
        login,
        page::{Page, token_field},
        portal::utc,
        see_other,
        visit::Visit,
    },
};

/// Maximum length of an answer in bytes.
const LONGEST_RESPONSE: usize = 8 * 1024;

/// Shows the client and requests the authentication.
pub(super) async fn page(
    State(ctx): State<Context>,
    visit: Visit,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let fields = login::query_fields(query.as_deref())?;
    let callback = callback(&fields)?;
    let client_request = client_request(&ctx, &fields).await?;
    let token = match &visit {
        Visit::SignedIn(visitor) => Some(visitor.form_token(&ctx)?),
        Visit::Unknown(_) => None,
    };
    let body = question(&ctx, &client_request, &callback, &caller, token.as_deref());
    Ok(Page::new("Verify it's you", body)
        .forms_lead_to(callback.origin())
        .into_response())
}

/// Redirects to the client with the answer.
pub(super) async fn answer(
    State(ctx): State<Context>,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let callback = callback(&form)?;
    client_request(&ctx, &form).await?;
    let response = form.get("response").unwrap_or_default();
    if response.is_empty() || response.len() > LONGEST_RESPONSE {
        return Err(unreadable());
    }
    Ok(see_other(&callback.answer(response.as_bytes()), []))
}

fn callback(fields: &Fields) -> Result<Callback, Failure> {
    let port = fields.get("port").and_then(|port| port.parse().ok());
    let suffix = fields.get("suffix").unwrap_or_default().to_owned();
    port.and_then(|port| Callback::new(port, suffix))
        .ok_or_else(unreadable)
}

async fn client_request(ctx: &Context, fields: &Fields) -> Result<ForClient, Failure> {
    let state = fields.get("state").ok_or_else(unreadable)?;
    fido::for_client(ctx, state).await.map_err(|error| {
        if error.reason() == Some("webauthn_refused") {
            unreadable()
        } else {
            error.into()
        }
    })
}

fn unreadable() -> Failure {
    Failure::new(
        StatusCode::BAD_REQUEST,
        "This request is not valid",
        "It is damaged, or a client of this platform did not create it. Start again in your terminal: octelium auth \
         authenticator",
    )
}

fn question(
    ctx: &Context,
    client_request: &ForClient,
    callback: &Callback,
    caller: &Caller,
    token: Option<&str>,
) -> Markup {
    let rest = html! {
        @if let Some(token) = token { (token_field(token)) }
        input type="hidden" name="port" value=(callback.port);
        input type="hidden" name="suffix" value=(callback.suffix());
    };
    html! {
        section.card.broad {
            h1 { "Verify it's you" }
            p {
                "A program on " strong { "this computer" } " that is signed in as " strong { (client_request.user) }
                " asks you to verify it's you."
            }
            dl.profile.tight {
                div { dt { "Code" } dd { code.big { (client_request.code) } } }
                div { dt { "Session" } dd { (client_request.session) } }
                div { dt { "Program" } dd { "Command line, at localhost:" (callback.port) } }
                @if let Some(ip) = caller.ip { div { dt { "Your address" } dd { (ip) } } }
                div { dt { "Time" } dd { (utc(ctx.now())) } }
            }
            p.warning {
                "Continue only if you have just started " code { "octelium auth authenticator" } " on this computer \
                 yourself, and "
                "it shows the same code. If someone sent you to this page, do not continue."
            }
            (key::form(Ceremony::Get, &client_request.challenge, "/authenticators/program", "Use a passkey or security key", &rest))
        }
    }
}
