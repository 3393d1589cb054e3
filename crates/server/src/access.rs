//! Authenticates and authorizes calls of the gRPC API: token, Session, scopes, Policies. The API is a Service like any
//! other, so the same Policies apply.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use domain::rng::random_string;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use crate::{
    Actor, Caller, Context, Error, ErrorKind, Principal, Unauthenticated,
    audit::{self, Entry},
    budget::{self, ANONYMOUS_MESSAGE, Payer, Shape},
};

mod authorized_stream;
mod call;
mod fields;
mod first_message;
mod guard;
mod method;
pub(crate) mod object;
pub(crate) mod target;
mod token;
mod wire;

use authorized_stream::AuthorizedStream;
pub(crate) use call::Call;
pub(crate) use first_message::PATIENCE as FIRST_MESSAGE_PATIENCE;
use method::Method;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const UNAUTHORIZED: HeaderName = HeaderName::from_static("x-octelium-unauthorized");
const ID_ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const LONGEST_USER_AGENT: usize = 220;

/// The client address, as determined by the listener, which knows the trusted proxies. The listener adds it to the
/// extensions of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// The id of a request. The listener may add it to the extensions of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

/// Middleware that authorizes a request by its head, before its body is read. Admitted requests carry an [`Actor`] in
/// their extensions, and all requests a [`Caller`].
pub(crate) async fn decide(State(ctx): State<Context>, request: Request, next: Next) -> Response {
    let (parts, mut body) = request.into_parts();
    let caller = caller(&ctx, &parts.headers, &parts.extensions);
    let request_id = HeaderValue::from_str(&caller.request_id).ok();
    let admitted = admit(&ctx, &caller, &parts.uri, &parts.headers).await;
    let method = Method::parse(parts.uri.path());
    if admitted.is_err() && method.is_some_and(Method::is_client_streaming) {
        first_message::receive(&mut body).await;
    }
    let request = Request::from_parts(parts, body);
    let mut response = match admitted {
        Ok(principal) => answer(&ctx, caller, principal, request, next).await,
        Err(refused) => refusal(refused),
    };
    if let Some(id) = request_id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Serves an admitted request. `principal` is `None` for a method that needs no authentication.
async fn answer(
    ctx: &Context,
    caller: Caller,
    principal: Option<Arc<Principal>>,
    mut request: Request,
    next: Next,
) -> Response {
    let method = Method::parse(request.uri().path());
    let body = method.map_or((ANONYMOUS_MESSAGE, Shape::Message), Method::body);
    let payer = match &principal {
        None if method.is_some_and(Method::is_endless) => Payer::stream(caller.ip),
        None => Payer::anonymous(caller.ip),
        Some(principal) => Payer::User(principal.user_uid()),
    };
    let mut authorized_stream = None;
    if let Some(principal) = principal {
        // A unary reply needs only the decision just made. A streaming reply is authorized repeatedly.
        if method.is_some_and(Method::is_streaming) {
            authorized_stream = Some(AuthorizedStream {
                ctx: ctx.clone(),
                caller: caller.clone(),
                uri: request.uri().clone(),
                headers: request.headers().clone(),
                revoked: principal.revoked.clone(),
            });
        }
        request.extensions_mut().insert(Actor {
            principal,
            request_id: caller.request_id.clone(),
            ip: caller.ip,
            user_agent: caller.user_agent.clone(),
        });
    }
    request.extensions_mut().insert(caller);
    let handle = |request| next.run(request);
    match budget::limited(&ctx.bodies, payer, body, request, handle).await {
        Ok(response) => match authorized_stream {
            Some(authorized_stream) => {
                response.map(|body| guard::until(authorized_stream.until_unauthorized(), body))
            }
            None => response,
        },
        Err(error) => refusal(error.into()),
    }
}

/// Returns the caller of a request with these headers and extensions.
pub(crate) fn caller(ctx: &Context, headers: &HeaderMap, extensions: &http::Extensions) -> Caller {
    let user_agent = headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    Caller {
        request_id: extensions.get::<RequestId>().map_or_else(
            || random_string(&*ctx.rng, ID_ALPHABET, 16),
            |id| id.0.clone(),
        ),
        ip: extensions.get::<Peer>().map(|peer| peer.0),
        user_agent: user_agent.chars().take(LONGEST_USER_AGENT).collect(),
    }
}

/// A refused call.
struct Refused {
    error: Error,
    /// The step-up challenge for `WWW-Authenticate`, if a step-up would satisfy the Policies.
    challenge: Option<String>,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self {
            error,
            challenge: None,
        }
    }
}

/// Authenticates and authorizes a call. Returns `None` for a method that needs no authentication.
async fn admit(
    ctx: &Context,
    caller: &Caller,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Option<Arc<Principal>>, Refused> {
    let path = uri.path();
    let method = Method::parse(path)
        .ok_or_else(|| Error::new(ErrorKind::Unimplemented, "Unknown method"))?;
    if method.is_anonymous() {
        return Ok(None);
    }
    let refused = |reason: &'static str| {
        let entry = Entry {
            event_type: call::EVENT,
            resource: None,
            user: None,
            session: None,
        };
        // Audit events for unauthenticated callers omit even the method.
        ctx.audit.add(audit::refused(ctx, caller, entry, reason));
    };

    let unauthenticated = || Error::new(ErrorKind::Unauthenticated, "Octelium: Unauthenticated");
    let token = match token::of(headers) {
        Ok(Some(token)) => token,
        Ok(None) => return Err(unauthenticated().into()),
        Err(reason) => {
            refused(reason);
            return Err(unauthenticated().into());
        }
    };
    let principal = match ctx.directory.authenticate(token).await {
        Ok(principal) => principal,
        Err(Unauthenticated::Refused { reason }) => {
            refused(reason);
            return Err(unauthenticated().into());
        }
        Err(error @ Unauthenticated::Unavailable) => return Err(Error::unavailable(error).into()),
    };

    let call = Call {
        caller,
        principal: &principal,
        path,
        host: uri.host().unwrap_or_default(),
        headers,
        target: &[],
    };
    if target::has_object(path) {
        // `object::decide` reads the message and asks the Policies.
        call.check_scope(ctx)?;
    } else {
        permit(ctx, &call).await?;
    }
    Ok(Some(principal))
}

/// Authorizes a call. A refusal includes the challenge for a possible step-up.
async fn permit(ctx: &Context, call: &Call<'_>) -> Result<(), Refused> {
    if let Err(error) = call.permit(ctx) {
        let step_up = call.step_up(ctx).await;
        return Err(Refused {
            error,
            challenge: step_up.map(|step_up| step_up.challenge()),
        });
    }
    Ok(())
}

fn refusal(refused: Refused) -> Response {
    let Refused { error, challenge } = refused;
    let is_refusal = matches!(
        error.kind(),
        ErrorKind::Unauthenticated | ErrorKind::PermissionDenied
    );
    let challenge = challenge.and_then(|challenge| HeaderValue::try_from(challenge).ok());
    let mut response = tonic::Status::from(error).into_http::<Body>();
    if let Some(challenge) = challenge {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
    }
    if is_refusal {
        let headers = response.headers_mut();
        headers.insert(UNAUTHORIZED, HeaderValue::from_static("true"));
    }
    response
}
