//! Adds an authenticator app, a passkey or a security key.

use api::{
    core_v1::{Authenticator, authenticator::status::Type},
    resource::Object as _,
};
use axum::{
    Extension,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use maud::{Markup, html};

use super::{
    HOME, REGISTER, SignedInVisitor, alert, is_retryable,
    key::{self, Ceremony},
    next_field, page as framed, prove_first, qr,
};
use crate::{
    Caller, Context, Error,
    authentication::authenticator::{AuthenticatorSelector, Holder, fido, manage, totp},
    web::{
        failure::Failure,
        form::{Fields, VerifiedForm},
        next::Next,
        page::token_field,
        see_other,
        visit::Visitor,
    },
};

/// Creates a TOTP secret and shows it.
pub(super) async fn totp(
    State(ctx): State<Context>,
    visitor: SignedInVisitor,
    Extension(caller): Extension<Caller>,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let next = Next::read(&ctx, &form).await?;
    let holder = Holder::of_browser(&ctx, &visitor.resumed).await?;
    let begun = async {
        let made = create(&ctx, &holder, Type::Totp, &form, &caller).await?;
        let url = totp::begin_registration(&ctx, &holder, &which(made.uid())).await?;
        Ok((made, url))
    };
    let (made, url) = match begun.await {
        Ok(begun) => begun,
        Err(error) => return prove_first(&ctx, &holder, error, &next).await,
    };
    let secret = secret(&url).ok_or_else(|| Error::internal("an otpauth URL without secret"))?;
    let picture = qr::draw(&url, "QR code for an authenticator app");
    let intro = html! {
        p { "Scan this with an authenticator app on your phone, then enter the code that it shows." }
        @if let Some(picture) = picture { (picture) }
        details {
            summary { "I can't scan it" }
            p { "Enter this key in the app. Codes are time-based and have 6 digits, with a new code every 30 seconds." }
            pre { code.secret-key { (grouped(secret)) } }
            button.quiet type="button" hidden data-copy=(secret) { "Copy the key" }
        }
    };
    let body = totp_form(&ctx, &visitor, made.uid(), &intro, &next, None)?;
    Ok(framed(&ctx, "Add an authenticator app", body, &next).into_response())
}

/// Finishes the registration of an app with its first code.
pub(super) async fn finish_totp(
    State(ctx): State<Context>,
    visitor: SignedInVisitor,
    Extension(caller): Extension<Caller>,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let next = Next::read(&ctx, &form).await?;
    let uid = form.get("authenticator").unwrap_or_default();
    let code = form.get("code").unwrap_or_default();
    let holder = Holder::of_browser(&ctx, &visitor.resumed).await?;
    match Box::pin(totp::finish_registration(
        &ctx,
        &holder,
        &which(uid),
        code,
        &caller,
    ))
    .await
    {
        Ok(_) => Ok(see_other(&next.login(&ctx)?, [])),
        Err(error) if error.reason() == Some("code_wrong") => {
            let intro = html! {
                p { "The key is already in your app and is not shown again. Enter the code that the app shows now." }
            };
            let body = totp_form(&ctx, &visitor, uid, &intro, &next, Some(error.public()))?;
            let page = framed(&ctx, "Add an authenticator app", body, &next);
            Ok(page.status(StatusCode::FORBIDDEN).into_response())
        }
        Err(error) => prove_first(&ctx, &holder, error, &next).await,
    }
}

/// Starts the registration of a passkey or security key.
pub(super) async fn fido(
    State(ctx): State<Context>,
    visitor: SignedInVisitor,
    Extension(caller): Extension<Caller>,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let next = Next::read(&ctx, &form).await?;
    let holder = Holder::of_browser(&ctx, &visitor.resumed).await?;
    match create(&ctx, &holder, Type::Fido, &form, &caller).await {
        Ok(made) => ask_for_key(&ctx, &visitor, &holder, made.uid(), &next, None).await,
        Err(error) => prove_first(&ctx, &holder, error, &next).await,
    }
}

/// Finishes the registration of a passkey or security key.
pub(super) async fn finish_fido(
    State(ctx): State<Context>,
    visitor: SignedInVisitor,
    Extension(caller): Extension<Caller>,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let next = Next::read(&ctx, &form).await?;
    let uid = form.get("authenticator").unwrap_or_default();
    let state = form.get("state").unwrap_or_default();
    let response = form.get("response").unwrap_or_default();
    let holder = Holder::of_browser(&ctx, &visitor.resumed).await?;
    match Box::pin(fido::finish_registration(
        &ctx, &holder, state, response, &caller,
    ))
    .await
    {
        Ok(_) => Ok(see_other(&next.login(&ctx)?, [])),
        Err(error) if is_retryable(&error) => {
            ask_for_key(&ctx, &visitor, &holder, uid, &next, Some(&error)).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn ask_for_key(
    ctx: &Context,
    visitor: &Visitor,
    holder: &Holder,
    uid: &str,
    next: &Next,
    why: Option<&Error>,
) -> Result<Response, Failure> {
    let challenge = match fido::begin_registration(ctx, holder, &which(uid)).await {
        Ok(challenge) => challenge,
        Err(error) => return prove_first(ctx, holder, error, next).await,
    };
    let token = visitor.form_token(ctx)?;
    let rest = html! {
        (token_field(&token))
        (next_field(ctx, next)?)
        input type="hidden" name="authenticator" value=(uid);
    };
    let body = html! {
        section.card {
            h1 { "Add a passkey or a security key" }
            (alert(why.map(Error::public)))
            p { "Your browser asks where to save it: on this device, on your phone, or on a security key that you plug in or hold against the device." }
            (key::form(Ceremony::Create, &challenge, "/authenticators/fido/finish", "Continue", &rest))
            p.fine { a href=(back(ctx, visitor, next)?) { "Cancel" } }
        }
    };
    let status = why.map_or(StatusCode::OK, |_| StatusCode::FORBIDDEN);
    Ok(framed(ctx, "Add a passkey or a security key", body, next)
        .status(status)
        .into_response())
}

fn totp_form(
    ctx: &Context,
    visitor: &Visitor,
    uid: &str,
    intro: &Markup,
    next: &Next,
    why: Option<&str>,
) -> Result<Markup, Failure> {
    let token = visitor.form_token(ctx)?;
    Ok(html! {
        section.card {
            h1 { "Add an authenticator app" }
            (alert(why))
            (intro)
            form.stack method="post" action="/authenticators/totp/finish" {
                (token_field(&token))
                (next_field(ctx, next)?)
                input type="hidden" name="authenticator" value=(uid);
                (code_input())
                button.wide type="submit" { "Add" }
            }
            p.fine { a href=(back(ctx, visitor, next)?) { "Cancel" } }
        }
    })
}

/// Renders the input for a TOTP code.
pub(super) fn code_input() -> Markup {
    html! {
        div {
            label for="code" { "Code from the app" }
            input.code type="text" id="code" name="code" required inputmode="numeric" pattern="[0-9]*" maxlength="8"
                autocomplete="one-time-code" spellcheck="false";
        }
    }
}

async fn create(
    ctx: &Context,
    holder: &Holder,
    r#type: Type,
    form: &Fields,
    caller: &Caller,
) -> Result<Authenticator, Error> {
    let display_name = form.get("name").unwrap_or_default().trim();
    manage::create(ctx, holder, r#type, display_name, caller).await
}

/// Returns the address for cancelling.
fn back(ctx: &Context, visitor: &Visitor, next: &Next) -> Result<String, Failure> {
    match super::authenticator_page(ctx, visitor, next)? {
        Some(_) => next.at(ctx, REGISTER),
        None => Ok(HOME.to_owned()),
    }
}

fn which(uid: &str) -> AuthenticatorSelector<'_> {
    AuthenticatorSelector { name: "", uid }
}

/// Returns the parameter `secret` of an `otpauth:` URL, in base 32.
fn secret(url: &str) -> Option<&str> {
    let (_, query) = url.split_once('?')?;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("secret="))
}

/// Groups the characters by four for typing.
fn grouped(secret: &str) -> String {
    let characters: Vec<char> = secret.chars().collect();
    let groups = characters.chunks(4).map(|group| group.iter().collect());
    groups.collect::<Vec<String>>().join(" ")
}
