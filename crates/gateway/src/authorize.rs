//! Whether a request may pass: token → Principal → scopes → Policies.

use std::{net::IpAddr, sync::Arc};

use api::core_v1::Scope;
use domain::scope;
use http::{HeaderValue, Version, header};
use policy::{Request, Subject};

use crate::{
    Gateway, Principal, Rejection, Route,
    body::Watch,
    canonical::{Ambiguity, Canonical, HeaderView, QueryView, parse_call},
    denial::Denial,
    record::{Outcome, Record},
    route::{Access, Mode},
};

mod ip_text;
mod token;

use ip_text::IpText;
pub(crate) use token::Presented;

/// The right to send one request to one Service. Only [`authorize`] makes it.
pub(crate) struct Permit {
    route: Arc<Route>,
    watch: Watch,
}

impl Permit {
    /// Gives the right away: the Service, and what ends a stream.
    pub(crate) fn into_parts(self) -> (Arc<Route>, Watch) {
        (self.route, self.watch)
    }
}

/// Decides. Afterwards `request` has what the upstream may see and nothing else.
pub(crate) async fn authorize(
    gateway: &Gateway,
    route: Arc<Route>,
    request: &mut Canonical,
    client: IpAddr,
    record: &mut Record,
) -> Result<Permit, Denial> {
    check_mode(&route, request)?;
    let presented = Presented::read(std::mem::take(&mut request.credentials));
    let principal = match route.access {
        Access::Anyone | Access::AnyoneByPolicy => None,
        Access::Authenticated => {
            let principal = authenticate(gateway, presented.token()).await?;
            record.set_principal(&principal);
            check_scopes(&principal.scopes, &route)?;
            Some(principal)
        }
    };
    // Before the Policies look, as they see what the upstream sees.
    if let (true, Some(foreign)) = (route.passes_authorization, presented.foreign()) {
        request.headers.insert(header::AUTHORIZATION, foreign);
    }
    if route.access == Access::Anyone {
        record.outcome = Outcome::Open("anonymous");
    } else {
        let subject = principal.as_ref().map(|principal| &*principal.subject);
        decide(gateway, &route, subject, request, client, record)?;
    }
    let watch = match principal {
        None => Watch::unlimited(),
        Some(principal) => {
            let remaining = principal.valid_until.since(gateway.clock.now());
            Watch::new(principal.revoked, remaining)
        }
    };
    Ok(Permit { route, watch })
}

async fn authenticate(gateway: &Gateway, token: Option<&HeaderValue>) -> Result<Principal, Denial> {
    let token = token.ok_or(Denial::NoToken)?;
    let token = token.to_str().map_err(|_| Denial::InvalidToken)?;
    let principal = match gateway.identity.authenticate(token).await {
        Ok(principal) => principal,
        Err(Rejection::Unauthenticated { reason }) => {
            tracing::debug!(reason, "a token was not accepted");
            return Err(Denial::InvalidToken);
        }
        Err(Rejection::Unavailable) => return Err(Denial::IdentityUnavailable),
    };
    let expired = principal.valid_until <= gateway.clock.now();
    if expired || principal.revoked.is_cancelled() {
        Err(Denial::InvalidToken)
    } else {
        Ok(principal)
    }
}

fn check_scopes(scopes: &[Scope], route: &Route) -> Result<(), Denial> {
    if scope::allows_service(scopes, &route.name, false) {
        Ok(())
    } else {
        Err(Denial::Scope)
    }
}

/// A Service of gRPC takes nothing but calls.
fn check_mode(route: &Route, request: &Canonical) -> Result<(), Denial> {
    match (route.mode, request.grpc) {
        (Mode::Grpc, false) => Err(Denial::Ambiguous(Ambiguity::NotGrpc)),
        (Mode::Grpc, true) => parse_call(request.target.path(), request.target.query())
            .map(|_| ())
            .map_err(Denial::Ambiguous),
        (Mode::Http | Mode::Web, _) => Ok(()),
    }
}

fn decide(
    gateway: &Gateway,
    route: &Route,
    subject: Option<&Subject>,
    request: &Canonical,
    client: IpAddr,
    record: &mut Record,
) -> Result<(), Denial> {
    let headers = HeaderView::new(&request.headers);
    let query = QueryView::new(request.target.query());
    let ip = IpText::new(client);
    let seen = Request {
        ip: ip.as_str(),
        method: request.method.as_str(),
        path: request.target.path(),
        uri: request.target.as_str(),
        host: request.host.name(),
        scheme: "https",
        protocol: protocol(request.version),
        size: request.length.as_policy_size(),
        headers: &headers,
        query: &query,
        body: &[],
        body_map: None,
        grpc: if request.grpc {
            parse_call(request.target.path(), request.target.query()).ok()
        } else {
            None
        },
    };
    let policies = gateway.identity.policies();
    let decision = policy::decide(
        &policies,
        subject,
        &route.target,
        &seen,
        gateway.clock.now(),
    );
    // Whatever was decided, it was about another request than the upstream would see.
    if query.was_misread() {
        return Err(Denial::Ambiguous(Ambiguity::Query));
    }
    if headers.was_misread() {
        return Err(Denial::Ambiguous(Ambiguity::HeaderText));
    }
    if decision.allowed {
        record.outcome = Outcome::Allowed(decision.reason);
        Ok(())
    } else {
        record.outcome = Outcome::Denied(decision.reason);
        Err(Denial::Policy)
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}
