//! Whether a request may pass: token → Principal → scopes → configuration → Policies → expressions.

use std::{net::IpAddr, sync::Arc};

use api::core_v1::Scope as SessionScope;
use domain::{clock::UnixMillis, scope};
use http::{HeaderValue, header};
use policy::{Request, Scope, Subject};

use crate::{
    Gateway, Principal, Rejection, Route,
    body::Watch,
    canonical::{Ambiguity, Canonical, parse_call},
    denial::Denial,
    record::{Outcome, Record},
    route::{Access, Choice, Computed, Failure, Mode, Plan},
};

mod ip_text;
mod seen;
mod token;

use ip_text::IpText;
pub(crate) use seen::Seen;
pub(crate) use token::Presented;

/// The right to send one request to one Service by one of its configurations. Only [`authorize`] makes it.
pub(crate) struct Permit {
    route: Arc<Route>,
    choice: Choice,
    computed: Computed,
    watch: Watch,
}

impl Permit {
    /// Gives the right away: the Service, its configuration, what the expressions of that yield, and what ends a
    /// stream.
    pub(crate) fn into_parts(self) -> (Arc<Route>, Choice, Computed, Watch) {
        (self.route, self.choice, self.computed, self.watch)
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
    let case = Case {
        gateway,
        route: &route,
        subject: principal.as_ref().map(|principal| &*principal.subject),
        client,
        now: gateway.clock.now(),
    };
    let choice = case.choose(request, record)?;
    let plan = route.plan(choice).ok_or(Denial::NoConfig)?;
    // Before the Policies look, as they see what the upstream sees.
    if let (true, Some(foreign)) = (plan.passes_authorization, presented.foreign()) {
        request.headers.insert(header::AUTHORIZATION, foreign);
    }
    let computed = case.decide(plan, request, record)?;
    let now = case.now;
    let watch = match principal {
        None => Watch::unlimited(),
        Some(principal) => {
            let remaining = principal.valid_until.since(now);
            Watch::new(principal.revoked, remaining)
        }
    };
    Ok(Permit {
        route,
        choice,
        computed,
        watch,
    })
}

/// Who asks for what, and when.
struct Case<'a> {
    gateway: &'a Gateway,
    route: &'a Route,
    subject: Option<&'a Subject>,
    client: IpAddr,
    now: UnixMillis,
}

impl Case<'_> {
    /// Which configuration of the Service it is about.
    fn choose(&self, request: &Canonical, record: &Record) -> Result<Choice, Denial> {
        if !self.route.has_rules() {
            return Ok(Choice::Default);
        }
        let seen = Seen::new(request, self.client);
        let choice = self.route.choose(&self.scope(&seen.request()));
        seen.check()?;
        choice.map_err(|failure| self.failed(&failure, record))
    }

    /// Asks the Policies, then the expressions.
    fn decide(
        &self,
        plan: &Plan,
        request: &Canonical,
        record: &mut Record,
    ) -> Result<Computed, Denial> {
        if self.route.access == Access::Anyone {
            record.outcome = Outcome::Open("anonymous");
            if !plan.has_expressions() {
                return Ok(Computed::default());
            }
        }
        let seen = Seen::new(request, self.client);
        let view = seen.request();
        if self.route.access != Access::Anyone {
            self.ask_policies(&seen, &view, record)?;
        }
        let computed = plan.compute(&self.scope(&view));
        seen.check()?;
        computed.map_err(|failure| self.failed(&failure, record))
    }

    fn ask_policies(
        &self,
        seen: &Seen<'_>,
        view: &Request<'_>,
        record: &mut Record,
    ) -> Result<(), Denial> {
        let policies = self.gateway.identity.policies();
        let decision = policy::decide(&policies, self.subject, &self.route.target, view, self.now);
        // Whatever was decided, it was about another request than the upstream would see.
        seen.check()?;
        if decision.allowed {
            record.outcome = Outcome::Allowed(decision.reason);
            Ok(())
        } else {
            record.outcome = Outcome::Denied(decision.reason);
            Err(Denial::Policy)
        }
    }

    fn scope<'a>(&'a self, request: &'a Request<'a>) -> Scope<'a> {
        Scope {
            subject: self.subject,
            target: &self.route.target,
            request,
            now: self.now,
        }
    }

    /// The log tells the Service's owner what to mend.
    fn failed(&self, failure: &Failure, record: &Record) -> Denial {
        tracing::warn!(
            request_id = record.id.as_str(),
            service = self.route.name(),
            %failure,
            "an expression of the Service failed"
        );
        Denial::Expression
    }
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

fn check_scopes(scopes: &[SessionScope], route: &Route) -> Result<(), Denial> {
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
