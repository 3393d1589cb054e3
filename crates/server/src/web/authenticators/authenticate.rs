//! Authentication with an Authenticator or a recovery code.

use api::{
    core_v1::{
        Authenticator, Session, authenticator::status::Type, session::status::AuthenticatorAction,
    },
    resource::Object as _,
};
use axum::{
    Extension,
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use domain::{authenticator, id::Uid, session};
use http::StatusCode;
use maud::{Markup, html};

use super::{
    Known, REGISTER,
    add::code_input,
    alert,
    asked::Asked,
    is_told_there,
    key::{self, Ceremony},
    label, next_field, page as framed, raised,
};
use crate::{
    Caller, Context, Error, ErrorKind,
    authentication::authenticator::{
        Factors, Holder, Which, fido, manage, recovery as codes, totp, waiting,
    },
    web::{
        failure::Failure,
        form::{Fields, Posted},
        login,
        next::Next,
        page::token_field,
        see_other,
    },
};

/// Offers the usable Authenticators, or those that a Service asks for.
pub(super) async fn page(
    State(ctx): State<Context>,
    known: Known,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let fields = login::query_fields(query.as_deref())?;
    let asking = Asking::read(&ctx, known, &fields).await?;
    let former = session::action(&asking.holder.session.message);
    let action = waiting::reconsidered(&ctx, &asking.holder).await?;
    let next = &asking.next;
    match action {
        AuthenticatorAction::RegistrationRequired
        | AuthenticatorAction::RegistrationRecommended => {
            Ok(see_other(&next.at(&ctx, REGISTER)?, []))
        }
        // The Session no longer requires an Authenticator.
        AuthenticatorAction::Unset if former != action => Ok(see_other(&next.login(&ctx)?, [])),
        _ => asking.show(&ctx, None).await,
    }
}

/// Authenticates with a TOTP code.
pub(super) async fn code(
    State(ctx): State<Context>,
    known: Known,
    Extension(caller): Extension<Caller>,
    form: Posted,
) -> Result<Response, Failure> {
    let asking = Asking::read(&ctx, known, &form).await?;
    let which = Which {
        name: "",
        uid: form.get("authenticator").unwrap_or_default(),
    };
    let code = form.get("code").unwrap_or_default();
    let used = totp::authenticate(&ctx, &asking.holder, &which, code, &caller);
    let used = Box::pin(used).await;
    asking.conclude(&ctx, used, &caller).await
}

/// Authenticates with a passkey or a security key.
pub(super) async fn key(
    State(ctx): State<Context>,
    known: Known,
    Extension(caller): Extension<Caller>,
    form: Posted,
) -> Result<Response, Failure> {
    let asking = Asking::read(&ctx, known, &form).await?;
    let state = form.get("state").unwrap_or_default();
    let response = form.get("response").unwrap_or_default();
    let used = fido::authenticate(&ctx, &asking.holder, state, response, &caller).await;
    asking.conclude(&ctx, used, &caller).await
}

/// Authenticates with a recovery code.
pub(super) async fn recovery(
    State(ctx): State<Context>,
    known: Known,
    Extension(caller): Extension<Caller>,
    form: Posted,
) -> Result<Response, Failure> {
    let asking = Asking::read(&ctx, known, &form).await?;
    let code = form.get("recovery").unwrap_or_default();
    let used = codes::authenticate(&ctx, &asking.holder, code, &caller).await;
    asking.conclude(&ctx, used, &caller).await
}

/// Context of an authentication request.
struct Asking {
    known: Known,
    holder: Holder,
    next: Next,
    asked: Option<Asked>,
}

impl Asking {
    async fn read(ctx: &Context, known: Known, fields: &Fields) -> Result<Self, Failure> {
        let next = Next::read(ctx, fields).await?;
        let holder = Holder::of_browser(ctx, &known.resumed).await?;
        Ok(Self {
            known,
            holder,
            next,
            asked: Asked::read(fields),
        })
    }

    /// Continues at `next`, or shows the error if the person can retry.
    async fn conclude(
        &self,
        ctx: &Context,
        used: Result<Session, Error>,
        caller: &Caller,
    ) -> Result<Response, Failure> {
        match used {
            Ok(session) => raised(ctx, session, &self.next),
            Err(error) => {
                totp::held_up(ctx, &self.holder, caller, &error);
                if is_told_there(&error) {
                    self.show(ctx, Some(&error)).await
                } else {
                    Err(error.into())
                }
            }
        }
    }

    async fn show(&self, ctx: &Context, error: Option<&Error>) -> Result<Response, Failure> {
        let held = Factors::load(ctx, self.holder.user.uid, ctx.now()).await?;
        let held = held.check(ctx.now()).err();
        // The rate limit of guesses takes precedence over the error.
        let why = held.as_ref().or(error);
        let ways = self.ways(ctx, held.is_some()).await?;
        let is_recommended = session::action(&self.holder.session.message)
            == AuthenticatorAction::AuthenticationRecommended;
        let token = self.known.form_token(ctx)?;
        let title = "Verify it's you";
        let again = login::again(ctx, &self.next)?;
        let has_login = self.asked.as_ref().is_some_and(|asked| asked.login);
        let body = html! {
            section.card {
                h1 { (title) }
                (alert(why.map(Error::public)))
                @if let Some(asked) = &self.asked { (asked_for(asked, &self.next)) }
                @match &ways {
                    Some(ways) => { (ways) }
                    None if held.is_some() => {}
                    None if self.asked.is_some() => { (self.to_add(ctx, &token)?) }
                    None => {
                        p { "None of your Authenticators can be used in this Session. Sign in again, or ask an administrator." }
                        p { a.button.wide href=(again) { "Sign in again" } }
                    }
                }
                @if has_login { p.fine { a href=(again) { "Sign in again instead" } } }
                @if is_recommended { (not_now(&token, &next_field(ctx, &self.next)?)) }
            }
        };
        let status = match error.or(held.as_ref()).map(Error::kind) {
            None => StatusCode::OK,
            Some(ErrorKind::RateLimited { .. }) => StatusCode::TOO_MANY_REQUESTS,
            Some(_) => StatusCode::FORBIDDEN,
        };
        Ok(framed(ctx, title, body, &self.next)
            .status(status)
            .into_response())
    }

    /// Renders the forms of the usable Authenticators. Returns `None` if there are none.
    async fn ways(&self, ctx: &Context, is_held: bool) -> Result<Option<Markup>, Failure> {
        let available = manage::available(ctx, &self.holder).await?.all;
        let asked = self.asked.as_ref();
        let among = asked.map(|asked| asked.authenticators.as_slice());
        let would_do = |uid: Uid| among.is_none_or(|among| among.contains(&uid));
        let of = |wanted: Type| {
            let all = available.iter().filter(|stored| would_do(stored.uid));
            all.map(|stored| &stored.message)
                .filter(|one| authenticator::type_of(one) == wanted)
                .collect::<Vec<&Authenticator>>()
        };
        let apps = of(Type::Totp);
        let keys = of(Type::Fido);
        let challenge = if keys.is_empty() {
            None
        } else {
            Some(fido::begin_authentication(ctx, &self.holder, among).await?)
        };
        let left = codes::left(ctx, &self.holder).await?;
        // A recovery code replaces an Authenticator that the Cluster requires, but does not satisfy a Service.
        let has_codes =
            left.is_some_and(|(count, _)| count > 0) && !is_held && self.asked.is_none();
        let has_apps = !apps.is_empty() && !is_held;
        if challenge.is_none() && !has_codes && !has_apps {
            return Ok(None);
        }
        let token = self.known.form_token(ctx)?;
        let rest = html! {
            (token_field(&token))
            (next_field(ctx, &self.next)?)
            @if let Some(asked) = &self.asked { (asked.field()) }
        };
        Ok(Some(html! {
            @if let Some(challenge) = &challenge {
                (key::form(Ceremony::Get, challenge, "/authenticators/authenticate/key", "Use a passkey or security key", &rest))
            }
            @if has_apps { (app_form(&apps, &rest)) }
            @if has_codes { (recovery_form(&rest)) }
        }))
    }

    /// Renders the forms for adding an Authenticator that would satisfy the Service.
    fn to_add(&self, ctx: &Context, token: &str) -> Result<Markup, Failure> {
        let field = next_field(ctx, &self.next)?;
        let to_add = self.asked.as_ref().map(|asked| asked.to_add.as_slice());
        let to_add = to_add.unwrap_or_default();
        let action = |r#type: &Type| match r#type {
            Type::Fido => Some(("/authenticators/fido", "Add a passkey or security key")),
            Type::Totp => Some(("/authenticators/totp", "Add an authenticator app")),
            Type::Tpm | Type::Unknown => None,
        };
        Ok(html! {
            @if to_add.is_empty() {
                p { "None of your Authenticators is accepted here. Ask an administrator." }
            } @else {
                p { "You have no Authenticator yet that is accepted here." }
                @for (place, name) in to_add.iter().filter_map(action) {
                    form method="post" action=(place) {
                        (token_field(token)) (field)
                        button.wide type="submit" { (name) }
                    }
                }
            }
        })
    }
}

/// Explains why a signed-in person has to authenticate.
fn asked_for(asked: &Asked, next: &Next) -> Markup {
    let host = match next {
        Next::Service(place) => login::host(&place.url),
        _ => "The page",
    };
    html! {
        p {
            strong { (host) }
            @match asked.max_age.map(|age| age.as_secs()) {
                None => { " requires more than your sign-in." }
                Some(seconds) if seconds >= 120 => {
                    " asks you to verify it's you again after " (seconds.div_ceil(60)) " minutes."
                }
                Some(seconds) => { " asks you to verify it's you again after " (seconds) " seconds." }
            }
        }
    }
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

/// Renders the button that skips a recommendation.
pub(super) fn not_now(token: &str, next: &Markup) -> Markup {
    html! {
        form method="post" action="/authenticators/later" {
            (token_field(token))
            (next)
            button.quiet.wide type="submit" { "Not now" }
        }
    }
}
