//! Step-ups: the authentications that would let a denied Session through.
//!
//! The module simulates a raise of the Session by each Authenticator that could raise it now, and repeats the
//! decision. Only step-ups that are sufficient are offered. For the Authenticator used last, the simulation uses the
//! facts that it actually proved. A User who is still denied after a step-up is therefore not sent through it again.

use api::{
    core_v1::{
        Authenticator, Session,
        authenticator::status::{
            Info as TypeInfo, Type,
            info::{self as type_info, Fido},
        },
        cluster_config::spec::authenticator::rule::Effect,
        identity_provider,
        session::status::authentication::{
            Info,
            info::{
                Details,
                authenticator::info::{Fido as FidoFacts, Type as FactsType},
            },
        },
        user,
    },
    resource::Object as _,
};
use domain::{
    authenticator::{self, NewAuthenticator},
    clock::UnixMillis,
    id::Uid,
    session::{self, ClientOrigin},
};
use policy::{Age, Method, StepUp, StepUpAlternative, Subject, longest_age};

use crate::{
    Context,
    authentication::authenticator::{
        fido::{best_fido_facts, is_refused},
        usable_by,
    },
    directory::ValidSession,
};

/// A possible authentication.
struct Candidate {
    method: Method,
    authenticator: Option<Uid>,
    /// The Authenticator that would raise the Session; `None` for a new login.
    by: Option<Authenticator>,
    info: Info,
}

/// Returns a sufficient step-up for the holder of `session`, which `is_allowed` denies now. Returns `None` if no
/// step-up would suffice or that cannot be determined. The request is then denied without a challenge.
pub async fn find(
    ctx: &Context,
    session: Uid,
    is_allowed: &(dyn Fn(&Subject) -> bool + Send + Sync),
) -> Option<StepUp> {
    let now = ctx.now();
    let valid_session = ctx.directory.valid_session(session, now).await.ok()?;
    let user: Uid = valid_session.user().uid().parse().ok()?;
    let authenticators = match ctx.directory.authenticators(user).await {
        Ok(authenticators) => authenticators,
        Err(error) => {
            tracing::warn!(%error, "the step-up for a denied request cannot be determined");
            return None;
        }
    };
    let present = valid_session.session();
    let search = StepUpSearch {
        ctx,
        valid_session: &valid_session,
        session: &present,
        new_token: ctx.new_uid(),
        now,
    };
    let mut alternatives = search.sufficient(search.registered(&authenticators), is_allowed);
    alternatives.extend(search.sufficient(search.login(), is_allowed));
    if alternatives.is_empty() {
        alternatives = search.sufficient(search.not_yet_registered(&authenticators), is_allowed);
        // If any security key suffices, it need not be hardware.
        if alternatives
            .iter()
            .any(|alternative| alternative.method == Method::Fido)
        {
            alternatives.retain(|alternative| alternative.method != Method::FidoHardware);
        }
    }
    StepUp::any_of(alternatives)
}

struct StepUpSearch<'a> {
    ctx: &'a Context,
    valid_session: &'a ValidSession,
    session: &'a Session,
    new_token: Uid,
    now: UnixMillis,
}

