//! Measures which rules the test cases reach.

use std::collections::BTreeMap;

use api::{
    core_v1::policy::Spec,
    platform_v1::{
        DecisionExplanation,
        decision_explanation::{Outcome, Step},
    },
};
use serde_json::{Value, json};

/// Counts of how often each rule was reached and matched.
pub(crate) struct Coverage {
    /// Rules, in document order.
    rules: Vec<Rule>,
    places: BTreeMap<(String, String), usize>,
}

pub(crate) struct Rule {
    policy: String,
    name: String,
    reached: usize,
    matched: usize,
}

impl Coverage {
    /// Starts counting for the rules of `policies`.
    pub(crate) fn of(policies: &[(String, &Spec)]) -> Self {
        let mut coverage = Self {
            rules: Vec::new(),
            places: BTreeMap::new(),
        };
        for (policy, spec) in policies {
            for (index, rule) in spec.rules.iter().enumerate() {
                let name = policy::rule_name(index, rule);
                let place = coverage.rules.len();
                coverage
                    .places
                    .insert((policy.clone(), name.clone()), place);
                coverage.rules.push(Rule {
                    policy: policy.clone(),
                    name,
                    reached: 0,
                    matched: 0,
                });
            }
        }
        coverage
    }

    /// Counts the rules that one decision reached, including those of shadow Policies.
    pub(crate) fn add(&mut self, explanation: &DecisionExplanation) {
        match &explanation.shadow {
            // The steps with shadow Policies include all other steps.
            Some(shadow) => self.count(&shadow.steps),
            None => self.count(&explanation.steps),
        }
    }

    fn count(&mut self, steps: &[Step]) {
        for step in steps {
            let place = self.places.get(&(step.policy.clone(), step.rule.clone()));
            let Some(rule) = place.and_then(|place| self.rules.get_mut(*place)) else {
                continue;
            };
            rule.reached += usize::from(step.outcome() != Outcome::NotEnforced);
            let matched = matches!(step.outcome(), Outcome::Matched | Outcome::Failed);
            rule.matched += usize::from(matched);
        }
    }

    /// Returns the rules that were never reached, and those that were reached but never matched, as `Policy rule`.
    pub(crate) fn uncovered(&self) -> (Vec<String>, Vec<String>) {
        let names = |wanted: fn(&Rule) -> bool| {
            let rules = self.rules.iter().filter(|rule| wanted(rule));
            rules
                .map(|rule| format!("{} {}", rule.policy, rule.name))
                .collect()
        };
        (
            names(|rule| rule.reached == 0),
            names(|rule| rule.reached > 0 && rule.matched == 0),
        )
    }

    /// Returns the number of rules and how many of them decided a case.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let matched = self.rules.iter().filter(|rule| rule.matched > 0);
        (self.rules.len(), matched.count())
    }

    /// Returns the counts for the JSON formats.
    pub(crate) fn json(&self) -> Value {
        let rule = |rule: &Rule| {
            json!({
                "policy": rule.policy,
                "rule": rule.name,
                "reached": rule.reached,
                "matched": rule.matched,
            })
        };
        self.rules.iter().map(rule).collect()
    }
}
