//! Validation of resource names.

/// The maximum length of a name, in characters.
pub const MAX_LENGTH: usize = 128;
/// The maximum length of one part between dots, in characters.
pub const MAX_PART_LENGTH: usize = 40;
/// The Namespace of a Service whose name contains none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// The reason why a name is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty.
    #[error("the name is empty")]
    Empty,
    /// Longer than [`MAX_LENGTH`].
    #[error("the name has {length} characters; at most {MAX_LENGTH} are allowed")]
    TooLong {
        /// The number of characters.
        length: usize,
    },
    /// More parts than this kind of resource allows.
    #[error("the name `{name}` has {parts} parts between dots; at most {max} are allowed here")]
    TooManyParts {
        /// The whole name.
        name: String,
        /// The number of parts.
        parts: usize,
        /// The allowed number of parts.
        max: usize,
    },
    /// An invalid part between dots.
    #[error("`{part}` in the name `{name}` {problem}")]
    Part {
        /// The whole name.
        name: String,
        /// The invalid part.
        part: String,
        /// The rule that the part breaks.
        problem: PartProblem,
    },
}

/// The rule that one part of a name breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartProblem {
    /// Shorter than 2 or longer than [`MAX_PART_LENGTH`].
    #[error("must have 2 to {MAX_PART_LENGTH} characters")]
    Length,
    /// Does not begin with a lower-case letter.
    #[error("must begin with a lower-case letter (a-z)")]
    Start,
    /// Ends with a hyphen.
    #[error("must end with a lower-case letter or a digit")]
    End,
    /// Contains a character that is not allowed.
    #[error("may have only lower-case letters (a-z), digits and hyphens")]
    Character,
    /// Contains `--`.
    #[error("must not have two hyphens in a row")]
    DoubleHyphen,
}

/// Checks a name of at most `max_parts` parts between dots: 1 for most kinds, 2 for a Service, 6 for a Policy.
///
/// # Errors
/// Returns a [`NameError`] that names the invalid part and the rule.
pub fn check(name: &str, max_parts: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    let length = name.chars().count();
    if length > MAX_LENGTH {
        return Err(NameError::TooLong { length });
    }
    let parts = name.split('.').count();
    if parts > max_parts {
        return Err(NameError::TooManyParts {
            name: name.to_owned(),
            parts,
            max: max_parts,
        });
    }
    for part in name.split('.') {
        check_part(part).map_err(|problem| NameError::Part {
            name: name.to_owned(),
            part: part.to_owned(),
            problem,
        })?;
    }
    Ok(())
}

/// Returns the stored name of a Service, with its Namespace: `nginx` becomes `nginx.default`.
pub fn service_full_name(name: &str) -> String {
    if name.contains('.') {
        name.to_owned()
    } else {
        format!("{name}.{DEFAULT_NAMESPACE}")
    }
}

fn check_part(part: &str) -> Result<(), PartProblem> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !part.chars().all(allowed) {
        return Err(PartProblem::Character);
    }
    if !(2..=MAX_PART_LENGTH).contains(&part.len()) {
        return Err(PartProblem::Length);
    }
    if !part.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(PartProblem::Start);
    }
    if part.ends_with('-') {
        return Err(PartProblem::End);
    }
    if part.contains("--") {
        return Err(PartProblem::DoubleHyphen);
    }
    Ok(())
}

/// Builds the name `<user>-<type>-<suffix>` of a Credential. The user name is truncated if the result would be too
/// long.
pub fn of_credential(user: &str, type_word: &str, suffix: &str) -> String {
    let rest = format!("-{type_word}-{suffix}");
    let room = MAX_PART_LENGTH.saturating_sub(rest.len());
    let user: String = user.chars().take(room).collect();
    format!("{}{rest}", user.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("ab", 1)]
    #[case("root", 1)]
    #[case("a1-b2", 1)]
    #[case("nginx.default", 2)]
    #[case("aa.bb.cc.dd.ee.ff", 6)]
    #[case(&"a".repeat(40), 1)]
    fn a_name_of_the_rule_passes(#[case] name: &str, #[case] max_parts: usize) {
        assert_eq!(check(name, max_parts), Ok(()));
    }

    #[rstest]
    #[case("a", PartProblem::Length)]
    #[case(&"a".repeat(41), PartProblem::Length)]
    #[case("1a", PartProblem::Start)]
    #[case("-ab", PartProblem::Start)]
    #[case("ab-", PartProblem::End)]
    #[case("a--b", PartProblem::DoubleHyphen)]
    #[case("Root", PartProblem::Character)]
    #[case("a b", PartProblem::Character)]
    #[case("a_b", PartProblem::Character)]
    #[case("bücher", PartProblem::Character)]
    #[case("аdmin", PartProblem::Character)]
    #[case("root\n", PartProblem::Character)]
    fn a_part_that_breaks_the_rule_is_named(#[case] name: &str, #[case] expected: PartProblem) {
        assert_eq!(
            check(name, 1),
            Err(NameError::Part {
                name: name.to_owned(),
                part: name.to_owned(),
                problem: expected
            })
        );
    }

    #[test]
    fn empty_long_and_dotted_names_are_refused() {
        assert_eq!(check("", 1), Err(NameError::Empty));
        let long = vec!["a".repeat(40); 4].join(".");
        assert_eq!(check(&long, 6), Err(NameError::TooLong { length: 163 }));
        assert!(matches!(
            check("aa.bb", 1),
            Err(NameError::TooManyParts {
                parts: 2,
                max: 1,
                ..
            })
        ));
        assert!(matches!(check("aa..bb", 3), Err(NameError::Part { .. })));
        assert!(matches!(check("aa.", 2), Err(NameError::Part { .. })));
    }

    #[test]
    fn a_service_without_a_namespace_is_in_the_default_one() {
        assert_eq!(service_full_name("nginx"), "nginx.default");
        assert_eq!(service_full_name("nginx.prod"), "nginx.prod");
    }
}
