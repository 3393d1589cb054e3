//! Pages for adding, renaming, removing and using Authenticators.
//!
//! Every page redirects a Session with a pending Authenticator action here. Each address and form carries [`Next`], the
//! place to continue at afterwards.

mod add;
mod authenticate;
pub(super) mod key;
mod list;
mod program;
mod qr;
mod recovery;
mod register;
pub(super) mod step_up_options;

use std::{ops::Deref, sync::Arc};

use api::core_v1::{
    Authenticator, authenticator::status::Type, session::status::AuthenticatorAction,
};
use api::resource::Object as _;
use axum::{
    Router,
    extract::FromRequestParts,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use domain::{authenticator, credential::Refusal, session};
use http::{HeaderValue, request::Parts};
use maud::{Markup, html};

use super::{
    failure::Failure,
    login,
    next::Next,
    page::Page,
    portal, see_other,
    visit::{self, Visit, Visitor},
};
use crate::{
    Context, Error, ErrorKind,
    authentication::{
        authenticator::{Holder, manage},
        browser::NewBrowserSession,
    },
};

pub(super) const HOME: &str = "/authenticators";
const AUTHENTICATE: &str = "/authenticators/authenticate";
const REGISTER: &str = "/authenticators/register";

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route(HOME, get(list::page))
        .route("/authenticators/rename", post(list::rename))
        .route(
            "/authenticators/remove",
            get(list::confirm).post(list::remove),
        )
        .route("/authenticators/recovery", post(recovery::renew))
        .route("/authenticators/totp", post(add::totp))
        .route("/authenticators/totp/finish", post(add::finish_totp))
        .route("/authenticators/fido", post(add::fido))
        .route("/authenticators/fido/finish", post(add::finish_fido))
        .route(REGISTER, get(register::page))
        .route(AUTHENTICATE, get(authenticate::page))
        .route(
            "/authenticators/authenticate/code",
            post(authenticate::code),
        )
        .route("/authenticators/authenticate/key", post(authenticate::key))
        .route(
            "/authenticators/authenticate/recovery",
            post(authenticate::recovery),
        )
        .route("/authenticators/later", post(register::later))
        .route(
            "/authenticators/program",
            get(program::page).post(program::answer),
        )
}

/// Returns the page to visit first if the Session requires or recommends an Authenticator.
///
/// # Errors
/// Returns a [`Failure`] if no key is available to sign the return address.
pub(super) fn authenticator_page(
    ctx: &Context,
    visitor: &Visitor,
    next: &Next,
) -> Result<Option<String>, Failure> {
    match visitor.refusal(ctx.now()) {
        None | Some(Refusal::AuthenticatorRequired) => {}
        // Other refusals take precedence.
        Some(_) => return Ok(None),
    }
    let path = match session::action(&visitor.resumed.session.message) {
        AuthenticatorAction::Unset => return Ok(None),
        AuthenticatorAction::AuthenticationRequired
        | AuthenticatorAction::AuthenticationRecommended => AUTHENTICATE,
        AuthenticatorAction::RegistrationRequired
        | AuthenticatorAction::RegistrationRecommended => REGISTER,
    };
    next.at(ctx, path).map(Some)
}

/// Returns the path of the page that offers to add an Authenticator and can be skipped.
pub(super) fn offer() -> String {
    format!("{REGISTER}?{}=1", register::OFFER)
}

/// Like [`authenticator_page`], but ignores recommendations.
///
/// # Errors
/// Returns a [`Failure`] if no key is available to sign the return address.
pub(super) fn required_authenticator_page(
    ctx: &Context,
    visitor: &Visitor,
    next: &Next,
) -> Result<Option<String>, Failure> {
    match visitor.refusal(ctx.now()) {
        Some(Refusal::AuthenticatorRequired) => authenticator_page(ctx, visitor, next),
        _ => Ok(None),
    }
}

/// Extractor for a visitor with a Session, which may still require an Authenticator.
struct SignedInVisitor(Arc<Visitor>);

impl FromRequestParts<Context> for SignedInVisitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, ctx: &Context) -> Result<Self, Response> {
        let Ok(visit) = Visit::from_request_parts(parts, ctx).await;
        if let Visit::SignedIn(visitor) = visit {
            return Ok(Self(visitor));
        }
        let login = portal::next(parts).login(ctx);
        Err(match login {
            Ok(login) => see_other(&login, []),
            Err(failure) => failure.into_response(),
        })
    }
}

impl Deref for SignedInVisitor {
    type Target = Visitor;

    fn deref(&self) -> &Visitor {
        &self.0
    }
}

/// Continues at `next` with the cookie of a Session that an Authenticator has raised.
fn step_up_response(
    ctx: &Context,
    session: api::core_v1::Session,
    next: &Next,
) -> Result<Response, Failure> {
    let cookie: HeaderValue = visit::new_session_cookie(ctx, &NewBrowserSession { session })?;
    Ok(see_other(&next.login(ctx)?, [Some(cookie)]))
}

/// Redirects to a fresh authentication and then to `next`, if `error` asks for one. Other errors become a [`Failure`].
async fn prove_first(
    ctx: &Context,
    holder: &Holder,
    error: Error,
    next: &Next,
) -> Result<Response, Failure> {
    if error.reason() != Some("fresh_authentication_required") {
        return Err(Failure::from(error).then(HOME, "Back to Authenticators"));
    }
    let available = manage::available(ctx, holder).await?;
    let place = if available.all.is_empty() {
        login::reauthentication_page(ctx, next)?
    } else {
        next.at(ctx, AUTHENTICATE)?
    };
    Ok(see_other(&place, []))
}

/// Returns whether the person can retry on the same page.
fn is_retryable(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::FailedPrecondition
            | ErrorKind::AlreadyExists
            | ErrorKind::InvalidArgument
            | ErrorKind::RateLimited { .. }
    )
}

/// Renders the hidden form field that carries `next`.
fn next_field(ctx: &Context, next: &Next) -> Result<Markup, Failure> {
    let field = next.field(ctx)?;
    Ok(html! {
        @if let Some((name, value)) = field { input type="hidden" name=(name) value=(value); }
    })
}

/// Returns a page whose forms may redirect to a Service. `form-action` also restricts redirects after a form (CSP 3
/// §6.4.2).
fn page(ctx: &Context, title: &str, body: Markup, next: &Next) -> Page {
    let page = Page::new(title, body);
    match next {
        Next::Service(_) => page.forms_lead_to(login::elsewhere(ctx)),
        _ => page,
    }
}

fn alert(text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { p.warning role="alert" { (text) } } }
}

/// Returns the display name, or else the resource name.
fn label(authenticator: &Authenticator) -> &str {
    let spec = authenticator.spec.as_ref();
    let name = spec.map_or("", |spec| spec.display_name.as_str());
    if name.is_empty() {
        authenticator.name()
    } else {
        name
    }
}

fn kind(authenticator: &Authenticator) -> &'static str {
    use api::core_v1::authenticator::status::info;
    match (
        authenticator::type_of(authenticator),
        authenticator::info(authenticator),
    ) {
        (Type::Fido, Some(info::Type::Fido(fido))) if fido.is_passkey => "Passkey",
        (Type::Fido, _) => "Security key",
        (Type::Totp, _) => "Authenticator app",
        (Type::Tpm, _) => "TPM",
        (Type::Unknown, _) => "Unknown",
    }
}
