//! Recovery codes, shown once.

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse as _, Response},
};
use maud::html;

use super::{HOME, prove_first};
use crate::{
    Caller, Context,
    authentication::authenticator::{Holder, recovery},
    web::{
        failure::Failure,
        form::VerifiedForm,
        next::Next,
        page::{Page, Section},
        portal::Member,
    },
};

/// Replaces the recovery codes and shows the new ones.
pub(super) async fn renew(
    State(ctx): State<Context>,
    member: Member,
    Extension(caller): Extension<Caller>,
    _form: VerifiedForm,
) -> Result<Response, Failure> {
    let holder = Holder::of_browser(&ctx, &member.resumed).await?;
    let codes = match recovery::renew(&ctx, &holder, &caller).await {
        Ok(codes) => codes,
        Err(error) => return prove_first(&ctx, &holder, error, &Next::page(HOME)).await,
    };
    let lines: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let text = lines.join("\n");
    let body = html! {
        div.heading { h1 { "Your new recovery codes" } }
        p.count { "Each code works once, in place of an Authenticator that you have lost. Earlier codes no longer work." }
        div.secret {
            pre { code id="recovery-codes" { (text) } }
            button.quiet type="button" hidden data-copy=(text) { "Copy" }
        }
        p.warning { "They are not shown again. Print them or save them in a password manager, but not on the device that has your Authenticator." }
        div.actions { a.button href=(HOME) { "I have saved them" } }
    };
    Ok(Page::of(Section::Authenticators, body)
        .titled("Recovery codes")
        .into_response())
}
