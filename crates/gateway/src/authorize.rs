//! Authorization of a request: token → Principal → scopes → configuration → Policies → plugins → expressions.

use std::sync::Arc;

use api::core_v1::Scope as SessionScope;
use bytes::Bytes;
use domain::{clock::UnixMillis, scope};
use http::{Method, Response, header, uri::PathAndQuery};
use http_body::Body as HttpBody;
use policy::{Request, Scope, Subject};

use crate::{
    Body, Gateway, Principal, Rejection, Route,
    body::{Transfer, Watch},
    canonical::{Ambiguity, Canonical, Length, parse_call},
    denial::{self, DenialFormat},
    denial_reason::Denial,
    inbound::{Inbound, ReceivedRequest},
    login,
    mode::Mode,
    record::{Outcome, Record},
    route::{
        ASSERTION, Access, AnswerReason, Choice, Computed, Effect, Failure, IdentityFields, Plan,
        Plugin,
    },
    shares::Payer,
};

mod cross_site;
mod ip_text;
mod lazy_request;
mod token;

use ip_text::IpText;
pub(crate) use lazy_request::LazyRequest;
pub(crate) use token::PresentedCredentials;
use token::Proof;

/// The permission to send one request to one Service with one of its configurations. Only [`authorize`] creates it.
pub(crate) struct Permit {
    route: Arc<Route>,
    choice: Choice,
    computed: Computed,
    watch: Watch,
}

impl Permit {
    /// Returns the Service, its configuration, the results of its expressions, and the [`Watch`] that ends a stream.
    pub(crate) fn into_parts(self) -> (Arc<Route>, Choice, Computed, Watch) {
        (self.route, self.choice, self.computed, self.watch)
    }
}

/// The outcome of a request that is not denied.
#[allow(
    clippy::large_enum_variant,
    reason = "moved once; a box would cost an allocation for each request"
)]
pub(crate) enum AuthorizationOutcome<B> {
    /// Forward the request. It contains only what the upstream may see.
    Permitted(Permit, Inbound<B>),
    /// Answer locally.
    Answered(Response<Body>),
}

/// Authenticates the caller, evaluates the Policies and returns a [`Permit`], a local response or a [`Denial`].
pub(crate) async fn authorize<B>(
    gateway: &Gateway,
    route: Arc<Route>,
    mut inbound: Inbound<B>,
    record: &mut Record,
) -> Result<AuthorizationOutcome<B>, Denial>
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    check_mode(&route, &inbound.request)?;
    let presented = PresentedCredentials::read(std::mem::take(&mut inbound.request.credentials));
    if let Some(answer) = run_early_plugins(gateway, &route, &mut inbound, record)? {
        return Ok(AuthorizationOutcome::Answered(answer));
    }
    let principal = match route.access {
        Access::Anyone | Access::AnyoneByPolicy => None,
        Access::Authenticated => {
            let host = inbound.request.host.name();
            match authenticate(gateway, presented.proof(), host, record).await {
                Ok(principal) => {
                    record.set_principal(&principal);
                    check_scopes(&principal.scopes, &route)?;
                    Some(principal)
                }
                // A stale cookie is treated like a missing one. A bad token is always reported.
                Err(denial) if may_log_in(denial, presented.proof()) => {
                    let answer =
                        login::redirect(gateway, &inbound.request, presented.state(), record.id);
                    let answer = answer.ok_or(denial)?;
                    record.outcome = Outcome::Refused(denial.reason());
                    return Ok(AuthorizationOutcome::Answered(answer));
                }
                Err(denial) => return Err(denial),
            }
        }
    };
    let evaluation = RequestEvaluation {
        gateway,
        route: &route,
        principal: principal.as_ref(),
        now: gateway.clock.now(),
    };
    let choice = evaluation.choose(inbound.received(), record)?;
    let plan = route.plan(choice).ok_or(Denial::NoConfig)?;
    if let (true, Some(Proof::Cookie(_))) = (principal.is_some(), presented.proof()) {
        cross_site::check(&inbound.request, plan.cors.as_ref())?;
    }
    // This happens before the Policies run, because they must see what the upstream sees.
    if let (true, Some(foreign)) = (plan.passes_authorization, presented.foreign()) {
        inbound
            .request
            .headers
            .insert(header::AUTHORIZATION, foreign);
    }
    if let Some(buffering) = &plan.buffering {
        let transfer = Arc::new(Transfer::default());
        record.transfer = Some(Arc::clone(&transfer));
        let charge = match inbound.request.length {
            Length::Exact(0) => None,
            Length::Exact(_) | Length::Unknown => {
                let payer = Payer::of(record.caller.as_deref(), inbound.client);
                Some(gateway.bodies.charge(payer)?)
            }
        };
        // Boxed, so that requests of other Services do not carry its state.
        inbound =
            Box::pin(inbound.buffer(buffering, charge, &evaluation.watch(), &transfer)).await?;
    }
    let decided = match evaluation.decide(plan, inbound.received(), record) {
        Err(Denial::Policy) => {
            // Boxed, so that requests that pass do not carry its state.
            let answer = Box::pin(evaluation.step_up(&presented, inbound.received(), record)).await;
            return answer
                .map(AuthorizationOutcome::Answered)
                .ok_or(Denial::Policy);
        }
        decided => decided?,
    };
    let (computed, target) = match decided {
        EvaluationOutcome::Answered(answer) => return Ok(AuthorizationOutcome::Answered(answer)),
        EvaluationOutcome::Permitted(computed, target) => (computed, target),
    };
    if let Some(target) = target {
        inbound.request.target = target;
    }
    let now = evaluation.now;
    let watch = match principal {
        None => Watch::unlimited(),
        Some(principal) => {
            let remaining = principal.valid_until.since(now);
            Watch::new(principal.revoked, remaining)
        }
    };
    let permit = Permit {
        route,
        choice,
        computed,
        watch,
    };
    Ok(AuthorizationOutcome::Permitted(permit, inbound))
}

