//! Which rules the cases reach.

use std::collections::BTreeMap;

use api::{
    core_v1::policy::Spec,
    platform_v1::{
        DecisionExplanation,
        decision_explanation::{Outcome, Step},
    },
};
use serde_json::{Value, json};

/// How often each rule was reached, and how often it matched.
pub(crate) struct Coverage {
    /// In the order in which they are written.
    rules: Vec<Rule>,
    places: BTreeMap<(String, String), usize>,
}

/// One rule.
pub(crate) struct Rule {
    policy: String,
    name: String,
    reached: usize,
    matched: usize,
}

impl Coverage {
    /// Of these Policies, of which none has been asked.
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

    /// Counts what one decision has reached, those of shadow Policies with it.
    pub(crate) fn add(&mut self, explanation: &DecisionExplanation) {
        match &explanation.shadow {
            // It has all the rules.
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

    /// `Policy rule` of those that were never reached, and of those that were and never matched.
    pub(crate) fn gaps(&self) -> (Vec<String>, Vec<String>) {
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

    /// How many rules there are, and how many of them have decided.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let matched = self.rules.iter().filter(|rule| rule.matched > 0);
        (self.rules.len(), matched.count())
    }

    /// For machines.
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
