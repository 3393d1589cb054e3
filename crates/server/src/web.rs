//! Serves the pages at `https://<domain>`: login, portal, admin console and the handover to Services.
//!
//! All pages share one middleware layer. It identifies the visitor, rejects cross-origin forms and renders the
//! handler's `Page` or `Failure` in the common frame.

mod admin;
mod approval;
mod asset;
mod authenticators;
pub(crate) mod cookie;
mod device;
mod enroll;
mod failure;
pub(crate) mod form;
pub mod handover;
mod login;
mod login_state;
mod logout;
pub(crate) mod next;
mod oidc;
mod origin;
mod page;
mod portal;
pub(crate) mod provider;
mod saml;
mod visit;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next as NextLayer},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use crate::{
    Caller, Context, access,
    budget::{self, Shape},
    federation::{CALLBACK, oidc::LOGOUT as BACK_CHANNEL, saml::LOGOUT},
};
pub use authenticators::step_up_options::page as proof_page;
use failure::Failure;
use page::Page;
use visit::Visit;

/// Body limit for answers from identity providers, in bytes. A signed and encrypted assertion with many attributes can
/// be long.
const LARGEST_ANSWER: usize = 512 * 1024;
const LARGEST_FORM: usize = 64 * 1024;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Returns the pages for the host `<domain>`. Also answers every path that no other router there serves.
pub fn web_router(ctx: Context) -> Router {
    let callback = Router::new()
        .route(CALLBACK, get(login::returned).post(login::callback_post))
        .merge(saml::routes())
        .merge(oidc::routes())
        .layer(DefaultBodyLimit::max(LARGEST_ANSWER));
    let pages = Router::new()
        .route("/login", get(login::page))
        .route("/login/passkey", post(login::passkey))
        .route("/login/answer", post(approval::answer))
        .route("/device", get(device::page).post(device::find))
        .route("/device/answer", post(device::answer))
        .route("/begin", post(login::begin))
        .route("/enroll", get(enroll::page).post(enroll::redeem))
        .route("/logout", post(logout::logout))
        .merge(portal::routes())
        .merge(authenticators::routes())
        .merge(admin::routes())
        .layer(DefaultBodyLimit::max(LARGEST_FORM));
    pages
        .merge(callback)
        .fallback(async || Failure::not_found())
        .method_not_allowed_fallback(async || {
            Failure::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "Method not allowed",
                "This address does not accept this type of request.",
            )
            .then("/", "Go to the portal")
        })
        .layer(middleware::from_fn_with_state(ctx.clone(), serve))
        .merge(asset::routes())
        .with_state(ctx)
}

async fn serve(State(ctx): State<Context>, mut request: Request, next: NextLayer) -> Response {
    let caller = access::caller(&ctx, request.headers(), request.extensions());
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_ours = is_safe
        // Messages to these paths authenticate their sender themselves.
        || matches!(request.uri().path(), CALLBACK | LOGOUT | BACK_CHANNEL)
        || origin::is_own(request.headers(), &ctx.domain.url());
    let visited = if is_ours {
        visit::of(&ctx, request.headers(), &caller).await
    } else {
        Ok((Visit::Unknown(None), None))
    };
    let mut is_admin = false;
    let (visit, cookie, response) = match visited {
        Err(error) => (
            Visit::Unknown(None),
            None,
            Failure::from(error).into_response(),
        ),
        Ok((visit, cookie)) if !is_ours => (visit, cookie, foreign().into_response()),
        Ok((visit, cookie)) => {
            let admin_api = admin::admin_api(&ctx, &visit, &caller, request.headers()).await;
            is_admin = matches!(admin_api, Ok(Some(_)));
            request.extensions_mut().insert(admin_api);
            request.extensions_mut().insert(visit.clone());
            request.extensions_mut().insert(caller.clone());
            let payer = visit.payer(&caller);
            let body = (LARGEST_ANSWER, Shape::Whole);
            let handle = |request| next.run(request);
            let answer = budget::limited(&ctx.bodies, payer, body, request, handle).await;
            let response = answer.unwrap_or_else(|error| Failure::from(error).into_response());
            (visit, cookie, response)
        }
    };
    finish(&ctx, &caller, (&visit, is_admin), cookie, response)
}

/// Renders the [`Page`] or [`Failure`] of a response and adds the common cookies and headers.
fn finish(
    ctx: &Context,
    caller: &Caller,
    (visit, is_admin): (&Visit, bool),
    cookie: Option<HeaderValue>,
    mut response: Response,
) -> Response {
    let failure = response.extensions_mut().remove::<Failure>();
    let page = failure.map(|failure| failure.page(&caller.request_id));
    let page = page.or_else(|| response.extensions_mut().remove::<Page>());
    if let Some(page) = page {
        let rendered = page.render(ctx, visit, is_admin).or_else(|error| {
            // Renders without any Session data.
            tracing::error!(%error, "a page could not be rendered");
            Failure::unavailable().page(&caller.request_id).render(
                ctx,
                &Visit::Unknown(None),
                false,
            )
        });
        match rendered {
            Ok(rendered) => {
                let given = std::mem::take(response.headers_mut());
                response = rendered;
                for cookie in given.get_all(header::SET_COOKIE) {
                    response
                        .headers_mut()
                        .append(header::SET_COOKIE, cookie.clone());
                }
            }
            Err(_) => response = StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
    let headers = response.headers_mut();
    // A Session cookie set by the handler takes precedence.
    if let Some(cookie) = cookie
        && !sets(headers, cookie::SESSION)
    {
        headers.append(header::SET_COOKIE, cookie);
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers
        .entry(header::REFERRER_POLICY)
        .or_insert(HeaderValue::from_static("same-origin"));
    if let Ok(id) = HeaderValue::from_str(&caller.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

fn sets(headers: &http::HeaderMap, name: &str) -> bool {
    headers.get_all(header::SET_COOKIE).iter().any(|cookie| {
        cookie
            .as_bytes()
            .strip_prefix(name.as_bytes())
            .is_some_and(|rest| rest.starts_with(b"="))
    })
}

fn foreign() -> Failure {
    Failure::new(
        StatusCode::FORBIDDEN,
        "The form was not sent from this site",
        "Another site sent this form, or your browser hides the origin of the form. Nothing was changed. Open the page \
         here and try again.",
    )
    .then("/", "Go to the portal")
}

/// Redirects to `place` with a GET (303) and sets these cookies.
fn see_other(place: &str, cookies: impl IntoIterator<Item = Option<HeaderValue>>) -> Response {
    let mut response = Redirect::to(place).into_response();
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
