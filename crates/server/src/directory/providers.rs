//! `IdentityProviders`, held completely with their compiled rules.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use api::{
    core_v1::{
        IdentityProvider, User,
        identity_provider::{
            Spec,
            spec::{self, aal_rule, oidc_identity_token, post_authentication_rule::Effect},
        },
        session::status::authentication::{Info, info::Aal},
    },
    resource::Object as _,
};
use arc_swap::ArcSwap;
use authn::{issuer, jwks::KeyLocation};
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use policy::{Facts, NamesExpression, OnError, RuleList, Rules};
use store::Document;

use super::{documents::Versioned, resource_snapshots::undamaged};
use crate::document::codec::Stored;

/// An `IdentityProvider` with the data that a login needs.
pub(crate) struct ProviderEntry {
    pub(crate) provider: Versioned<IdentityProvider>,
    aal: Rules<Aal>,
    post_authentication: Rules<Effect>,
    creation: Option<(Rules<()>, Vec<String>)>,
    mappings: Vec<Mapping>,
}

struct Mapping {
    /// The compiled expression, or the problems if it does not compile.
    eval: Result<NamesExpression, String>,
    groups: Vec<String>,
}

/// The Groups that a provider controls, and the ones it assigns to a User.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Membership {
    /// Groups that the provider controls.
    pub(crate) decided: BTreeSet<String>,
    /// Controlled Groups that the User belongs to.
    pub(crate) groups: BTreeSet<String>,
}

impl Membership {
    /// Returns the new Groups of a User whose current Groups are `present`.
    pub(crate) fn apply(&self, present: impl IntoIterator<Item = String>) -> BTreeSet<String> {
        present
            .into_iter()
            .filter(|group| !self.decided.contains(group))
            .chain(self.groups.iter().cloned())
            .collect()
    }
}

impl ProviderEntry {
    pub(crate) fn new(provider: Versioned<IdentityProvider>) -> Self {
        let none = Spec::default();
        let spec = provider.message.spec.as_ref().unwrap_or(&none);
        let aal = spec.aal_rules.iter().map(|rule| {
            // If the evaluation fails, no assurance level is claimed.
            (rule.condition.as_ref(), OnError::Pass, level(rule.aal()))
        });
        let rules = spec.post_authentication_rules.iter().map(|rule| {
            let on_error = match rule.effect() {
                Effect::Allow => OnError::Pass,
                Effect::Deny | Effect::Unknown => OnError::Match,
            };
            (rule.condition.as_ref(), on_error, rule.effect())
        });
        let creation = spec.user_creation.as_ref().map(|creation| {
            let rule = (creation.condition.as_ref(), OnError::Pass, ());
            let rules = Rules::new(RuleList::Provisioning, [rule]);
            (rules, creation.groups.clone())
        });
        let mapping = |mapping: &spec::GroupMapping| Mapping {
            eval: NamesExpression::compile(&mapping.eval).map_err(|problems| {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                problems.join("; ")
            }),
            groups: mapping.groups.clone(),
        };
        Self {
            aal: Rules::new(RuleList::Aal, aal),
            post_authentication: Rules::new(RuleList::IdentityProviderPostAuthentication, rules),
            creation,
            mappings: spec.group_mappings.iter().map(mapping).collect(),
            provider,
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.provider.message.name()
    }

    pub(crate) fn spec(&self) -> Option<&Spec> {
        self.provider.message.spec.as_ref()
    }

    /// Checks that logins with this provider are enabled.
    ///
    /// # Errors
    /// Returns the reason, a stable identifier, if they are not.
    pub(crate) fn check_usable(&self) -> Result<(), &'static str> {
        if self.spec().is_none_or(|spec| spec.is_disabled) {
            return Err("provider_disabled");
        }
        let status = self.provider.message.status.as_ref();
        if status.is_some_and(|status| status.is_locked) {
            return Err("provider_locked");
        }
        Ok(())
    }