/// Runs the plugins that act before authentication.
fn run_early_plugins<B>(
    gateway: &Gateway,
    route: &Route,
    inbound: &mut Inbound<B>,
    record: &mut Record,
) -> Result<Option<Response<Body>>, Denial> {
    let Some(plan) = route.plan(Choice::Default) else {
        return Ok(None);
    };
    if plan.plugins.before.is_empty() {
        return Ok(None);
    }
    let evaluation = RequestEvaluation {
        gateway,
        route,
        principal: None,
        now: gateway.clock.now(),
    };
    let received = inbound.received();
    let seen = LazyRequest::new(received);
    let plugin_outcome = evaluation.run_plugins(
        plan,
        &plan.plugins.before,
        &seen.request(),
        received,
        record,
    );
    seen.check()?;
    match plugin_outcome? {
        PluginOutcome::Answered(answer) => {
            if !matches!(record.outcome, Outcome::Refused(_)) {
                record.outcome = Outcome::Open("plugin");
            }
            Ok(Some(answer))
        }
        PluginOutcome::Passed(target) => {
            if let Some(target) = target {
                inbound.request.target = target;
            }
            Ok(None)
        }
    }
}

/// The inputs of the authorization of one request.
struct RequestEvaluation<'a> {
    gateway: &'a Gateway,
    route: &'a Route,
    principal: Option<&'a Principal>,
    now: UnixMillis,
}

enum EvaluationOutcome {
    Answered(Response<Body>),
    /// The new target is set if a plugin changed it.
    Permitted(Computed, Option<PathAndQuery>),
}

enum PluginOutcome {
    Answered(Response<Body>),
    /// The new target is set if a plugin changed it.
    Passed(Option<PathAndQuery>),
}

