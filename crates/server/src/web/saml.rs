//! SAML endpoints beside the callback: service provider metadata and single logout.

use std::time::Duration;

use authn::saml::Incoming;
use axum::{
    Extension, Router,
    body::Bytes,
    extract::{Path, RawQuery, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use domain::id::Uid;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use maud::{Markup, html};

use super::{
    cookie::{self, SameSite},
    failure::Failure,
    form::Fields,
    login::send_to_provider,
    logout::logged_out,
    provider::Destination,
};
use crate::{
    Caller, Context, Error,
    federation::saml::{self, logout::ProviderLogout},
    sealed::{self, NotOpened, Purpose},
};

/// Media type of SAML Metadata, appendix A.
const MEDIA_TYPE: &str = "application/samlmetadata+xml";
/// Lifetime of a pending logout at a provider.
const LIFETIME: Duration = Duration::from_mins(10);

/// State of a pending logout at a provider.
#[derive(Clone, PartialEq, prost::Message)]
struct Cookie {
    #[prost(bytes = "vec", tag = "1")]
    provider: Vec<u8>,
    #[prost(string, tag = "2")]
    request_id: String,
}

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route(saml::METADATA, get(metadata))
        .route(
            &format!("{}/{{provider}}", saml::METADATA),
            get(metadata_for),
        )
        .route(saml::LOGOUT, get(redirected).post(posted))
}

/// Serves the default metadata, for providers whose `IdentityProvider` sets no entity ID for the Cluster.
async fn metadata(State(ctx): State<Context>) -> Result<Response, Failure> {
    Ok(document(saml::metadata(&ctx, None).await?))
}

/// Serves the metadata for the `IdentityProvider` of this name.
async fn metadata_for(
    State(ctx): State<Context>,
    Path(provider): Path<String>,
) -> Result<Response, Failure> {
    let entry = ctx.directory.identity_provider(&provider, "");
    let entry = entry
        .filter(|entry| saml::is_saml(entry))
        .ok_or_else(Failure::not_found)?;
    Ok(document(saml::metadata(&ctx, Some(&entry)).await?))
}

fn document(document: String) -> Response {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], document).into_response()
}

async fn redirected(
    State(ctx): State<Context>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let query = query.unwrap_or_default();
    let fields = Fields::parse(query.as_bytes()).ok_or_else(unreadable)?;
    let incoming = Incoming::Redirect { query: &query };
    handle_message(&ctx, &headers, &caller, &fields, |_| incoming).await
}

async fn posted(
    State(ctx): State<Context>,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, Failure> {
    let fields = Fields::parse(&body).ok_or_else(unreadable)?;
    handle_message(&ctx, &headers, &caller, &fields, |message| Incoming::Post {
        message,
    })
    .await
}

/// Executes and answers a logout request, or finishes the logout that this browser started.
async fn handle_message<'a>(
    ctx: &Context,
    headers: &HeaderMap,
    caller: &Caller,
    fields: &'a Fields,
    incoming: impl Fn(&'a str) -> Incoming<'a>,
) -> Result<Response, Failure> {
    match (fields.get("SAMLRequest"), fields.get("SAMLResponse")) {
        (Some(request), None) => {
            let relay_state = fields.get("RelayState");
            let incoming = incoming(request);
            let message = saml::logout::end_by_request(ctx, incoming, relay_state, caller).await?;
            Ok(send_to_provider(ctx, &Destination::from(message), None))
        }
        (None, Some(response)) => {
            let (provider, request_id) = begun(ctx, headers).await?;
            let incoming = incoming(response);
            let label = saml::logout::finish(ctx, provider, &request_id, incoming).await?;
            let text = format!("Your sessions here and at {label} have ended.");
            let mut response = logged_out(&text);
            if let Some(done) = cookie::clear(cookie::LOGOUT, SameSite::None) {
                response.headers_mut().append(header::SET_COOKIE, done);
            }
            Ok(response)
        }
        _ => Err(unreadable()),
    }
}

/// Returns the link or form that continues the logout at the provider, and the cookie that identifies the answer.
pub(super) fn provider_logout_form(
    ctx: &Context,
    provider_logout: &ProviderLogout,
) -> Result<(Markup, HeaderValue), Error> {
    let content = Cookie {
        provider: provider_logout.provider.as_bytes().to_vec(),
        request_id: provider_logout.request_id.clone(),
    };
    let expires_at = ctx.now().saturating_add(LIFETIME);
    let text = sealed::seal(ctx, Purpose::Logout, &content, expires_at)?;
    let cookie = cookie::set(cookie::LOGOUT, &text, SameSite::None, LIFETIME)
        .ok_or_else(|| Error::internal("no cookie could be made"))?;
    let label = format!("Sign out of {} too", provider_logout.label);
    let way = match Destination::from(provider_logout.message.clone()) {
        Destination::Url(url) => html! { a.button href=(url) { (label) } },
        Destination::Form { action, fields } => html! {
            form method="post" action=(action) {
                @for (name, value) in &fields {
                    input type="hidden" name=(name) value=(value);
                }
                button type="submit" { (label) }
            }
        },
    };
    Ok((way, cookie))
}

async fn begun(ctx: &Context, headers: &HeaderMap) -> Result<(Uid, String), Failure> {
    let text = cookie::find(headers, cookie::LOGOUT).ok_or_else(foreign)?;
    let cookie = sealed::open::<Cookie>(ctx, Purpose::Logout, text)
        .await
        .map_err(|error| match error {
            NotOpened::Invalid | NotOpened::Expired => foreign(),
            NotOpened::Unavailable => Failure::unavailable(),
        })?;
    let provider = Uid::from_bytes(&cookie.provider).map_err(|_| foreign())?;
    Ok((provider, cookie.request_id))
}

fn foreign() -> Failure {
    Failure::new(
        StatusCode::BAD_REQUEST,
        "This sign-out was not started here",
        "This browser did not start a sign-out at this identity provider in the last ten minutes. If you see your name \
         above, you are still signed in here.",
    )
    .then("/", "Go to the portal")
}

fn unreadable() -> Failure {
    Failure::new(
        StatusCode::BAD_REQUEST,
        "The request is not valid",
        "The identity provider sent a message that is not a SAML logout message.",
    )
    .then("/", "Go to the portal")
}
