//! Registration of an Authenticator for a Session whose User has none.

use api::{
    core_v1::{
        authenticator::spec::State as AuthenticatorState, session::status::AuthenticatorAction,
    },
    resource::Object as _,
};
use axum::{
    Extension,
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use domain::authenticator;
use maud::html;

use super::{AUTHENTICATE, SignedInVisitor, authenticate::skip_button, next_field, page as framed};
use crate::{
    Caller, Context,
    authentication::authenticator::{Holder, pending_action},
    web::{failure::Failure, form::VerifiedForm, login, next::Next, page::token_field, see_other},
};

/// Query field that offers a registration which was neither required nor recommended.
pub(super) const OFFER: &str = "offer";

/// Offers the registration, or reports that an Authenticator waits for approval.
pub(super) async fn page(
    State(ctx): State<Context>,
    visitor: SignedInVisitor,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let fields = login::query_fields(query.as_deref())?;
    let next = Next::read(&ctx, &fields).await?;
    let holder = Holder::of_browser(&ctx, &visitor.resumed).await?;
    let action = pending_action::reconsidered(&ctx, &holder).await?;
    match action {
        AuthenticatorAction::AuthenticationRequired
        | AuthenticatorAction::AuthenticationRecommended => {
            return Ok(see_other(&next.at(&ctx, AUTHENTICATE)?, []));
        }
        AuthenticatorAction::Unset if fields.get(OFFER).is_none() => {
            return Ok(see_other(&next.login(&ctx)?, []));
        }
        _ => {}
    }
    let is_required = action == AuthenticatorAction::RegistrationRequired;
    let pending = holder.authenticators(&ctx, ctx.now()).await?;
    let pending = pending.iter().find(|stored| {
        let state = stored
            .message
            .spec()
            .map(api::core_v1::authenticator::Spec::state);
        authenticator::is_registered(&stored.message) && state == Some(AuthenticatorState::Pending)
    });
    let token = visitor.form_token(&ctx)?;
    let field = next_field(&ctx, &next)?;
    let body = html! {
        section.card {
            @if let Some(pending) = pending {
                h1 { "Waiting for approval" }
                p role="status" {
                    "Your Authenticator " strong { (super::label(&pending.message)) }
                    " must be approved by an administrator before you can use it. Check again later."
                }
                p { a.button.wide href=(next.login(&ctx)?) { "Check again" } }
                p { "Or add another:" }
            } @else {
                h1 { "Add a second factor" }
                @if is_required {
                    p { "The rules of this Cluster require one before you continue." }
                } @else {
                    p { "It protects your account even if someone learns your password. It takes a minute." }
                }
            }
            form method="post" action="/authenticators/fido" {
                (token_field(&token)) (field)
                button.wide type="submit" { "Add a passkey or security key" }
            }
            form method="post" action="/authenticators/totp" {
                (token_field(&token)) (field)
                button.quiet.wide type="submit" { "Add an authenticator app" }
            }
            @match action {
                AuthenticatorAction::RegistrationRecommended => { (skip_button(&token, &field)) }
                AuthenticatorAction::Unset => {
                    p.fine { a href=(next.login(&ctx)?) { "Not now" } }
                }
                _ => {}
            }
        }
    };
    Ok(framed(&ctx, "Add an Authenticator", body, &next).into_response())
}

/// Skips the recommendation and continues.
pub(super) async fn later(
    State(ctx): State<Context>,
    visitor: SignedInVisitor,
    Extension(caller): Extension<Caller>,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let next = Next::read(&ctx, &form).await?;
    let holder = Holder::of_browser(&ctx, &visitor.resumed).await?;
    pending_action::decline(&ctx, &holder, &caller).await?;
    Ok(see_other(&next.login(&ctx)?, []))
}
