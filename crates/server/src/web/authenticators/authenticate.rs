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
    REGISTER, SignedInVisitor,
    add::code_input,
    alert, is_retryable,
    key::{self, Ceremony},
    label, next_field, page as framed,
    step_up_options::StepUpOptions,
    step_up_response,
};
use crate::{
    Caller, Context, Error, ErrorKind,
    authentication::authenticator::{
        AuthenticatorSelector, Factors, Holder, fido, manage, pending_action, recovery as codes,
        totp,
    },
    web::{
        failure::Failure,
        form::{Fields, VerifiedForm},
        login,
        next::Next,
        page::token_field,
        see_other,
    },
};

/// Offers the usable Authenticators, or those that a Service asks for.
pub(super) async fn page(
    State(ctx): State<Context>,
    visitor: SignedInVisitor,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let fields = login::query_fields(query.as_deref())?;
    let authentication = AuthenticationContext::read(&ctx, visitor, &fields).await?;
    let former = session::action(&authentication.holder.session.message);
    let action = pending_action::reconsidered(&ctx, &authentication.holder).await?;
    let next = &authentication.next;
    match action {
        AuthenticatorAction::RegistrationRequired
        | AuthenticatorAction::RegistrationRecommended => {
            Ok(see_other(&next.at(&ctx, REGISTER)?, []))
        }
        // The Session no longer requires an Authenticator.
        AuthenticatorAction::Unset if former != action => Ok(see_other(&next.login(&ctx)?, [])),
        _ => authentication.show(&ctx, None).await,
    }
}

/// Authenticates with a TOTP code.
pub(super) async fn code(
    State(ctx): State<Context>,
    visitor: SignedInVisitor,
    Extension(caller): Extension<Caller>,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let authentication = AuthenticationContext::read(&ctx, visitor, &form).await?;
    let which = AuthenticatorSelector {
        name: "",
        uid: form.get("authenticator").unwrap_or_default(),
    };
    let code = form.get("code").unwrap_or_default();
    let used = totp::authenticate(&ctx, &authentication.holder, &which, code, &caller);
    let used = Box::pin(used).await;
    authentication.conclude(&ctx, used, &caller).await
}

/// Authenticates with a passkey or a security key.
pub(super) async fn key(
    State(ctx): State<Context>,
    visitor: SignedInVisitor,
    Extension(caller): Extension<Caller>,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let authentication = AuthenticationContext::read(&ctx, visitor, &form).await?;
    let state = form.get("state").unwrap_or_default();
    let response = form.get("response").unwrap_or_default();
    let used = fido::authenticate(&ctx, &authentication.holder, state, response, &caller).await;
    authentication.conclude(&ctx, used, &caller).await
}

/// Authenticates with a recovery code.
pub(super) async fn recovery(
    State(ctx): State<Context>,
    visitor: SignedInVisitor,
    Extension(caller): Extension<Caller>,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let authentication = AuthenticationContext::read(&ctx, visitor, &form).await?;
    let code = form.get("recovery").unwrap_or_default();
    let used = codes::authenticate(&ctx, &authentication.holder, code, &caller).await;
    authentication.conclude(&ctx, used, &caller).await
}

/// Context of an authentication request.
struct AuthenticationContext {
    visitor: SignedInVisitor,
    holder: Holder,
    next: Next,
    step_up_options: Option<StepUpOptions>,
}

impl AuthenticationContext {
    async fn read(
        ctx: &Context,
        visitor: SignedInVisitor,
        fields: &Fields,
    ) -> Result<Self, Failure> {
        let next = Next::read(ctx, fields).await?;
        let holder = Holder::of_browser(ctx, &visitor.resumed).await?;
        Ok(Self {
            visitor,
            holder,
            next,
            step_up_options: StepUpOptions::read(fields),
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
            Ok(session) => step_up_response(ctx, session, &self.next),
            Err(error) => {
                totp::audit_blocked_attempt(ctx, &self.holder, caller, &error);
                if is_retryable(&error) {
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
        let token = self.visitor.form_token(ctx)?;
        let title = "Verify it's you";
        let reauthentication_page = login::reauthentication_page(ctx, &self.next)?;
        let has_login = self
            .step_up_options
            .as_ref()
            .is_some_and(|step_up_options| step_up_options.login);
        let body = html! {
            section.card {
                h1 { (title) }
                (alert(why.map(Error::public)))
                @if let Some(step_up_options) = &self.step_up_options { (explanation(step_up_options, &self.next)) }
                @match &ways {
                    Some(ways) => { (ways) }
                    None if held.is_some() => {}
                    None if self.step_up_options.is_some() => { (self.to_add(ctx, &token)?) }
                    None => {
                        p { "None of your Authenticators can be used in this Session. Sign in again, or ask an administrator." }
                        p { a.button.wide href=(reauthentication_page) { "Sign in again" } }
                    }
                }
                @if has_login { p.fine { a href=(reauthentication_page) { "Sign in again instead" } } }
                @if is_recommended { (skip_button(&token, &next_field(ctx, &self.next)?)) }
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
        let step_up_options = self.step_up_options.as_ref();
        let among =
            step_up_options.map(|step_up_options| step_up_options.authenticators.as_slice());
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
        let left = codes::remaining(ctx, &self.holder).await?;
        // A recovery code replaces an Authenticator that the Cluster requires, but does not satisfy a Service.
        let has_codes =
            left.is_some_and(|(count, _)| count > 0) && !is_held && self.step_up_options.is_none();
        let has_apps = !apps.is_empty() && !is_held;
        if challenge.is_none() && !has_codes && !has_apps {
            return Ok(None);
        }
        let token = self.visitor.form_token(ctx)?;
        let rest = html! {
            (token_field(&token))
            (next_field(ctx, &self.next)?)
            @if let Some(step_up_options) = &self.step_up_options { (step_up_options.field()) }
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
        let to_add = self
            .step_up_options
            .as_ref()
            .map(|step_up_options| step_up_options.to_add.as_slice());
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
fn explanation(step_up_options: &StepUpOptions, next: &Next) -> Markup {
    let host = match next {
        Next::Service(place) => login::host(&place.url),
        _ => "The page",
    };
    html! {
        p {
            strong { (host) }
            @match step_up_options.max_age.map(|age| age.as_secs()) {
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
pub(super) fn skip_button(token: &str, next: &Markup) -> Markup {
    html! {
        form method="post" action="/authenticators/later" {
            (token_field(token))
            (next)
            button.quiet.wide type="submit" { "Not now" }
        }
    }
}
