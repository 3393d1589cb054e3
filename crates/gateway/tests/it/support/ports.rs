//! Fakes of the two ports.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{clock::UnixMillis, id::Uid, rng::SeededRng};
use gateway::{
    Assertion, CallerFacts, CodeError, Directory, Identity, Principal, RedeemedCode, Rejection,
    Renewal, Route,
};
use http::HeaderValue;
use policy::{Method, PolicySet, StepUp, StepUpAlternative, Subject};

#[derive(Default)]
pub(crate) struct FakeIdentity {
    pub(crate) principals: Mutex<HashMap<String, Principal>>,
    pub(crate) policies: Mutex<PolicySet>,
    pub(crate) stale: AtomicBool,
    pub(crate) unavailable: AtomicBool,
    /// Callers and audiences, in order.
    pub(crate) assertions: Mutex<Vec<(CallerFacts, String)>>,
    /// The Subject after a fresh authentication. `None` if none is possible.
    pub(crate) proved: Mutex<Option<Arc<Subject>>>,
    /// Codes that browsers brought from the login, in order.
    pub(crate) codes: Mutex<Vec<String>>,
    /// If true, assertions cannot be signed and logins fail.
    pub(crate) keyless: AtomicBool,
}

#[async_trait]
impl Identity for FakeIdentity {
    async fn authenticate(&self, token: &str) -> Result<Principal, Rejection> {
        if self.unavailable.load(Ordering::SeqCst) {
            return Err(Rejection::Unavailable);
        }
        let principals = self.principals.lock().unwrap();
        let unknown = Rejection::Unauthenticated { reason: "unknown" };
        principals.get(token).cloned().ok_or(unknown)
    }

    async fn authenticate_cookie(
        &self,
        cookie: &str,
        host: &str,
    ) -> Result<(Principal, Option<Renewal>), Rejection> {
        let (cookie, is_old) = match cookie.strip_prefix("old-") {
            Some(cookie) => (cookie, true),
            None => (cookie, false),
        };
        let principal = self.authenticate(&format!("{cookie}@{host}")).await?;
        let renewal = is_old.then(|| Renewal {
            cookie: cookie.to_owned(),
            lifetime: Duration::from_mins(1),
        });
        Ok((principal, renewal))
    }

    async fn redeem_code(
        &self,
        host: &str,
        code: &str,
        nonce: &str,
    ) -> Result<RedeemedCode, CodeError> {
        if self.unavailable.load(Ordering::SeqCst) {
            return Err(CodeError::Unavailable);
        }
        self.codes.lock().unwrap().push(code.to_owned());
        let refused = CodeError::Refused { reason: "unknown" };
        if nonce.is_empty() {
            return Err(refused);
        }
        let target = code.strip_prefix("good:").ok_or(refused)?;
        Ok(RedeemedCode {
            cookie: format!("cookie-{host}-{}", &nonce[..4]),
            lifetime: Duration::from_mins(1),
            target: target.to_owned(),
        })
    }

    fn policies(&self) -> PolicySet {
        self.policies.lock().unwrap().clone()
    }

    fn is_fresh(&self) -> bool {
        !self.stale.load(Ordering::SeqCst)
    }

    fn assertion(
        &self,
        caller: &CallerFacts,
        audience: &str,
        valid_until: UnixMillis,
    ) -> Option<Assertion> {
        if self.keyless.load(Ordering::SeqCst) {
            return None;
        }
        let mut assertions = self.assertions.lock().unwrap();
        assertions.push((caller.clone(), audience.to_owned()));
        Some(Assertion {
            value: HeaderValue::try_from(format!("assertion-{}", assertions.len())).unwrap(),
            expires_at: valid_until,
        })
    }

    async fn step_up(
        &self,
        _: &Principal,
        is_allowed: &(dyn for<'s> Fn(&'s Subject) -> bool + Send + Sync),
    ) -> Option<StepUp> {
        let proved = self.proved.lock().unwrap().clone()?;
        let alternative = StepUpAlternative {
            method: Method::Fido,
            authenticator: Some(Uid::random(&SeededRng::new(1))),
            max_age: Some(Duration::from_mins(5)),
        };
        let would_do = is_allowed(&proved);
        StepUp::any_of(would_do.then_some(alternative).into_iter().collect())
    }

    fn proof(&self, url: &str, nonce: &str, step_up: &StepUp) -> Option<String> {
        assert_eq!(nonce.len(), 43);
        let acr_values = step_up.acr_values();
        (!self.keyless.load(Ordering::SeqCst))
            .then(|| format!("https://example.com/prove?{acr_values}&{url}"))
    }

    fn login(&self, url: &str, nonce: &str) -> Option<String> {
        assert_eq!(nonce.len(), 43);
        (!self.keyless.load(Ordering::SeqCst)).then(|| format!("https://example.com/login?{url}"))
    }
}

#[derive(Default)]
pub(crate) struct FakeDirectory(pub(crate) Mutex<HashMap<String, Arc<Route>>>);

impl Directory for FakeDirectory {
    fn route(&self, host: &str) -> Option<Arc<Route>> {
        self.0.lock().unwrap().get(host).cloned()
    }
}
