//! The checks that run when a resource is written.

use api::core_v1;

use crate::{
    EvalType, Problem, RuleList,
    condition::{self, Compiled},
    rule,
};

/// Checks a condition against the schema of its rule list.
///
/// # Errors
/// Returns every problem found in the condition.
pub fn check_condition(list: RuleList, condition: &core_v1::Condition) -> Result<(), Vec<Problem>> {
    condition::compile(list, condition, "condition").map(|_: Compiled| ())
}

/// Checks the rules and enforcement rules of a Policy or an inline Policy.
///
/// # Errors
/// Returns every problem found in the Policy.
pub fn check_policy(spec: &core_v1::policy::Spec) -> Result<(), Vec<Problem>> {
    let problems = rule::check(spec);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// Checks an expression that must yield a value of type `want`.
///
/// # Errors
/// Returns every problem found in the expression.
pub fn check_eval(list: RuleList, source: &str, want: EvalType) -> Result<(), Vec<Problem>> {
    condition::expression(list, source, want, "").map(|_| ())
}
