//! Compiled Policies, with rules in evaluation order.

use std::sync::Arc;

use api::core_v1::policy::{
    Spec,
    spec::{Rule as Written, enforcement_rule, rule},
};
use cel::{Error, Evaluation};
use prost_types::Struct;

use crate::{
    Problem, RuleList,
    condition::{self, Compiled},
};

/// Maximum number of rules, and of enforcement rules, in one Policy.
const MAX_RULES: usize = 100;
const PRIORITIES: std::ops::RangeInclusive<i32> = -4..=4;

/// The effect of a matching rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Allows the request.
    Allow,
    /// Denies the request.
    Deny,
}

pub(crate) struct Policy {
    pub(crate) name: Arc<str>,
    /// Bitmap of the ranks of all rules.
    pub(crate) ranks: u32,
    /// Sorted by rank, then in document order.
    rules: Box<[Rule]>,
    /// ENFORCE rules before IGNORE rules, then in document order. The flag is true for ENFORCE.
    enforcement: Box<[(bool, Condition)]>,
    pub(crate) attributes: Option<Box<Struct>>,
    /// True if the Policy reports decisions without taking part in them.
    pub(crate) is_shadow: bool,
}

pub(crate) struct Rule {
    pub(crate) rank: u8,
    pub(crate) name: Arc<str>,
    pub(crate) effect: Effect,
    condition: Condition,
}

/// A condition. One that does not compile is kept and fails at each evaluation.
enum Condition {
    Compiled(Compiled),
    Broken(String),
}

/// The result of evaluating one rule.
pub(crate) enum Verdict {
    Matches,
    /// The evaluation failed, which counts as a match.
    Fails(String),
    Passes,
    /// The evaluation failed, which counts as no match.
    Ignored(String),
}

/// Returns every problem found in a Policy.
pub(crate) fn check(spec: &Spec) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut found = |result: Result<Compiled, Vec<Problem>>| {
        if let Err(more) = result {
            problems.extend(more);
        }
    };
    for (index, rule) in spec.rules.iter().enumerate() {
        let path = format!("rules[{index}]");
        found(rule_condition(rule.condition.as_ref(), &path));
        if rule.effect() == rule::Effect::Unknown {
            let message = "the effect must be ALLOW or DENY";
            found(Err(vec![Problem::at(format!("{path}.effect"), message)]));
        }
        if !PRIORITIES.contains(&rule.priority) {
            let message = "the priority must be between -4 and 4";
            found(Err(vec![Problem::at(format!("{path}.priority"), message)]));
        }
    }
    for (index, rule) in spec.enforcement_rules.iter().enumerate() {
        let path = format!("enforcementRules[{index}]");
        found(rule_condition(rule.condition.as_ref(), &path));
        if rule.effect() == enforcement_rule::Effect::Unknown {
            let message = "the effect must be ENFORCE or IGNORE";
            found(Err(vec![Problem::at(format!("{path}.effect"), message)]));
        }
    }
    for (path, length) in [
        ("rules", spec.rules.len()),
        ("enforcementRules", spec.enforcement_rules.len()),
    ] {
        if length > MAX_RULES {
            found(Err(vec![Problem::at(
                path,
                format!("there are more than {MAX_RULES} rules"),
            )]));
        }
    }
    problems
}

fn rule_condition(
    condition: Option<&api::core_v1::Condition>,
    path: &str,
) -> Result<Compiled, Vec<Problem>> {
    match condition {
        Some(condition) if condition.r#type.is_some() => {
            condition::compile(RuleList::Policy, condition, &format!("{path}.condition"))
        }
        _ => {
            let mut problem = Problem::at(format!("{path}.condition"), "the rule has no condition");
            problem.suggestion = Some("write matchAny: true to match always".to_owned());
            Err(vec![problem])
        }
    }
}

/// Returns the name of a rule in reasons: its own name, or `rules[index]`.
pub fn rule_name(index: usize, rule: &Written) -> String {
    if rule.name.is_empty() {
        format!("rules[{index}]")
    } else {
        rule.name.clone()
    }
}