impl RequestEvaluation<'_> {
    /// Selects the configuration of the Service for this request.
    fn choose(&self, received: ReceivedRequest<'_>, record: &Record) -> Result<Choice, Denial> {
        if !self.route.has_rules() {
            return Ok(Choice::Default);
        }
        let seen = LazyRequest::new(received);
        let choice = self.route.choose(&self.scope(&seen.request()));
        seen.check()?;
        choice.map_err(|failure| self.failed(&failure, record))
    }

    /// Evaluates the Policies, then the plugins, then the expressions.
    fn decide(
        &self,
        plan: &Plan,
        received: ReceivedRequest<'_>,
        record: &mut Record,
    ) -> Result<EvaluationOutcome, Denial> {
        if self.route.access == Access::Anyone {
            record.outcome = Outcome::Open("anonymous");
            if !plan.has_expressions() {
                return Ok(EvaluationOutcome::Permitted(Computed::default(), None));
            }
        }
        let seen = LazyRequest::new(received);
        let view = seen.request();
        if self.route.access != Access::Anyone {
            self.evaluate_policies(&seen, &view, record)?;
        }
        let mut target = None;
        if !plan.plugins.after.is_empty() {
            let plugin_outcome =
                self.run_plugins(plan, &plan.plugins.after, &view, received, record);
            seen.check()?;
            match plugin_outcome? {
                PluginOutcome::Answered(answer) => return Ok(EvaluationOutcome::Answered(answer)),
                PluginOutcome::Passed(other) => target = other,
            }
        }
        let computed = plan.compute(&self.scope(&view));
        seen.check()?;
        let mut computed = computed.map_err(|failure| self.failed(&failure, record))?;
        computed.identity = self.identity(plan)?;
        Ok(EvaluationOutcome::Permitted(computed, target))
    }

    /// Runs the plugins in order.
    fn run_plugins(
        &self,
        plan: &Plan,
        plugins: &[Plugin],
        view: &Request<'_>,
        received: ReceivedRequest<'_>,
        record: &mut Record,
    ) -> Result<PluginOutcome, Denial> {
        let caller = self.principal.map(|principal| principal.caller.facts());
        let mut target: Option<PathAndQuery> = None;
        for plugin in plugins {
            let effect = plugin
                .act(&self.scope(view), caller)
                .map_err(|failure| self.failed(&failure, record))?;
            match effect {
                Effect::None => {}
                Effect::Path(rule) => {
                    let given = target.unwrap_or_else(|| received.request.target.clone());
                    let changed = rule.apply(given);
                    target = Some(changed.ok_or(Denial::Ambiguous(Ambiguity::Target))?);
                }
                Effect::Answer {
                    status,
                    headers,
                    body,
                    reason,
                } => {
                    if let AnswerReason::RateLimited { retry_after } = reason {
                        tracing::debug!(retry_after, "a request exceeded its rate limit");
                        if self.route.mode.is_grpc() {
                            return Err(Denial::RateLimited);
                        }
                        record.outcome = Outcome::Refused(Denial::RateLimited.reason());
                    }
                    let mut response = Response::new(Body::full(body));
                    *response.status_mut() = status;
                    *response.headers_mut() = headers;
                    if let Some(cors) = &plan.cors {
                        let origin = received.request.headers.get(header::ORIGIN);
                        cors.apply(origin, response.headers_mut());
                    }
                    return Ok(PluginOutcome::Answered(response));
                }
            }
        }
        Ok(PluginOutcome::Passed(target))
    }

    /// Builds the fields that identify the caller to the upstream.
    fn identity(&self, plan: &Plan) -> Result<IdentityFields, Denial> {
        let (Some(rule), Some(principal)) = (plan.identity(), self.principal) else {
            return Ok(IdentityFields::new());
        };
        let caller = &principal.caller;
        let mut fields = if rule.headers {
            caller.fields().to_vec()
        } else {
            IdentityFields::new()
        };
        if let Some(audience) = &rule.audience {
            let identity = &*self.gateway.identity;
            let sign = || identity.assertion(caller.facts(), audience, principal.valid_until);
            let value = caller.assertion(audience, self.now, sign);
            fields.push((ASSERTION, value.ok_or(Denial::NoAssertion)?));
        }
        Ok(fields)
    }

    /// Returns the [`Watch`] that aborts the request when the Session ends.
    fn watch(&self) -> Watch {
        match self.principal {
            None => Watch::unlimited(),
            Some(principal) => {
                let remaining = principal.valid_until.since(self.now);
                Watch::new(principal.revoked.clone(), remaining)
            }
        }
    }

    fn subject(&self) -> Option<&Subject> {
        self.principal.map(|principal| &*principal.subject)
    }

    fn evaluate_policies(
        &self,
        seen: &LazyRequest<'_>,
        view: &Request<'_>,
        record: &mut Record,
    ) -> Result<(), Denial> {
        let policies = self.gateway.identity.policies();
        let (decision, shadow) = policy::decide_with_shadow(
            &policies,
            self.subject(),
            &self.route.target,
            view,
            self.now,
        );
        // The decision is void if an expression read a value differently from what the upstream would see.
        seen.check()?;
        record.shadow = shadow;
        if decision.allowed {
            record.outcome = Outcome::Allowed(decision.reason);
            Ok(())
        } else {
            record.outcome = Outcome::Denied(decision.reason);
            Err(Denial::Policy)
        }
    }

    /// Returns the step-up response if a fresh authentication would satisfy the Policies. A browser is redirected to
    /// the step-up page; other clients get a challenge.
    async fn step_up(
        &self,
        presented: &PresentedCredentials,
        received: ReceivedRequest<'_>,
        record: &mut Record,
    ) -> Option<Response<Body>> {
        let principal = self.principal?;
        let identity = &self.gateway.identity;
        let request = received.request;
        let seen = LazyRequest::new(received);
        let view = seen.request();
        let policies = identity.policies();
        let is_allowed = |subject: &Subject| {
            let target = &self.route.target;
            policy::decide(&policies, Some(subject), target, &view, self.now).allowed
        };
        let step_up = identity.step_up(principal, &is_allowed).await?;
        // The step-up is void if an expression read a value differently from what the upstream would see.
        seen.check().ok()?;
        let way = match presented.proof() {
            Some(Proof::Cookie(_)) => login::step_up(
                self.gateway,
                request,
                presented.state(),
                &step_up,
                record.id,
            ),
            _ => None,
        };
        let answer = way.unwrap_or_else(|| {
            let is_person = login::is_navigation(&request.method, &request.headers);
            let portal = self.gateway.portal();
            let format = DenialFormat::of(self.route.mode, is_person, &portal);
            denial::step_up(&step_up, format, record.id)
        });
        record.step_up = Some(Box::new(step_up));
        Some(answer)
    }

    fn scope<'a>(&'a self, request: &'a Request<'a>) -> Scope<'a> {
        Scope {
            subject: self.subject(),
            target: &self.route.target,
            request,
            now: self.now,
        }
    }

    /// Logs the failure, so that the owner of the Service can fix the expression.
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

