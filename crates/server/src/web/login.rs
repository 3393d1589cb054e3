//! The login page and the round trip to an identity provider.

use axum::{
    Extension,
    body::Bytes,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use domain::id::Uid;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use maud::{Markup, html};

use super::{
    approval,
    authenticators::{
        self,
        key::{self, Ceremony},
    },
    cookie::{self, SameSite},
    failure::Failure,
    form::{Fields, VerifiedForm},
    handover,
    login_state::{self, LoginState},
    next::Next,
    page::{Page, token_field},
    provider::{self, Destination, Identified, OfferedProvider, ProviderResponse},
    see_other,
    visit::{self, Visit, Visitor},
};
use crate::{
    Caller, Context, ErrorKind,
    authentication::{
        IdentityFailed,
        active::ActiveSession,
        authenticator::fido::{self, Challenge},
        browser::{self, BrowserLogin, BrowserLoginMethod, NewBrowserSession},
        refused_identity,
    },
};

/// Query field that asks for a login even if the visitor has a Session.
const AGAIN: &str = "again";
const AGAIN_WHY: &str = "Sign in again. To add or remove Authenticators, you must have verified recently that it's you.";

/// The value of [`AGAIN`] if a Service requires the fresh login.
const FOR_SERVICE: &str = "proof";
const PROOF_WHY: &str =
    "Sign in again. The page or Service that you are opening requires a recent sign-in.";

/// Query field that makes the provider authenticate the person again. It is set after the Cluster refused the account
/// that is signed in at the provider.
const OTHER: &str = "other";

/// Shows the login methods. A visitor with a Session continues at once.
pub(super) async fn page(
    State(ctx): State<Context>,
    visit: Visit,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let fields = query_fields(query.as_deref())?;
    let next = Next::read(&ctx, &fields).await?;
    match &visit {
        Visit::SignedIn(visitor) => {
            if let Some(again) = fields.get(AGAIN) {
                let why = if again == FOR_SERVICE {
                    PROOF_WHY
                } else {
                    AGAIN_WHY
                };
                let token = visitor.form_token(&ctx)?;
                return ask(&ctx, &next, Some(why), Some(&token), false);
            }
            if let Some(place) = authenticators::authenticator_page(&ctx, visitor, &next)? {
                return Ok(see_other(&place, []));
            }
            let active = visitor.check_active(&ctx, ctx.now()).await?;
            go_on(&ctx, visitor, &active, &next, &caller)
        }
        Visit::Unknown(why) => {
            let is_other = fields.get(OTHER).is_some();
            ask(&ctx, &next, why.as_deref(), None, is_other)
        }
    }
}

/// Returns the path of the login page that asks a signed-in person to authenticate again.
pub(super) fn reauthentication_page(ctx: &Context, next: &Next) -> Result<String, Failure> {
    next.at(ctx, &format!("/login?{AGAIN}=1"))
}

/// Like [`reauthentication_page`], for a step-up that a Service requires. The path carries no place to continue at.
pub(super) fn proof_page() -> String {
    format!("/login?{AGAIN}={FOR_SERVICE}")
}

fn ask(
    ctx: &Context,
    next: &Next,
    why: Option<&str>,
    token: Option<&str>,
    is_other: bool,
) -> Result<Response, Failure> {
    let offered_providers = provider::offered_providers(ctx);
    let field = next.field(ctx)?;
    let passkey = if fido::is_enabled(ctx) {
        Some(passkey_form(
            &fido::begin_login(ctx)?,
            field.as_ref(),
            token,
        ))
    } else {
        None
    };
    let hidden = html! {
        @if let Some(token) = token { (token_field(token)) }
        @if let Some((name, value)) = &field { input type="hidden" name=(name) value=(value); }
        @if is_other { input type="hidden" name=(OTHER) value="1"; }
    };
    let body = choice(next, &offered_providers, &hidden, why, passkey.as_ref());
    // The answer to the form redirects to a provider.
    Ok(Page::new("Sign in", body)
        .forms_lead_to(elsewhere(ctx))
        .into_response())
}

/// Signs a person in with the answer of a passkey.
pub(super) async fn passkey(
    State(ctx): State<Context>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    let next = Next::read(&ctx, &form).await?;
    let state = form.get("state").unwrap_or_default();
    let response = form.get("response").unwrap_or_default();
    let former = visit::former(&ctx, &headers).await;
    match fido::login(&ctx, former, state, response, &caller).await {
        Ok(begun) => {
            let session = visit::new_session_cookie(&ctx, &begun)?;
            Ok(see_other(&next.login(&ctx)?, [Some(session)]))
        }
        Err(error) => Err(Failure::from(error).then(next.login(&ctx)?, "Back to sign-in")),
    }
}

/// Redirects to the provider that the person chose.
pub(super) async fn begin(
    State(ctx): State<Context>,
    visit: Visit,
    headers: HeaderMap,
    form: VerifiedForm,
) -> Result<Response, Failure> {
    // A signed-in person is here to authenticate again, or wants to use another account.
    let force_authentication = matches!(visit, Visit::SignedIn(_)) || form.get(OTHER).is_some();
    let next = Next::read(&ctx, &form).await?;
    let provider: Uid = form
        .get("provider")
        .and_then(|uid| uid.parse().ok())
        .ok_or_else(Failure::not_found)?;
    let id = login_state::new_id(&ctx);
    let provider_request = provider::begin(&ctx, provider, &id, force_authentication)
        .await
        .map_err(|error| back(&ctx, &next, error.into()))?;
    let state = LoginState {
        id,
        provider,
        protocol_state: provider_request.protocol_state,
        next,
        former: visit::former(&ctx, &headers).await,
    };
    let cookie = state.cookie(&ctx)?;
    Ok(send_to_provider(&ctx, &provider_request.to, Some(cookie)))
}

/// Sends the browser to `to`, by a redirect or a form. The cookie identifies the browser when it returns.
pub(super) fn send_to_provider(
    ctx: &Context,
    to: &Destination,
    cookie: Option<HeaderValue>,
) -> Response {
    let (action, fields) = match to {
        Destination::Url(url) => return see_other(url, [cookie]),
        Destination::Form { action, fields } => (action, fields),
    };
    let body = html! {
        section.card {
            h1 { "Continue to " (host(action)) }
            form method="post" action=(action) data-submit {
                @for (name, value) in fields {
                    input type="hidden" name=(name) value=(value);
                }
                button.wide type="submit" { "Continue" }
            }
        }
    };
    let mut response = Page::new("Continue", body)
        .forms_lead_to(elsewhere(ctx))
        .into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Handles the callback of a provider that redirects with a query.
pub(super) async fn returned(
    State(ctx): State<Context>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let fields = query_fields(query.as_deref())?;
    handle_response(&ctx, &headers, &fields, &caller).await
}

/// Handles the callback of a provider that posts a form.
pub(super) async fn callback_post(
    State(ctx): State<Context>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, Failure> {
    let fields = Fields::parse(&body).ok_or_else(unreadable)?;
    handle_response(&ctx, &headers, &fields, &caller).await
}

async fn handle_response(
    ctx: &Context,
    headers: &HeaderMap,
    fields: &Fields,
    caller: &Caller,
) -> Result<Response, Failure> {
    ctx.failed_logins.check(caller, ctx.now())?;
    let sent = fields.get("state").or_else(|| fields.get("RelayState"));
    let state = LoginState::read(ctx, headers, sent).await?;
    let provider_response = ProviderResponse {
        provider: state.provider,
        protocol_state: &state.protocol_state,
        fields,
        caller,
    };
    let outcome = match provider::finish(ctx, provider_response).await {
        Ok(who) => enter(ctx, who, &state, caller).await,
        Err(failed) => Err(failed),
    };
    let begun = outcome.map_err(|failed| {
        refused_identity(ctx, caller, "session.created", &failed);
        ctx.failed_logins.count(caller, ctx.now());
        let is_known_there = failed.identifier.is_some();
        let is_denied = failed.error.kind() == ErrorKind::PermissionDenied;
        let failure = Failure::from(failed.error);
        let failure = if is_denied {
            failure.titled("You could not be signed in")
        } else {
            failure
        };
        match state.next.at(ctx, &format!("/login?{OTHER}=1")) {
            // The provider would return the same account again.
            Ok(place) if is_known_there => failure.then(place, "Sign in as someone else"),
            _ => back(ctx, &state.next, failure),
        }
    })?;
    let session = visit::new_session_cookie(ctx, &begun)?;
    let done = cookie::clear(cookie::LOGIN, SameSite::None);
    Ok(see_other(&state.next.login(ctx)?, [Some(session), done]))
}

async fn enter(
    ctx: &Context,
    who: Identified,
    state: &LoginState,
    caller: &Caller,
) -> Result<NewBrowserSession, IdentityFailed> {
    let Identified { user, mut identity } = who;
    identity.records.push(state.used(ctx));
    let provider = identity.provider.message.metadata.clone();
    let identifier = identity.identifier.clone();
    let login = BrowserLogin {
        user,
        method: BrowserLoginMethod::Identity(identity),
        former: state.former,
    };
    let begun = browser::log_in(ctx, &login, caller, |_| Ok(())).await;
    begun.map_err(|error| IdentityFailed {
        error,
        provider: provider.map(Box::new),
        user: None,
        identifier: Some(identifier),
    })
}

/// Continues at `next` with an active Session.
fn go_on(
    ctx: &Context,
    visitor: &Visitor,
    active: &ActiveSession,
    next: &Next,
    caller: &Caller,
) -> Result<Response, Failure> {
    match next {
        Next::Portal => Ok(see_other("/", [])),
        // The return address is not bound to a browser, so it cannot be handed over.
        Next::Service(place) if place.state.is_empty() => Ok(see_other("/", [])),
        Next::Service(place) => {
            let url = handover::issue_code(ctx, active, place)?;
            Ok(see_other(&url, []))
        }
        Next::Program(request) => approval::page(ctx, visitor, request, caller),
        Next::Device(code) => Ok(see_other(&format!("/device?user_code={code}"), [])),
        Next::Page(place) => Ok(see_other(place, [])),
    }
}

fn choice(
    next: &Next,
    offered_providers: &[OfferedProvider],
    hidden: &Markup,
    why: Option<&str>,
    passkey: Option<&Markup>,
) -> Markup {
    html! {
        section.card {
            h1 { "Sign in" }
            @if let Some(why) = why { p.hint role="status" { (why) } }
            @if let Next::Service(place) = next {
                p { "to continue to " strong { (host(&place.url)) } }
            }
            @if let Next::Program(_) = next {
                p { "to approve the sign-in of a program in your terminal" }
            }
            @if let Next::Device(_) = next {
                p { "to approve the sign-in of a device that shows a code" }
            }
            @if let Some(passkey) = passkey { (passkey) }
            @if offered_providers.is_empty() && passkey.is_none() {
                p {
                    "This Cluster has no identity provider to sign in with. An administrator can create a sign-in link \
                     for you:"
                }
                pre { code { "octeliumctl create enrollment --user YOU" } }
            } @else if !offered_providers.is_empty() {
                ul.choices {
                    @for offer in offered_providers {
                        li {
                            form method="post" action="/begin" {
                                input type="hidden" name="provider" value=(offer.uid);
                                (hidden)
                                button.wide type="submit" { "Continue with " (offer.label) }
                            }
                        }
                    }
                }
            }
            p.fine { a href="/enroll" { "I have a link from an administrator" } }
        }
    }
}

fn passkey_form(
    challenge: &Challenge,
    field: Option<&(&'static str, String)>,
    token: Option<&str>,
) -> Markup {
    let rest = html! {
        @if let Some(token) = token { (token_field(token)) }
        @if let Some((name, value)) = field { input type="hidden" name=(name) value=(value); }
        div hidden data-conditional {
            label for="passkey" { "Your passkey" }
            input type="text" id="passkey" autocomplete="username webauthn" spellcheck="false"
                autocapitalize="off" placeholder="Choose a passkey";
        }
    };
    let button = "Sign in with a passkey";
    key::form(Ceremony::Get, challenge, "/login/passkey", button, &rest)
}

/// Returns the CSP sources that the forms of the login may redirect to. Providers can be on any `https` host. A Cluster
/// on localhost also permits plain HTTP to loopback.
pub(super) fn elsewhere(ctx: &Context) -> &'static str {
    let host = ctx.domain.host();
    if host == "localhost" || host.ends_with(".localhost") {
        "https: http://localhost:* http://127.0.0.1:*"
    } else {
        "https:"
    }
}

pub(super) fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or_default()
}

pub(super) fn query_fields(query: Option<&str>) -> Result<Fields, Failure> {
    Fields::parse(query.unwrap_or_default().as_bytes()).ok_or_else(unreadable)
}

fn unreadable() -> Failure {
    Failure::new(
        StatusCode::BAD_REQUEST,
        "The request is not valid",
        "The address or the form contains the same value twice. Start again.",
    )
    .then("/login", "Sign in")
}

/// Adds a link to the login page, which keeps the place to continue at.
fn back(ctx: &Context, next: &Next, failure: Failure) -> Failure {
    match next.login(ctx) {
        Ok(place) => failure.then(place, "Back to sign-in"),
        Err(failure) => failure,
    }
}
