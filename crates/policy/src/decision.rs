//! Decides requests and explains the decisions.

use std::{fmt, sync::Arc};

use cel::{Evaluation, Inputs};
use domain::clock::UnixMillis;

use crate::{
    PolicySet, Request, Subject, Target,
    context::documents,
    rule::{Effect, Policy, Rule, Verdict},
    set::{EvaluatedPolicies, Resolved},
};

/// The result of evaluating the Policies for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// True if the request is allowed.
    pub allowed: bool,
    /// The rule or condition that led to the decision.
    pub reason: Reason,
}

/// The reason of a [`Decision`]. It is logged, so it names Policies and rules but never contains request data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The first matching rule decided.
    Rule {
        /// Name of the Policy.
        policy: Arc<str>,
        /// Name of the rule, or its index in the Policy, such as `rules[0]`.
        rule: Arc<str>,
        /// Effect of the rule.
        effect: Effect,
        /// The evaluation error of a DENY rule, which counts as a match.
        error: Option<String>,
    },
    /// No rule matched.
    NoMatch,
    /// An attached Policy does not exist.
    MissingPolicy {
        /// Name of the missing Policy.
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

/// One rule that was reached during a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Name of the Policy.
    pub policy: Arc<str>,
    /// Name of the rule, or its index in the Policy, such as `rules[0]`.
    pub rule: Arc<str>,
    /// Effect of the rule if it matches.
    pub effect: Effect,
    /// Priority, from -4 (strongest) to 4.
    pub priority: i32,
    /// Result of the rule.
    pub outcome: StepOutcome,
}

/// The result of a rule that was reached during a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepOutcome {
    /// The rule matched and decided the request.
    Matched,
    /// The evaluation of a DENY rule failed. This counts as a match, so the rule decided the request.
    Failed(String),
    /// The rule did not match.
    NotMatched,
    /// The evaluation of an ALLOW rule failed. This counts as no match.
    Skipped(String),
    /// The enforcement rules of the Policy exclude it from this decision.
    NotEnforced,
}

/// A decision and every rule that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// Rules that were reached, in evaluation order.
    pub steps: Vec<Step>,
    /// The decision and steps if shadow Policies took part, or `None` if no shadow Policy is attached.
    pub shadow: Option<(Decision, Vec<Step>)>,
}

/// Decides one request by all Policies attached to `subject` and `target`.
///
/// An anonymous request has no `subject`; only the Policies of the target decide it. Shadow Policies do not take part.
pub fn decide(
    policies: &PolicySet,
    subject: Option<&Subject>,
    target: &Target,
    request: &Request<'_>,
    now: UnixMillis,
) -> Decision {
    walk(policies, subject, target, request, now, Decide)
}

/// Decides like [`decide`] and also returns the decision that would result if shadow Policies took part.
///
/// The second value is `None` if no shadow Policy is attached, which costs nothing, or if both decisions agree.
pub fn decide_with_shadow(
    policies: &PolicySet,
    subject: Option<&Subject>,
    target: &Target,
    request: &Request<'_>,
    now: UnixMillis,
) -> (Decision, Option<Decision>) {
    walk(policies, subject, target, request, now, DecideWithShadow)
}

/// Decides like [`decide`] and also returns every rule that was reached.
pub fn explain(
    policies: &PolicySet,
    subject: Option<&Subject>,
    target: &Target,
    request: &Request<'_>,
    now: UnixMillis,
) -> Explanation {
    walk(policies, subject, target, request, now, Explain)
}

/// An operation on the resolved Policies of all owners of a request.
trait Visit {
    type Output;

    fn visit<const N: usize>(self, inputs: Inputs<'_>, owners: [&Resolved; N]) -> Self::Output;
}

struct Decide;

impl Visit for Decide {
    type Output = Decision;

    #[inline]
    fn visit<const N: usize>(self, inputs: Inputs<'_>, owners: [&Resolved; N]) -> Decision {
        run(inputs, owners.map(|owner| &owner.active), &mut NoObserver)
    }
}

struct DecideWithShadow;

impl Visit for DecideWithShadow {
    type Output = (Decision, Option<Decision>);

    #[inline]
    fn visit<const N: usize>(
        self,
        inputs: Inputs<'_>,
        owners: [&Resolved; N],
    ) -> (Decision, Option<Decision>) {
        let decision = run(inputs, owners.map(|owner| &owner.active), &mut NoObserver);
        if owners.iter().all(|owner| owner.with_shadow.is_none()) {
            return (decision, None);
        }
        let shadow = run(inputs, owners.map(Resolved::everything), &mut NoObserver);
        let differs = shadow.allowed != decision.allowed;
        (decision, differs.then_some(shadow))
    }
}

struct Explain;

impl Visit for Explain {
    type Output = Explanation;

    fn visit<const N: usize>(self, inputs: Inputs<'_>, owners: [&Resolved; N]) -> Explanation {
        let traced = |owners: [&EvaluatedPolicies; N]| {
            let mut trace = Trace(Vec::new());
            let decision = run(inputs, owners, &mut trace);
            (decision, trace.0)
        };
        let (decision, steps) = traced(owners.map(|owner| &owner.active));
        let has_shadow = owners.iter().any(|owner| owner.with_shadow.is_some());
        Explanation {
            decision,
            steps,
            shadow: has_shadow.then(|| traced(owners.map(Resolved::everything))),
        }
    }
}

/// Receives every rule that is reached during a decision.
trait Observer {
    fn reached(&mut self, policy: &Policy, rule: &Rule, outcome: impl FnOnce() -> StepOutcome);
}

struct NoObserver;

impl Observer for NoObserver {
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
            priority: rule.priority(),
            outcome: outcome(),
        });
    }
}

#[inline]
fn walk<V: Visit>(
    policies: &PolicySet,
    subject: Option<&Subject>,
    target: &Target,
    request: &Request<'_>,
    now: UnixMillis,
    visitor: V,
) -> V::Output {
    let inputs = Inputs {
        documents: documents(subject, target),
        host: Some(request),
        now: now.0,
        ..Inputs::default()
    };
    target
        .attachments
        .resolve(policies, |of_target| match subject {
            Some(subject) => subject
                .background
                .attachments
                .resolve(policies, |of_background| match &subject.attachments {
                    None => visitor.visit(inputs, [of_target, of_background]),
                    Some(own) => own.resolve(policies, |of_session| {
                        visitor.visit(inputs, [of_target, of_background, of_session])
                    }),
                }),
            None => visitor.visit(inputs, [of_target]),
        })
}

/// Evaluates the rules by rank. A Policy that several owners attach is evaluated several times; the decision is the
/// same.
fn run<'a, const N: usize>(
    inputs: Inputs<'a>,
    owners: [&'a EvaluatedPolicies; N],
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

/// Caches the results of enforcement rules, so that they are evaluated at most once for each decision.
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
