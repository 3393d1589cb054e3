//! Decisions and their reasons.

use std::{fmt, sync::Arc};

use domain::clock::UnixMillis;

use crate::{
    PolicySet, Request, Subject, Target,
    cel::{Evaluation, Inputs},
    context::documents,
    rule::{Policy, Rule, Verdict},
    set::Resolved,
};

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

/// One rule that was reached on the way to a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Name of the Policy.
    pub policy: Arc<str>,
    /// Name of the rule, or its index in the Policy.
    pub rule: Arc<str>,
    /// What it would do.
    pub effect: Effect,
    /// What came of it.
    pub outcome: StepOutcome,
}

/// What came of a rule that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepOutcome {
    /// It matched, and decides.
    Matched,
    /// It could not be evaluated; a DENY rule then counts as a match, and decides.
    Failed(String),
    /// It did not match.
    NotMatched,
    /// It could not be evaluated; an ALLOW rule then counts as no match.
    Skipped(String),
    /// The enforcement rules of its Policy leave the Policy out.
    NotEnforced,
}

/// Decides one request by all Policies attached to `subject` and `target`.
///
/// `subject` is `None` for an anonymous request, which then is decided by the Policies of the target alone.
pub fn decide(
    policies: &PolicySet,
    subject: Option<&Subject>,
    target: &Target,
    request: &Request<'_>,
    now: UnixMillis,
) -> Decision {
    walk(policies, subject, target, request, now, &mut Silent)
}

/// As [`decide`], with every rule that was reached, in order.
pub fn explain(
    policies: &PolicySet,
    subject: Option<&Subject>,
    target: &Target,
    request: &Request<'_>,
    now: UnixMillis,
) -> (Decision, Vec<Step>) {
    let mut trace = Trace(Vec::new());
    let decision = walk(policies, subject, target, request, now, &mut trace);
    (decision, trace.0)
}

/// Is told of every rule that is reached.
trait Observer {
    fn reached(&mut self, policy: &Policy, rule: &Rule, outcome: impl FnOnce() -> StepOutcome);
}

struct Silent;

impl Observer for Silent {
    #[inline]
    fn reached(&mut self, _: &Policy, _: &Rule, _: impl FnOnce() -> StepOutcome) {}
}

struct Trace(Vec<Step>);

impl Observer for Trace {
    fn reached(&mut self, policy: &Policy, rule: &Rule, outcome: impl FnOnce() -> StepOutcome) {
        self.0.push(Step {
            policy: policy.name.clone(),
            rule: rule.name.clone(),
            effect: rule.effect,
            outcome: outcome(),
        });
    }
}

fn walk(
    policies: &PolicySet,
    subject: Option<&Subject>,
    target: &Target,
    request: &Request<'_>,
    now: UnixMillis,
    observer: &mut impl Observer,
) -> Decision {
    let inputs = Inputs {
        documents: documents(subject, target),
        request: Some(request),
        now,
        ..Inputs::default()
    };
    target
        .attachments
        .resolve(policies, |of_target| match subject {
            Some(subject) => subject
                .background
                .attachments
                .resolve(policies, |of_background| match &subject.attachments {
                    None => run(inputs, [of_target, of_background], observer),
                    Some(own) => own.resolve(policies, |of_session| {
                        run(inputs, [of_target, of_background, of_session], observer)
                    }),
                }),
            None => run(inputs, [of_target], observer),
        })
}

/// Tries the rules by rank. A Policy that several owners attach is tried several times, which changes nothing.
fn run<'a, const N: usize>(
    inputs: Inputs<'a>,
    owners: [&'a Resolved; N],
    observer: &mut impl Observer,
) -> Decision {
    if let Some(missing) = owners.iter().find_map(|owner| owner.missing.as_ref()) {
        return Decision {
            allowed: false,
            reason: Reason::MissingPolicy {
                policy: missing.clone(),
            },
        };
    }
    let mut evaluation = Evaluation::new(inputs);
    let mut left_out = LeftOut::default();
    let mut ranks = owners.iter().fold(0, |ranks, owner| ranks | owner.ranks);
    while ranks != 0 {
        let rank = ranks.trailing_zeros();
        ranks &= ranks - 1;
        let policies = owners.iter().flat_map(|owner| &owner.policies);
        for policy in policies.filter(|policy| policy.ranks >> rank & 1 == 1) {
            evaluation.inputs.attributes = policy.attributes.as_deref();
            let takes_part =
                policy.is_unconditional() || left_out.takes_part(policy, &mut evaluation);
            for rule in policy.rules(rank) {
                if !takes_part {
                    observer.reached(policy, rule, || StepOutcome::NotEnforced);
                    continue;
                }
                let error = match rule.verdict(&mut evaluation) {
                    Verdict::Passes => {
                        observer.reached(policy, rule, || StepOutcome::NotMatched);
                        continue;
                    }
                    Verdict::Ignored(error) => {
                        observer.reached(policy, rule, || StepOutcome::Skipped(error));
                        continue;
                    }
                    Verdict::Matches => {
                        observer.reached(policy, rule, || StepOutcome::Matched);
                        None
                    }
                    Verdict::Fails(error) => {
                        observer.reached(policy, rule, || StepOutcome::Failed(error.clone()));
                        Some(error)
                    }
                };
                return Decision {
                    allowed: rule.effect == Effect::Allow && error.is_none(),
                    reason: Reason::Rule {
                        policy: policy.name.clone(),
                        rule: rule.name.clone(),
                        effect: rule.effect,
                        error,
                    },
                };
            }
        }
    }
    Decision {
        allowed: false,
        reason: Reason::NoMatch,
    }
}

/// What enforcement rules said, so that they are tried once per decision.
#[derive(Default)]
struct LeftOut<'a>(Vec<(&'a Policy, bool)>);

impl<'a> LeftOut<'a> {
    fn takes_part(&mut self, policy: &'a Policy, evaluation: &mut Evaluation<'a>) -> bool {
        if let Some((_, known)) = self
            .0
            .iter()
            .find(|(known, _)| std::ptr::eq(*known, policy))
        {
            return *known;
        }
        let takes_part = policy.takes_part(evaluation);
        self.0.push((policy, takes_part));
        takes_part
    }
}
