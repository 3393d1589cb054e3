//! Decisions and their reasons.

use std::{fmt, sync::Arc};

use domain::clock::UnixMillis;

use crate::{PolicySet, Request, Subject, Target};

/// Whether a request may pass, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// May it pass.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
}

/// What a matching rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Lets the request pass.
    Allow,
    /// Refuses it.
    Deny,
}

/// Why a decision fell as it did. Shown in logs: names rules, never request data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The first rule that matched.
    Rule {
        /// Name of the Policy.
        policy: Arc<str>,
        /// Name of the rule, or its index in the Policy.
        rule: Arc<str>,
        /// What it does.
        effect: Effect,
        /// A DENY rule that could not be evaluated counts as a match; this is why it could not.
        error: Option<String>,
    },
    /// No rule matched.
    NoMatch,
    /// An attached Policy does not exist.
    MissingPolicy {
        /// Its name.
        policy: Arc<str>,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule {
                policy,
                rule,
                effect,
                error,
            } => {
                let effect = match effect {
                    Effect::Allow => "allowed",
                    Effect::Deny => "denied",
                };
                write!(f, "{effect} by rule {rule} of Policy {policy}")?;
                match error {
                    Some(error) => write!(f, ", which could not be evaluated: {error}"),
                    None => Ok(()),
                }
            }
            Self::NoMatch => f.write_str("no rule matched"),
            Self::MissingPolicy { policy } => write!(f, "Policy {policy} does not exist"),
        }
    }
}

/// Decides one request by all Policies attached to `subject` and `target`.
///
/// `subject` is `None` for an anonymous request, which then is decided by the Policies of the target alone.
pub fn decide(
    _policies: &PolicySet,
    _subject: Option<&Subject>,
    _target: &Target,
    _request: &Request<'_>,
    _now: UnixMillis,
) -> Decision {
    Decision {
        allowed: false,
        reason: Reason::NoMatch,
    }
}
