//! Common checks of rule lists in specs.

use api::core_v1::Condition;
use policy::{Problem, RuleList, check_condition};

use crate::Error;

/// Checks a condition, which must be set.
///
/// # Errors
/// Returns `InvalidArgument` with all problems and their positions.
pub(super) fn condition(
    list: RuleList,
    path: &str,
    condition: Option<&Condition>,
) -> Result<(), Error> {
    let set = condition.filter(|condition| condition.r#type.is_some());
    let condition = set.ok_or_else(|| Error::invalid(format!("{path}.condition must be set")))?;
    check_condition(list, condition).map_err(|problems| invalid(path, &problems))
}

/// Converts the problems below `path` to an error.
pub(super) fn invalid(path: &str, problems: &[Problem]) -> Error {
    let problems: Vec<String> = problems
        .iter()
        .map(|problem| {
            if problem.path.is_empty() {
                format!("{path}: {problem}")
            } else {
                format!("{path}.{problem}")
            }
        })
        .collect();
    Error::invalid(problems.join("\n"))
}

/// Checks the number of entries of a list.
///
/// # Errors
/// Returns `InvalidArgument` if there are more than `most` entries.
pub(super) fn check_max_entries(field: &str, count: usize, most: usize) -> Result<(), Error> {
    if count > most {
        return Err(Error::invalid(format!(
            "spec.{field} has {count} entries; at most {most} are allowed"
        )));
    }
    Ok(())
}