impl Policy {
    /// Compiles a Policy. A mistake makes the affected rule fail; it never removes a rule or the Policy.
    pub(crate) fn compile(name: &str, spec: &Spec) -> Self {
        let disabled = spec.is_disabled;
        let mut rules: Vec<Rule> = spec
            .rules
            .iter()
            .enumerate()
            .filter(|_| !disabled)
            .map(|(index, rule)| {
                // Fail closed: a rule with an unknown effect denies.
                let effect = match rule.effect() {
                    rule::Effect::Allow => Effect::Allow,
                    rule::Effect::Deny | rule::Effect::Unknown => Effect::Deny,
                };
                let priority = rule.priority.clamp(*PRIORITIES.start(), *PRIORITIES.end());
                let rank = (priority - PRIORITIES.start()) * 2 + i32::from(effect == Effect::Allow);
                Rule {
                    rank: u8::try_from(rank).unwrap_or(0),
                    name: Arc::from(rule_name(index, rule)),
                    effect,
                    condition: Condition::new(rule.condition.as_ref()),
                }
            })
            .collect();
        rules.sort_by_key(|rule| rule.rank);
        let mut enforcement: Vec<(bool, Condition)> = spec
            .enforcement_rules
            .iter()
            .map(|rule| {
                let ignore = rule.effect() == enforcement_rule::Effect::Ignore;
                (!ignore, Condition::new(rule.condition.as_ref()))
            })
            .collect();
        enforcement.sort_by_key(|(enforce, _)| !enforce);
        Self {
            name: Arc::from(name),
            ranks: rules.iter().fold(0, |ranks, rule| ranks | 1 << rule.rank),
            rules: rules.into(),
            enforcement: enforcement.into(),
            attributes: spec.attrs.clone().map(Box::new),
            is_shadow: spec.is_shadow,
        }
    }

    /// Returns the rules of one rank.
    #[inline]
    pub(crate) fn rules(&self, rank: u32) -> &[Rule] {
        let rules = &*self.rules;
        if self.ranks == 1 << rank {
            return rules;
        }
        let rank = u8::try_from(rank).unwrap_or(u8::MAX);
        let start = rules.partition_point(|rule| rule.rank < rank);
        let end = rules.partition_point(|rule| rule.rank <= rank);
        rules.get(start..end).unwrap_or_default()
    }

    /// Returns whether the Policy has no enforcement rules and takes part in every decision.
    #[inline]
    pub(crate) fn is_unconditional(&self) -> bool {
        self.enforcement.is_empty()
    }

    /// Returns whether the Policy takes part in the decision: an ENFORCE rule matches, or no IGNORE rule matches.
    ///
    /// An error counts as a match of an ENFORCE rule and as no match of an IGNORE rule. In both cases the rules of the
    /// Policy count.
    pub(crate) fn takes_part<'a>(&'a self, evaluation: &mut Evaluation<'a>) -> bool {
        for (enforce, condition) in &self.enforcement {
            match (enforce, condition.holds(evaluation)) {
                (true, Ok(true) | Err(_)) => return true,
                (false, Ok(true)) => return false,
                (true, Ok(false)) | (false, Ok(false) | Err(_)) => {}
            }
        }
        true
    }
}

impl Rule {
    /// Returns the priority as written in the Policy, from -4 (strongest) to 4.
    pub(crate) fn priority(&self) -> i32 {
        i32::from(self.rank / 2) + PRIORITIES.start()
    }

    /// Evaluates the condition of the rule.
    #[inline]
    pub(crate) fn verdict<'a>(&'a self, evaluation: &mut Evaluation<'a>) -> Verdict {
        match self.condition.holds(evaluation) {
            Ok(true) => Verdict::Matches,
            Ok(false) => Verdict::Passes,
            Err(error) if self.effect == Effect::Deny => Verdict::Fails(error),
            Err(error) => Verdict::Ignored(error),
        }
    }
}

impl Condition {
    fn new(condition: Option<&api::core_v1::Condition>) -> Self {
        let Some(condition) = condition else {
            return Self::Compiled(Compiled::Constant(false));
        };
        match condition::compile(RuleList::Policy, condition, "condition") {
            Ok(compiled) => Self::Compiled(compiled),
            Err(problems) => {
                let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
                Self::Broken(all.join("; "))
            }
        }
    }

    #[inline]
    fn holds<'a>(&'a self, evaluation: &mut Evaluation<'a>) -> Result<bool, String> {
        match self {
            Self::Compiled(condition) => condition
                .holds(evaluation)
                .map_err(|error: Error| error.to_string()),
            Self::Broken(problem) => Err(problem.clone()),
        }
    }
}
