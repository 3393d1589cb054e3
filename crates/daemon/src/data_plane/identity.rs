//! Authentication for the gateway, with the control plane's view of the Cluster.

use std::{any::Any, sync::Arc};

use api::{core_v1::User, meta_v1::Metadata};
use async_trait::async_trait;
use domain::{clock::UnixMillis, session};
use gateway::{
    Assertion, Caller, CallerFacts, CodeError, Principal, RedeemedCode, Rejection, Renewal,
};
use http::HeaderValue;
use policy::{PolicySet, StepUp, Subject};
use server::{
    Context, Unauthenticated, identity_assertion, return_to, step_up,
    web::handover::{self, Refused},
};

/// Implements the gateway's identity port.
pub(crate) struct Identity(pub(crate) Context);

#[async_trait]
impl gateway::Identity for Identity {
    async fn authenticate(&self, token: &str) -> Result<Principal, Rejection> {
        let principal = self.0.directory.authenticate(token).await;
        let principal = principal.map_err(rejection)?;
        Ok(derived(&principal).principal)
    }

    async fn authenticate_cookie(
        &self,
        cookie: &str,
        host: &str,
    ) -> Result<(Principal, Option<Renewal>), Rejection> {
        let principal = handover::authenticate(&self.0, cookie, host).await;
        let principal = principal.map_err(rejection)?;
        let derived = derived(&principal);
        let is_old = self.0.now() >= derived.renew_from;
        let renewal = is_old.then(|| handover::renew(&self.0, &principal, host));
        let renewal = renewal
            .flatten()
            .map(|(cookie, lifetime)| Renewal { cookie, lifetime });
        Ok((derived.principal, renewal))
    }

    async fn redeem_code(
        &self,
        host: &str,
        code: &str,
        nonce: &str,
    ) -> Result<RedeemedCode, CodeError> {
        let refused = |reason| CodeError::Refused { reason };
        match handover::redeem_code(&self.0, host, code, nonce).await {
            Ok(arrived) => Ok(RedeemedCode {
                cookie: arrived.cookie,
                lifetime: arrived.lifetime,
                target: arrived.target,
            }),
            Err(Refused::Invalid) => Err(refused("code_invalid")),
            Err(Refused::Used) => Err(refused("code_used")),
            Err(Refused::Unavailable) => Err(CodeError::Unavailable),
        }
    }

    fn policies(&self) -> PolicySet {
        self.0.directory.policies()
    }

    fn is_fresh(&self) -> bool {
        self.0.directory.is_fresh()
    }

    fn assertion(
        &self,
        caller: &CallerFacts,
        audience: &str,
        valid_until: UnixMillis,
    ) -> Option<Assertion> {
        let statement = identity_assertion::Statement {
            audience,
            user_uid: &caller.user_uid,
            user: &caller.user,
            email: caller.email.as_deref(),
            groups: &caller.groups,
            session: &caller.session,
            session_uid: &caller.session_uid,
            valid_until,
        };
        match identity_assertion::sign(&self.0, &statement) {
            Ok(signed) => Some(Assertion {
                value: HeaderValue::try_from(signed.jwt).ok()?,
                expires_at: signed.expires_at,
            }),
            Err(error) => {
                tracing::error!(%error, "cannot sign an assertion for an upstream");
                None
            }
        }
    }

    async fn step_up(
        &self,
        principal: &Principal,
        is_allowed: &(dyn for<'s> Fn(&'s Subject) -> bool + Send + Sync),
    ) -> Option<StepUp> {
        let session = principal.caller.facts().session_uid.parse().ok()?;
        step_up::find(&self.0, session, is_allowed).await
    }

    fn proof(&self, url: &str, nonce: &str, step_up: &StepUp) -> Option<String> {
        self.page(&server::web::proof_page(step_up), url, nonce)
    }

    fn login(&self, url: &str, nonce: &str) -> Option<String> {
        self.page("/login", url, nonce)
    }
}

impl Identity {
    /// Returns the URL of the page at `path`, which later redirects the browser back to `url`.
    fn page(&self, path: &str, url: &str, nonce: &str) -> Option<String> {
        let portal = self.0.domain.url();
        let mark = if path.contains('?') { '&' } else { '?' };
        match return_to::sign(&self.0, url, &handover::state_of(nonce)) {
            Ok(Some(place)) => Some(format!("{portal}{path}{mark}return={place}")),
            Ok(None) => Some(format!("{portal}{path}")),
            Err(error) => {
                tracing::error!(%error, "cannot create a return address for the login");
                None
            }
        }
    }
}

/// Values that are derived once for each cached token.
#[derive(Clone)]
struct Derived {
    principal: Principal,
    /// The time from which a browser gets a new cookie.
    renew_from: UnixMillis,
}

fn derived(principal: &server::Principal) -> Derived {
    let derived = principal
        .derived
        .get_or_init(|| Box::new(derive(principal)) as Box<dyn Any + Send + Sync>);
    let derived = derived.downcast_ref::<Derived>();
    derived.cloned().unwrap_or_else(|| derive(principal))
}

fn derive(principal: &server::Principal) -> Derived {
    let user = principal.user();
    let caller = Caller::new(CallerFacts {
        user: principal.user_name().to_string(),
        user_uid: uid(user.metadata.as_ref()),
        email: email(user),
        groups: user
            .spec
            .as_ref()
            .map(|spec| spec.groups.clone())
            .unwrap_or_default(),
        session: principal.session_name().to_string(),
        session_uid: principal.claims.subject.to_string(),
        credential: principal.credential_name().map(ToString::to_string),
    });
    let expires_at = principal.claims.expires_at;
    let expires_at = expires_at.unwrap_or(principal.valid_until);
    Derived {
        renew_from: session::browser_renewal_from(&principal.session(), expires_at),
        principal: Principal {
            subject: Arc::clone(principal.subject()),
            revoked: principal.revoked.clone(),
            valid_until: principal.valid_until,
            scopes: Arc::clone(principal.scopes()),
            caller: Arc::new(caller),
        },
    }
}

fn email(user: &User) -> Option<String> {
    let email = user.spec.as_ref().map(|spec| spec.email.clone());
    email.filter(|email| !email.is_empty())
}

fn uid(metadata: Option<&Metadata>) -> String {
    metadata.map_or_else(String::new, |metadata| metadata.uid.clone())
}

fn rejection(unauthenticated: Unauthenticated) -> Rejection {
    match unauthenticated {
        Unauthenticated::Refused { reason } => Rejection::Unauthenticated { reason },
        Unauthenticated::Unavailable => Rejection::Unavailable,
    }
}
