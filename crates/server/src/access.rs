//! Who may call which method of the gRPC API: token → Session → scopes → Policies. The API is a Service like any
//! other, so the same Policies decide.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use domain::{rng::random_string, scope};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use policy::{Grpc, NoFields};

use crate::{
    Actor, Caller, Context, Error, ErrorKind, Principal, Unauthenticated,
    audit::{self, Entry},
    bootstrap::API_SERVICE,
};

mod fields;
mod guard;
mod method;
mod standing;
mod token;

use fields::Headers;
use method::Method;
use standing::Standing;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const UNAUTHORIZED: HeaderName = HeaderName::from_static("x-octelium-unauthorized");
const ID_ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const LONGEST_USER_AGENT: usize = 220;

/// The address that a request came from, as far as the listener trusts it. The listener puts it into the
/// extensions of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// The id of a request, where the listener gives it one: in the extensions of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

/// Decides, and lets through with an [`Actor`] in the extensions; a [`Caller`] is in those of every request.
pub(crate) async fn decide(State(ctx): State<Context>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let caller = caller(&ctx, &parts.headers, &parts.extensions);
    let request_id = HeaderValue::from_str(&caller.request_id).ok();
    let admitted = admit(&ctx, &caller, &parts.uri, &parts.headers).await;
    let is_streaming = Method::parse(parts.uri.path()).is_some_and(Method::is_streaming);
    let mut request = Request::from_parts(parts, body);
    let mut response = match admitted {
        Ok(None) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Ok(Some(principal)) => {
            // What is answered at once was decided a moment ago; what goes on is decided again.
            let standing = is_streaming.then(|| Standing {
                ctx: ctx.clone(),
                caller: caller.clone(),
                uri: request.uri().clone(),
                headers: request.headers().clone(),
                revoked: principal.revoked.clone(),
            });
            request.extensions_mut().insert(Actor {
                principal,
                request_id: caller.request_id.clone(),
                ip: caller.ip,
                user_agent: caller.user_agent.clone(),
            });
            request.extensions_mut().insert(caller);
            let response = next.run(request).await;
            match standing {
                Some(standing) => response.map(|body| guard::until(standing.ends(), body)),
                None => response,
            }
        }
        Err(error) => refusal(error),
    };
    if let Some(id) = request_id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Whoever sent a request with these headers.
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

/// `None` for a method that anybody may call.
async fn admit(
    ctx: &Context,
    caller: &Caller,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Option<Arc<Principal>>, Error> {
    let path = uri.path();
    let method = Method::parse(path)
        .ok_or_else(|| Error::new(ErrorKind::Unimplemented, "There is no such method"))?;
    if method.is_anonymous() {
        return Ok(None);
    }
    let refused = |reason: &'static str, principal: Option<&Principal>| {
        let session = principal.map(Principal::session_metadata);
        let entry = Entry {
            event_type: "api.called",
            resource: None,
            user: principal.and_then(|principal| principal.user().metadata.as_ref()),
            session: session.as_ref(),
        };
        let mut event = audit::refused(ctx, caller, entry, reason);
        if principal.is_some() {
            // Of strangers, not even that.
            event.attrs.insert("method".to_owned(), path.to_owned());
        }
        ctx.audit.add(event);
    };

    let unauthenticated = || Error::new(ErrorKind::Unauthenticated, "Octelium: Unauthenticated");
    let token = match token::of(headers) {
        Ok(Some(token)) => token,
        Ok(None) => return Err(unauthenticated()),
        Err(reason) => {
            refused(reason, None);
            return Err(unauthenticated());
        }
    };
    let principal = match ctx.directory.authenticate(token).await {
        Ok(principal) => principal,
        Err(Unauthenticated::Refused { reason }) => {
            refused(reason, None);
            return Err(unauthenticated());
        }
        Err(error @ Unauthenticated::Unavailable) => return Err(Error::unavailable(error)),
    };

    let unauthorized = || Error::denied("Octelium: Unauthorized");
    if !scope::allows_method(
        principal.scopes(),
        method.short_package(),
        method.service,
        method.name,
    ) {
        refused("scope", Some(&principal));
        return Err(unauthorized());
    }
    let Some(api) = ctx.directory.service_by_name(API_SERVICE) else {
        return Err(Error::internal("the Service of the API is missing"));
    };
    let ip = caller.ip.map(|ip| ip.to_string()).unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    let (decision, shadow) = policy::decide_with_shadow(
        &ctx.directory.policies(),
        Some(principal.subject()),
        &api.target,
        &policy::Request {
            ip: &ip,
            method: "POST",
            path,
            uri: path,
            host,
            scheme: "https",
            protocol: "HTTP/2.0",
            size: 0,
            headers: &Headers(headers),
            query: &NoFields,
            body: &[],
            body_map: None,
            grpc: Some(Grpc {
                package: method.package,
                service: method.service,
                service_full_name: method.service_full_name,
                method: method.name,
            }),
        },
        ctx.now(),
    );
    if let Some(shadow) = shadow {
        let would = if shadow.allowed { "allowed" } else { "denied" };
        metrics::counter!("api_shadow_differences_total", "shadow" => would).increment(1);
        tracing::info!(request_id = caller.request_id, path, shadow = %shadow.reason, "shadow Policies differ");
    }
    if !decision.allowed && is_recovery(&principal) {
        tracing::warn!(
            request_id = caller.request_id,
            path,
            "allowed to get back in"
        );
    } else if !decision.allowed {
        tracing::info!(request_id = caller.request_id, path, reason = %decision.reason, "refused by Policy");
        refused("policy", Some(&principal));
        return Err(unauthorized());
    }
    Ok(Some(principal))
}

/// Whether the Session is one to get back in by.
fn is_recovery(principal: &Principal) -> bool {
    principal
        .credential()
        .and_then(|credential| credential.status.as_ref())
        .is_some_and(|status| status.recovery)
}

fn refusal(error: Error) -> Response {
    let is_refusal = matches!(
        error.kind(),
        ErrorKind::Unauthenticated | ErrorKind::PermissionDenied
    );
    let mut response = tonic::Status::from(error).into_http::<Body>();
    if is_refusal {
        let headers = response.headers_mut();
        headers.insert(UNAUTHORIZED, HeaderValue::from_static("true"));
    }
    response
}
