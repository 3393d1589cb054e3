//! Decisions and their reasons.

use std::{fmt, sync::Arc};

use domain::clock::UnixMillis;

use crate::{
    PolicySet, Request, Subject, Target,
    cel::{Evaluation, Inputs},
    context::documents,
    rule::{Policy, Rule, Verdict},
    set::{Resolved, Tried},
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
    /// From -4, the strongest, to 4.
    pub priority: i32,
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

/// A decision with what led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// Every rule that was reached, in order.
    pub steps: Vec<Step>,
    /// The same as if the shadow Policies took part; `None` where none is attached.
    pub shadow: Option<(Decision, Vec<Step>)>,
}

/// Decides one request by all Policies attached to `subject` and `target`.
///
/// `subject` is `None` for an anonymous request, which then is decided by the Policies of the target alone. Shadow
/// Policies take no part.
pub fn decide(
    policies: &PolicySet,
    subject: Option<&Subject>,
    target: &Target,
    request: &Request<'_>,
    now: UnixMillis,
) -> Decision {
    walk(policies, subject, target, request, now, Decide)
}

/// As [`decide`], and what would be decided instead if the shadow Policies took part: `None` where that is the same,
/// or where none is attached, which costs nothing.
pub fn decide_with_shadow(
    policies: &PolicySet,
    subject: Option<&Subject>,
    target: &Target,
    request: &Request<'_>,
    now: UnixMillis,
) -> (Decision, Option<Decision>) {
    walk(policies, subject, target, request, now, DecideWithShadow)
}

/// As [`decide`], with every rule that was reached.
pub fn explain(
    policies: &PolicySet,
    subject: Option<&Subject>,
    target: &Target,
    request: &Request<'_>,
    now: UnixMillis,
) -> Explanation {
    walk(policies, subject, target, request, now, Explain)
}

/// What is done with the Policies of the owners.
trait Visit {
    type Output;

    fn visit<const N: usize>(self, inputs: Inputs<'_>, owners: [&Resolved; N]) -> Self::Output;
}

struct Decide;

impl Visit for Decide {
    type Output = Decision;

    #[inline]
    fn visit<const N: usize>(self, inputs: Inputs<'_>, owners: [&Resolved; N]) -> Decision {
        run(inputs, owners.map(|owner| &owner.active), &mut Silent)
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
        let decision = run(inputs, owners.map(|owner| &owner.active), &mut Silent);
        if owners.iter().all(|owner| owner.with_shadow.is_none()) {
            return (decision, None);
        }
        let shadow = run(inputs, owners.map(Resolved::everything), &mut Silent);
        let differs = shadow.allowed != decision.allowed;
        (decision, differs.then_some(shadow))
    }
}

struct Explain;

impl Visit for Explain {
    type Output = Explanation;

    fn visit<const N: usize>(self, inputs: Inputs<'_>, owners: [&Resolved; N]) -> Explanation {
        let traced = |owners: [&Tried; N]| {
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
                    None => visitor.visit(inputs, [of_target, of_background]),
                    Some(own) => own.resolve(policies, |of_session| {
                        visitor.visit(inputs, [of_target, of_background, of_session])
                    }),
                }),
            None => visitor.visit(inputs, [of_target]),
        })
}

/// Tries the rules by rank. A Policy that several owners attach is tried several times, which changes nothing.
fn run<'a, const N: usize>(
    inputs: Inputs<'a>,
    owners: [&'a Tried; N],
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
