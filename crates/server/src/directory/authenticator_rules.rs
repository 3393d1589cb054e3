//! The compiled rules of the `ClusterConfig` about Authenticators.

use api::core_v1::{
    Authenticator, ClusterConfig, IdentityProvider, Session, User,
    cluster_config::spec::authenticator::{enforcement_rule::Effect as Enforcement, rule::Effect},
    session::status::authentication::Info,
};
use domain::clock::UnixMillis;
use policy::{Facts, OnError, RuleList, Rules};

/// The effect of the first match, with the error of a rule that could not be evaluated.
pub(crate) type FirstMatch<E> = Option<(E, Option<String>)>;

/// The compiled rules about Authenticators.
pub(crate) struct AuthenticatorRules {
    registration: Rules<Enforcement>,
    authentication: Rules<Enforcement>,
    post_authentication: Rules<Effect>,
    has_enforcement: bool,
}

/// The list of enforcement rules to evaluate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EnforcementList {
    /// For a User without an Authenticator that counts.
    Registration,
    /// For a User with such an Authenticator.
    Authentication,
}

/// The facts that enforcement rules evaluate.
pub(crate) struct Login<'a> {
    pub(crate) user: &'a User,
    /// The Session as it is about to be stored.
    pub(crate) session: &'a Session,
    pub(crate) identity_provider: Option<&'a IdentityProvider>,
    /// All Authenticators of the User.
    pub(crate) authenticators: &'a [Authenticator],
}

impl AuthenticatorRules {
    pub(super) fn of(config: &ClusterConfig) -> Self {
        let spec = config.spec.as_ref();
        let spec = spec.and_then(|spec| spec.authenticator.clone());
        let spec = spec.unwrap_or_default();
        let enforcement = |rules: &[_]| {
            let rules = rules.iter().map(
                |rule: &api::core_v1::cluster_config::spec::authenticator::EnforcementRule| {
                    let on_error = match rule.effect() {
                        Enforcement::Enforce | Enforcement::Unknown => OnError::Match,
                        Enforcement::Ignore | Enforcement::Recommend => OnError::Pass,
                    };
                    (rule.condition.as_ref(), on_error, rule.effect())
                },
            );
            Rules::new(RuleList::Enforcement, rules)
        };
        let post = spec.post_authentication_rules.iter().map(|rule| {
            let on_error = match rule.effect() {
                Effect::Allow => OnError::Pass,
                Effect::Deny | Effect::Unknown => OnError::Match,
            };
            (rule.condition.as_ref(), on_error, rule.effect())
        });
        Self {
            registration: enforcement(&spec.registration_enforcement_rules),
            authentication: enforcement(&spec.authentication_enforcement_rules),
            post_authentication: Rules::new(RuleList::AuthenticatorPostAuthentication, post),
            has_enforcement: !spec.registration_enforcement_rules.is_empty()
                || !spec.authentication_enforcement_rules.is_empty(),
        }
    }

    /// Returns whether there are enforcement rules.
    pub(crate) fn has_enforcement(&self) -> bool {
        self.has_enforcement
    }

    /// Returns the effect of the first rule of `list` that matches. A rule that enforces also matches if its
    /// evaluation fails.
    pub(crate) fn enforcement(
        &self,
        list: EnforcementList,
        login: &Login<'_>,
        now: UnixMillis,
    ) -> FirstMatch<Enforcement> {
        let facts = Facts::enforcement(
            login.user,
            login.session,
            login.identity_provider,
            login.authenticators,
        );
        let rules = match list {
            EnforcementList::Registration => &self.registration,
            EnforcementList::Authentication => &self.authentication,
        };
        let found = rules.first_match(&facts, now)?;
        Some((found.effect, found.error))
    }

    /// Returns the effect of the first post-authentication rule that matches. A rule that denies also matches if its
    /// evaluation fails.
    pub(crate) fn post_authentication(
        &self,
        user: &User,
        session: Option<&Session>,
        authenticator: &Authenticator,
        info: &Info,
        now: UnixMillis,
    ) -> FirstMatch<Effect> {
        let facts = Facts::authenticator_post_authentication(user, session, authenticator, info);
        let found = self.post_authentication.first_match(&facts, now)?;
        Some((found.effect, found.error))
    }
}