fn may_log_in(denial: Denial, proof: Option<&Proof>) -> bool {
    match (denial, proof) {
        (Denial::NoToken, _) | (Denial::InvalidToken, Some(Proof::Cookie(_))) => true,
        (_, _) => false,
    }
}

async fn authenticate(
    gateway: &Gateway,
    proof: Option<&Proof>,
    host: &str,
    record: &mut Record,
) -> Result<Principal, Denial> {
    let identity = &gateway.identity;
    let outcome = match proof.ok_or(Denial::NoToken)? {
        Proof::Token(token) => {
            let token = token.to_str().map_err(|_| Denial::InvalidToken)?;
            identity.authenticate(token).await
        }
        Proof::Cookie(cookie) => {
            let cookie = cookie.to_str().map_err(|_| Denial::InvalidToken)?;
            let outcome = identity.authenticate_cookie(cookie, host).await;
            outcome.map(|(principal, renewal)| {
                let renewed = renewal.and_then(|renewal| login::renewed(&renewal));
                record.renewal = renewed.map(Box::new);
                principal
            })
        }
    };
    let principal = match outcome {
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

/// Rejects requests to a gRPC Service that are not gRPC calls.
fn check_mode(route: &Route, request: &Canonical) -> Result<(), Denial> {
    match route.mode {
        // Only the CORS preflight needs OPTIONS, and it was answered before.
        Mode::Grpc if request.method == Method::OPTIONS => {
            Err(Denial::Ambiguous(Ambiguity::NotGrpc))
        }
        Mode::Grpc => parse_call(request.target.path(), request.target.query())
            .map(|_| ())
            .map_err(Denial::Ambiguous),
        Mode::Http | Mode::Web => Ok(()),
    }
}

#[cfg(test)]
mod tests;
