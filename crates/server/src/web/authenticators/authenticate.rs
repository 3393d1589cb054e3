//! Proving with an Authenticator, or a recovery code, who somebody is.

use api::{
    core_v1::{Authenticator, authenticator::status::Type, session::status::AuthenticatorAction},
    resource::Object as _,
};
use axum::{
    Extension,
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use domain::{authenticator, session};
use http::StatusCode;
use maud::{Markup, html};

use super::{
    Known, REGISTER,
    add::code_input,
    alert, is_told_there,
    key::{self, Ceremony},
    label, next_field, page as framed, raised,
};
use crate::{
    Caller, Context, Error, ErrorKind,
    authentication::authenticator::{
        Factors, Holder, Which, fido, manage, recovery as codes, totp, waiting,
    },
    web::{
        failure::Failure, form::Posted, login, next::Next, page::token_field, see_other,
        visit::Visitor,
    },
};

/// Asks for one of those that can be used.
pub(super) async fn page(
    State(ctx): State<Context>,
    known: Known,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let next = Next::read(&ctx, &login::query_fields(query.as_deref())?).await?;
    let holder = Holder::of_browser(&ctx, &known.resumed).await?;
    let former = session::action(&holder.session.message);
    let action = waiting::reconsidered(&ctx, &holder).await?;
    match action {
        AuthenticatorAction::RegistrationRequired
        | AuthenticatorAction::RegistrationRecommended => {
            Ok(see_other(&next.at(&ctx, REGISTER)?, []))
        }
        // It waits for nothing any more.
        AuthenticatorAction::Unset if former != action => Ok(see_other(&next.login(&ctx)?, [])),
        _ => show(&ctx, &known, &holder, &next, None).await,
    }
}

/// Takes the code of an app.
pub(super) async fn code(
    State(ctx): State<Context>,
    known: Known,
    Extension(caller): Extension<Caller>,
    form: Posted,
) -> Result<Response, Failure> {
    let next = Next::read(&ctx, &form).await?;
    let holder = Holder::of_browser(&ctx, &known.resumed).await?;
    let which = Which {
        name: "",
        uid: form.get("authenticator").unwrap_or_default(),
    };
    let code = form.get("code").unwrap_or_default();
    match Box::pin(totp::authenticate(&ctx, &holder, &which, code, &caller)).await {
        Ok(session) => raised(&ctx, session, &next),
        Err(error) => refused(&ctx, &known, &holder, &next, error, &caller).await,
    }
}

/// Takes the answer of a passkey or a security key.
pub(super) async fn key(
    State(ctx): State<Context>,
    known: Known,
    Extension(caller): Extension<Caller>,
    form: Posted,
) -> Result<Response, Failure> {
    let next = Next::read(&ctx, &form).await?;
    let holder = Holder::of_browser(&ctx, &known.resumed).await?;
    let state = form.get("state").unwrap_or_default();
    let response = form.get("response").unwrap_or_default();
    match fido::authenticate(&ctx, &holder, state, response, &caller).await {
        Ok(session) => raised(&ctx, session, &next),
        Err(error) => refused(&ctx, &known, &holder, &next, error, &caller).await,
    }
}

/// Takes a recovery code.
pub(super) async fn recovery(
    State(ctx): State<Context>,
    known: Known,
    Extension(caller): Extension<Caller>,
    form: Posted,
) -> Result<Response, Failure> {
    let next = Next::read(&ctx, &form).await?;
    let holder = Holder::of_browser(&ctx, &known.resumed).await?;
    let code = form.get("recovery").unwrap_or_default();
    match codes::authenticate(&ctx, &holder, code, &caller).await {
        Ok(session) => raised(&ctx, session, &next),
        Err(error) => refused(&ctx, &known, &holder, &next, error, &caller).await,
    }
}

async fn refused(
    ctx: &Context,
    visitor: &Visitor,
    holder: &Holder,
    next: &Next,
    error: Error,
    caller: &Caller,
) -> Result<Response, Failure> {
    totp::held_up(ctx, holder, caller, &error);
    if is_told_there(&error) {
        show(ctx, visitor, holder, next, Some(&error)).await
    } else {
        Err(error.into())
    }
}

async fn show(
    ctx: &Context,
    visitor: &Visitor,
    holder: &Holder,
    next: &Next,
    error: Option<&Error>,
) -> Result<Response, Failure> {
    let held = Factors::load(ctx, holder.user.uid, ctx.now()).await?;
    let held = held.check(ctx.now()).err();
    // That guesses are held up is what matters of what has gone wrong.
    let why = held.as_ref().or(error);
    let ways = ways(ctx, visitor, holder, next, held.is_some()).await?;
    let is_recommended =
        session::action(&holder.session.message) == AuthenticatorAction::AuthenticationRecommended;
    let token = visitor.form_token(ctx)?;
    let body = html! {
        section.card {
            h1 { "Confirm that it is you" }
            (alert(why.map(Error::public)))
            @match &ways {
                Some(ways) => { (ways) }
                None if held.is_some() => {}
                None => {
                    p { "None of your Authenticators can be used in this Session. Log in again, or ask an administrator." }
                    p { a.button.wide href=(login::again(ctx, next)?) { "Log in again" } }
                }
            }
            @if is_recommended { (not_now(&token, &next_field(ctx, next)?)) }
        }
    };
    let status = match error.or(held.as_ref()).map(Error::kind) {
        None => StatusCode::OK,
        Some(ErrorKind::RateLimited { .. }) => StatusCode::TOO_MANY_REQUESTS,
        Some(_) => StatusCode::FORBIDDEN,
    };
    Ok(framed(ctx, "Confirm that it is you", body, next)
        .status(status)
        .into_response())
}

/// The forms of what can be used; `None` where there is nothing.
async fn ways(
    ctx: &Context,
    visitor: &Visitor,
    holder: &Holder,
    next: &Next,
    is_held: bool,
) -> Result<Option<Markup>, Failure> {
    let available = manage::available(ctx, holder).await?.all;
    let of = |wanted: Type| {
        let all = available.iter().map(|stored| &stored.message);
        all.filter(|one| authenticator::type_of(one) == wanted)
            .collect::<Vec<&Authenticator>>()
    };
    let apps = of(Type::Totp);
    let challenge = if of(Type::Fido).is_empty() {
        None
    } else {
        Some(fido::begin_authentication(ctx, holder).await?)
    };
    let left = codes::left(ctx, holder).await?;
    let has_codes = left.is_some_and(|(count, _)| count > 0) && !is_held;
    let has_apps = !apps.is_empty() && !is_held;
    if challenge.is_none() && !has_codes && !has_apps {
        return Ok(None);
    }
    let token = visitor.form_token(ctx)?;
    let rest = html! { (token_field(&token)) (next_field(ctx, next)?) };
    Ok(Some(html! {
        @if let Some(challenge) = &challenge {
            (key::form(Ceremony::Get, challenge, "/authenticators/authenticate/key", "Use a passkey or security key", &rest))
        }
        @if has_apps { (app_form(&apps, &rest)) }
        @if has_codes { (recovery_form(&rest)) }
    }))
}

fn app_form(apps: &[&Authenticator], rest: &Markup) -> Markup {
    html! {
        form.stack method="post" action="/authenticators/authenticate/code" {
            (rest)
            @if let [app] = apps {
                input type="hidden" name="authenticator" value=(app.uid());
                p.fine { "From " strong { (label(app)) } }
            } @else {
                div {
                    label for="app" { "App" }
                    select id="app" name="authenticator" {
                        @for app in apps { option value=(app.uid()) { (label(app)) } }
                    }
                }
            }
            (code_input())
            button.wide type="submit" { "Use the code" }
        }
    }
}

fn recovery_form(rest: &Markup) -> Markup {
    html! {
        details {
            summary { "I have lost my Authenticators" }
            form.stack method="post" action="/authenticators/authenticate/recovery" {
                (rest)
                div {
                    label for="recovery" { "Recovery code" }
                    input type="text" id="recovery" name="recovery" required autocomplete="off" spellcheck="false"
                        autocapitalize="off" placeholder="xxxx-xxxx-xxxx-xxxx";
                }
                button.wide type="submit" { "Use the recovery code" }
            }
        }
    }
}

/// What was recommended can be left.
pub(super) fn not_now(token: &str, next: &Markup) -> Markup {
    html! {
        form method="post" action="/authenticators/later" {
            (token_field(token))
            (next)
            button.quiet.wide type="submit" { "Not now" }
        }
    }
}