    /// Returns the key location and the expected audience of its identity tokens, or `None` for other types.
    pub(crate) fn identity_tokens(&self) -> Option<(KeyLocation, &str)> {
        let Some(spec::Type::OidcIdentityToken(token)) = self.spec()?.r#type.as_ref() else {
            return None;
        };
        let issuer = token.issuer.clone();
        let location = match token.r#type.as_ref()? {
            oidc_identity_token::Type::IssuerUrl(issuer) => KeyLocation::Issuer(issuer.clone()),
            oidc_identity_token::Type::JwksUrl(url) => KeyLocation::Url {
                url: url.clone(),
                issuer,
            },
            oidc_identity_token::Type::JwksContent(content) => KeyLocation::Fixed {
                content: content.clone(),
                issuer,
            },
        };
        Some((location, &token.audience))
    }

    /// Returns the assurance level of the first rule that matches.
    pub(crate) fn aal(&self, facts: &Facts, now: UnixMillis) -> Aal {
        let found = self.aal.first_match(facts, now);
        found.map_or(Aal::Unset, |found| found.effect)
    }

    /// Returns whether the rules allow this login of `user`. The first rule that matches decides. If none matches, the
    /// login is allowed.
    pub(crate) fn allows(&self, user: &User, info: &Info, now: UnixMillis) -> bool {
        let facts =
            Facts::identity_provider_post_authentication(user, &self.provider.message, info);
        let found = self.post_authentication.first_match(&facts, now);
        if let Some(found) = &found
            && let Some(error) = &found.error
        {
            tracing::warn!(
                identity_provider = self.name(),
                rule = found.index,
                error,
                "a rule cannot be evaluated; the request is denied"
            );
        }
        found.is_none_or(|found| found.effect == Effect::Allow)
    }

    /// Returns whether a User is found by an email address that the provider vouches for.
    pub(crate) fn finds_by_email(&self) -> bool {
        self.spec()
            .is_some_and(|spec| spec.enable_email_as_identity && !spec.disable_email_as_identity)
    }

    /// Returns the name that login pages show.
    pub(crate) fn label(&self) -> &str {
        let own = self.spec().map_or("", |spec| spec.display_name.as_str());
        let metadata = self.provider.message.metadata.as_ref();
        let of_metadata = metadata.map_or("", |metadata| metadata.display_name.as_str());
        [own, of_metadata, self.name()]
            .into_iter()
            .find(|label| !label.is_empty())
            .unwrap_or_default()
    }

    /// Returns the Groups of a new User, if the rule allows creating one.
    pub(crate) fn creates(&self, facts: &Facts, now: UnixMillis) -> Option<&[String]> {
        let (rules, groups) = self.creation.as_ref()?;
        rules.first_match(facts, now).map(|_| groups.as_slice())
    }

    /// Evaluates the Group mappings.
    ///
    /// # Errors
    /// Returns the problem if a mapping cannot be evaluated. Groups deny as well as allow, so no default is safe.
    pub(crate) fn membership(&self, facts: &Facts, now: UnixMillis) -> Result<Membership, String> {
        let mut membership = Membership::default();
        for mapping in &self.mappings {
            let names = match &mapping.eval {
                Ok(eval) => eval
                    .evaluate(facts, now)
                    .map_err(|error| error.to_string())?,
                Err(problem) => return Err(problem.clone()),
            };
            for group in &mapping.groups {
                membership.decided.insert(group.clone());
                if names.contains(group) {
                    membership.groups.insert(group.clone());
                }
            }
        }
        Ok(membership)
    }
}

fn level(aal: aal_rule::Aal) -> Aal {
    match aal {
        aal_rule::Aal::Unset => Aal::Unset,
        aal_rule::Aal::Aal1 => Aal::Aal1,
        aal_rule::Aal::Aal2 => Aal::Aal2,
        aal_rule::Aal::Aal3 => Aal::Aal3,
    }
}

/// All `IdentityProviders`, by uid.
#[derive(Default)]
pub(super) struct Providers(ArcSwap<HashMap<Uid, Arc<ProviderEntry>>>);

impl Providers {
    pub(super) fn reload(&self, all: Vec<Stored<IdentityProvider>>) {
        let entries = all.into_iter().map(|stored| {
            let uid = stored.uid;
            (uid, Arc::new(ProviderEntry::new(stored.into())))
        });
        self.0.store(Arc::new(entries.collect()));
    }

    pub(super) fn apply(&self, changes: &[(Kind, Uid, Option<Document>)]) {
        let of_kind = changes
            .iter()
            .filter(|(kind, ..)| *kind == Kind::IdentityProvider);
        let mut entries: Option<HashMap<_, _>> = None;
        for (_, uid, document) in of_kind {
            let entries = entries.get_or_insert_with(|| HashMap::clone(&self.0.load()));
            match document.as_ref().and_then(undamaged::<IdentityProvider>) {
                Some(stored) => {
                    entries.insert(*uid, Arc::new(ProviderEntry::new(stored.into())));
                }
                None => {
                    entries.remove(uid);
                }
            }
        }
        if let Some(entries) = entries {
            self.0.store(Arc::new(entries));
        }
    }

    pub(super) fn find(
        &self,
        is_wanted: impl Fn(&ProviderEntry) -> bool,
    ) -> Option<Arc<ProviderEntry>> {
        let entries = self.0.load();
        entries.values().find(|entry| is_wanted(entry)).cloned()
    }

    /// Returns all entries, sorted by name.
    pub(super) fn all(&self) -> Vec<Arc<ProviderEntry>> {
        let mut all: Vec<_> = self.0.load().values().cloned().collect();
        all.sort_by(|one, other| one.name().cmp(other.name()));
        all
    }
}

impl super::Directory {
    /// Returns all `IdentityProviders`, sorted by name.
    pub(crate) fn identity_providers(&self) -> Vec<Arc<ProviderEntry>> {
        self.snapshots.providers().all()
    }

    /// Returns the `IdentityProvider` of a reference. Name and uid must match, if set.
    pub(crate) fn identity_provider(&self, name: &str, uid: &str) -> Option<Arc<ProviderEntry>> {
        if name.is_empty() && uid.is_empty() {
            return None;
        }
        self.snapshots.providers().find(|entry| {
            (name.is_empty() || entry.name() == name)
                && (uid.is_empty() || entry.provider.uid.to_string() == uid)
        })
    }

    /// Returns the provider of identity tokens with this issuer.
    pub(crate) fn token_provider(&self, issuer: &str) -> Option<Arc<ProviderEntry>> {
        let wanted = issuer::canonical(issuer);
        self.snapshots.providers().find(|entry| {
            let own = entry.identity_tokens().map(|(location, _)| match location {
                KeyLocation::Issuer(issuer)
                | KeyLocation::Url { issuer, .. }
                | KeyLocation::Fixed { issuer, .. } => issuer::canonical(&issuer),
            });
            own.as_ref() == Some(&wanted)
        })
    }
}