impl StepUpSearch<'_> {
    /// Returns the candidates that would suffice, with their maximum age. The age is determined once per method.
    fn sufficient(
        &self,
        candidates: Vec<Candidate>,
        is_allowed: &(dyn Fn(&Subject) -> bool + Send + Sync),
    ) -> Vec<StepUpAlternative> {
        let mut alternatives: Vec<StepUpAlternative> = Vec::new();
        for candidate in candidates {
            let allowed_at = |at| {
                is_allowed(
                    &self
                        .valid_session
                        .subject_with(&self.proved(&candidate, at)),
                )
            };
            let known = alternatives
                .iter()
                .find(|alternative| alternative.method == candidate.method);
            let is_as_known = |alternative: &StepUpAlternative| {
                let made = alternative.max_age.unwrap_or_default();
                allowed_at(self.now.saturating_sub(made))
            };
            let max_age = match known {
                Some(alternative) if is_as_known(alternative) => Some(alternative.max_age),
                _ => longest_age(self.now, allowed_at).map(Age::limit),
            };
            if let Some(max_age) = max_age {
                alternatives.push(StepUpAlternative {
                    method: candidate.method,
                    authenticator: candidate.authenticator,
                    max_age,
                });
            }
        }
        alternatives
    }

    /// Returns the Session as it would be after the authentication at `at`.
    fn proved(&self, candidate: &Candidate, at: UnixMillis) -> Session {
        let mut session = self.session.clone();
        let mut info = candidate.info.clone();
        if let Some(Details::IdentityProvider(by)) = &mut info.details {
            by.authenticated_at = Some(at.to_proto());
        }
        match &candidate.by {
            Some(by) => session::step_up(&mut session, by, self.new_token, at, info),
            None => session::settle(&mut session, self.new_token, at, info),
        }
        session
    }

    /// Returns the Authenticators that the User has and can use now.
    fn registered(&self, all: &[Authenticator]) -> Vec<Candidate> {
        let usable = all
            .iter()
            .filter(|one| usable_by(self.session, one, all).is_ok())
            .filter(|one| fido(one).is_none_or(|fido| !is_refused(self.ctx, fido)));
        usable
            .filter_map(|one| self.by(one, one.uid().parse().ok()))
            .collect()
    }

    /// Returns Authenticators that the User could register.
    fn not_yet_registered(&self, all: &[Authenticator]) -> Vec<Candidate> {
        let user = self.valid_session.user();
        let config = self.ctx.directory.cluster_config();
        let state = authenticator::default_state(user, &config);
        if state != api::core_v1::authenticator::spec::State::Active {
            return Vec::new();
        }
        let is_human = user.spec.as_ref().map(user::Spec::r#type) == Some(user::spec::Type::Human);
        let fido = |is_hardware: bool| {
            type_info::Type::Fido(Fido {
                is_hardware,
                is_attestation_verified: is_hardware,
                is_passkey: true,
                ..Fido::default()
            })
        };
        let models = [
            (Type::Fido, Some(fido(false))),
            (Type::Fido, Some(fido(true))),
            (Type::Totp, None),
            (Type::Tpm, None),
        ];
        let mut candidates = Vec::new();
        for (r#type, info) in models {
            let is_for_people = matches!(r#type, Type::Fido | Type::Totp);
            if is_for_people && !is_human {
                continue;
            }
            let mut made = authenticator::new_authenticator(NewAuthenticator {
                uid: self.new_token,
                name: String::new(),
                user,
                r#type,
                display_name: String::new(),
                state,
                now: self.now,
            });
            let status = made.status_mut();
            status.is_registered = true;
            status.info = info.map(|info| TypeInfo { r#type: Some(info) });
            if usable_by(self.session, &made, all).is_ok() {
                candidates.extend(self.by(&made, None));
            }
        }
        candidates
    }

    fn by(&self, authenticator: &Authenticator, uid: Option<Uid>) -> Option<Candidate> {
        let (method, facts) = match authenticator::type_of(authenticator) {
            Type::Fido => {
                let fido = fido(authenticator)?;
                let method = if fido.is_hardware {
                    Method::FidoHardware
                } else {
                    Method::Fido
                };
                let facts = self
                    .recorded_fido_facts(authenticator)
                    .unwrap_or_else(|| best_fido_facts(fido));
                (method, Some(facts))
            }
            Type::Tpm => (Method::Tpm, None),
            Type::Totp => (Method::Totp, None),
            Type::Unknown => return None,
        };
        let mode = session::mode(self.session);
        let info = session::authenticator_info(authenticator, mode, facts, self.client_origin());
        let rules = self.ctx.directory.authenticator_rules();
        let user = self.valid_session.user();
        let found =
            rules.post_authentication(user, Some(self.session), authenticator, &info, self.now);
        if let Some((Effect::Deny | Effect::Unknown, _)) = found {
            return None;
        }
        let mut after = authenticator.clone();
        authenticator::record(&mut after, true, self.now);
        Some(Candidate {
            method,
            authenticator: uid,
            by: Some(after),
            info,
        })
    }

    /// Returns the initial login if it can be repeated. It would not help if the provider does not report the time of
    /// authentication.
    fn login(&self) -> Vec<Candidate> {
        let status = self.session.status.as_ref();
        let initial = status.and_then(|status| status.initial_authentication.as_ref());
        let info = initial.and_then(|initial| initial.info.clone());
        let again = info.filter(|info| match &info.details {
            Some(Details::IdentityProvider(by)) => {
                let is_silent = by.authenticated_at.is_none() && by.reauthentication_requested;
                by.r#type() != identity_provider::status::Type::Github && !is_silent
            }
            _ => false,
        });
        let candidate = again.map(|info| Candidate {
            method: Method::Login,
            authenticator: None,
            by: None,
            info,
        });
        candidate.into_iter().collect()
    }

    /// Returns the facts that this Authenticator proved, if the Session used it last.
    fn recorded_fido_facts(&self, authenticator: &Authenticator) -> Option<FidoFacts> {
        let info = session::last_proof(self.session)?.info.as_ref()?;
        let Some(Details::Authenticator(by)) = &info.details else {
            return None;
        };
        let is_this = by.authenticator_ref.as_ref()?.uid == authenticator.uid();
        match by.info.as_ref()?.r#type.as_ref()? {
            FactsType::Fido(facts) if is_this => Some(facts.clone()),
            FactsType::Fido(_) => None,
        }
    }

    fn client_origin(&self) -> ClientOrigin {
        let present = session::current(self.session).and_then(|current| current.info.as_ref());
        present.map_or_else(ClientOrigin::default, |info| ClientOrigin {
            downstream: info.downstream.clone().unwrap_or_default(),
            geoip: info.geoip.clone(),
        })
    }
}

fn fido(authenticator: &Authenticator) -> Option<&Fido> {
    match authenticator::info(authenticator)? {
        type_info::Type::Fido(fido) => Some(fido),
        _ => None,
    }
}
