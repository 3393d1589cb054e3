//! Expressions and conditions in the configuration of a Service.

use api::core_v1::Condition;
use policy::{EvalType, Problem, RuleList};

use crate::Error;

/// Checks an expression over the Policy context `ctx` that must return text.
///
/// # Errors
/// Returns `InvalidArgument` with all problems, and line and column.
pub(super) fn check_text(path: &str, source: &str) -> Result<(), Error> {
    policy::check_eval(RuleList::Policy, source, EvalType::String)
        .map_err(|problems| invalid(path, &problems))
}

/// Checks a condition, which must be set.
///
/// # Errors
/// Returns `InvalidArgument` with all problems, and line and column.
pub(super) fn check_condition(path: &str, condition: Option<&Condition>) -> Result<(), Error> {
    let set = condition.filter(|condition| condition.r#type.is_some());
    let condition = set.ok_or_else(|| Error::invalid(format!("{path} must be set")))?;
    policy::check_condition(RuleList::Policy, condition)
        .map_err(|problems| invalid(path, &problems))
}

fn invalid(path: &str, problems: &[Problem]) -> Error {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Error::invalid(format!("{path}: {}", problems.join("; ")))
}
