//! Authorization of an API call by an authenticated caller, from the network or from the pages.

use domain::{clock::UnixMillis, credential, scope};
use http::HeaderMap;
use policy::{Decision, Grpc, NoFields, StepUp, Subject};

use super::{fields::Headers, method::Method};
use crate::{
    Caller, Context, Error, ErrorKind, Principal, ServiceEntry,
    audit::{self, Entry},
    resource::built_in::API_SERVICE,
    step_up,
};

/// Type of the audit events for refused calls.
pub(super) const EVENT: &str = "api.called";

/// A call by an authenticated caller.
pub(crate) struct Call<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) principal: &'a Principal,
    pub(crate) path: &'a str,
    /// The requested host, without the port.
    pub(crate) host: &'a str,
    pub(crate) headers: &'a HeaderMap,
    /// The encoded object of the call, see [`super::target`]. Empty if the call has no object, or if it is not known
    /// yet.
    pub(crate) target: &'a [u8],
}

/// The reason for refusing a call.
enum CallRefusal {
    Scope,
    Policy(String),
}

impl Call<'_> {
    /// Authorizes the call. A refusal is audited.
    ///
    /// # Errors
    /// Returns an error of the kind `PermissionDenied` if the call is refused, and `Unimplemented` if the method does
    /// not exist.
    pub(crate) fn permit(&self, ctx: &Context) -> Result<(), Error> {
        let (decided, shadow) = self.decide(ctx)?;
        let path = self.path;
        let request_id = &self.caller.request_id;
        if let Some(shadow) = shadow {
            let would = if shadow.allowed { "allowed" } else { "denied" };
            metrics::counter!("api_shadow_differences_total", "shadow" => would).increment(1);
            tracing::info!(request_id, path, shadow = %shadow.reason, "shadow Policies differ");
        }
        let reason = match decided {
            Ok(()) => return Ok(()),
            Err(CallRefusal::Policy(_)) if is_recovery(self.principal, ctx.now()) => {
                tracing::warn!(request_id, path, "allowed for recovery");
                return Ok(());
            }
            Err(CallRefusal::Policy(reason)) => {
                tracing::info!(request_id, path, reason, "refused by Policy");
                "policy"
            }
            Err(CallRefusal::Scope) => "scope",
        };
        self.audit(ctx, reason);
        Err(unauthorized())
    }

    /// Checks the scopes of the Session, for a call whose object is not known yet. A refusal is audited.
    ///
    /// # Errors
    /// Returns an error of the kind `PermissionDenied` if the scopes do not include the method, and `Unimplemented` if
    /// the method does not exist.
    pub(super) fn check_scope(&self, ctx: &Context) -> Result<(), Error> {
        if self.is_in_scope(self.method()?) {
            return Ok(());
        }
        self.audit(ctx, "scope");
        Err(unauthorized())
    }

    fn method(&self) -> Result<Method<'_>, Error> {
        Method::parse(self.path)
            .ok_or_else(|| Error::new(ErrorKind::Unimplemented, "Unknown method"))
    }

    fn is_in_scope(&self, method: Method<'_>) -> bool {
        scope::allows_method(
            self.principal.scopes(),
            method.short_package(),
            method.service,
            method.name,
        )
    }

    /// Returns whether the call would be authorized, without logging or auditing it.
    pub(crate) fn is_allowed(&self, ctx: &Context) -> bool {
        match self.decide(ctx) {
            Ok((Ok(()), _)) => true,
            Ok((Err(CallRefusal::Policy(_)), _)) => is_recovery(self.principal, ctx.now()),
            Ok((Err(CallRefusal::Scope), _)) | Err(_) => false,
        }
    }

    /// Returns the step-up that would satisfy the Policies, if the Policies refuse the call.
    pub(super) async fn step_up(&self, ctx: &Context) -> Option<StepUp> {
        if !matches!(self.decide(ctx), Ok((Err(CallRefusal::Policy(_)), _))) {
            return None;
        }
        let api = ctx.directory.service_by_name(API_SERVICE)?;
        let method = Method::parse(self.path)?;
        let is_allowed = |subject: &Subject| self.ask(ctx, subject, &api, method).0.allowed;
        step_up::find(ctx, self.principal.claims.subject, &is_allowed).await
    }

    fn decide(&self, ctx: &Context) -> Result<(Result<(), CallRefusal>, Option<Decision>), Error> {
        let method = self.method()?;
        if !self.is_in_scope(method) {
            return Ok((Err(CallRefusal::Scope), None));
        }
        let Some(api) = ctx.directory.service_by_name(API_SERVICE) else {
            return Err(Error::internal("the Service of the API is missing"));
        };
        let (decision, shadow) = self.ask(ctx, self.principal.subject(), &api, method);
        let decided = if decision.allowed {
            Ok(())
        } else {
            Err(CallRefusal::Policy(decision.reason.to_string()))
        };
        Ok((decided, shadow))
    }

    /// Evaluates the Policies for a call by `subject`.
    fn ask(
        &self,
        ctx: &Context,
        subject: &Subject,
        api: &ServiceEntry,
        method: Method<'_>,
    ) -> (Decision, Option<Decision>) {
        let ip = self.caller.ip.map(|ip| ip.to_string()).unwrap_or_default();
        policy::decide_with_shadow(
            &ctx.directory.policies(),
            Some(subject),
            &api.target,
            &policy::Request {
                ip: &ip,
                method: "POST",
                path: self.path,
                uri: self.path,
                host: self.host,
                scheme: "https",
                protocol: "HTTP/2.0",
                size: 0,
                headers: &Headers(self.headers),
                query: &NoFields,
                body: &[],
                body_map: None,
                grpc: Some(Grpc {
                    package: method.package,
                    service: method.service,
                    service_full_name: method.service_full_name,
                    method: method.name,
                    target: self.target,
                }),
            },
            ctx.now(),
        )
    }

    fn audit(&self, ctx: &Context, reason: &'static str) {
        let session = self.principal.session_metadata();
        let entry = Entry {
            event_type: EVENT,
            resource: None,
            user: self.principal.user().metadata.as_ref(),
            session: Some(&session),
        };
        let mut event = audit::refused(ctx, self.caller, entry, reason);
        // Unknown methods are merged. Otherwise each invented name would create its own row.
        let method = Method::parse(self.path).filter(|method| method.is_known());
        let shown = method.map_or("unknown", |_| self.path);
        event.attrs.insert("method".to_owned(), shown.to_owned());
        ctx.audit.add(event);
    }
}

fn unauthorized() -> Error {
    Error::denied("Octelium: Unauthorized")
}

/// Returns whether the Session was created by a recovery Credential whose recovery period has not ended.
fn is_recovery(principal: &Principal, now: UnixMillis) -> bool {
    let until = principal.credential().and_then(credential::recovery_until);
    until.is_some_and(|until| now < until)
}
