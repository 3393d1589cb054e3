//! Policies.

use api::{
    core_v1::{Policy, policy::Spec, policy::spec},
    resource::Object as _,
};
use domain::{kind::Kind, name};
use prost::Message as _;

use super::{attrs, draft::Draft, write::Managed};
use crate::{
    Error,
    document::{codec::Stored, index},
};

const BYTES: usize = 100_000;
const RULES: usize = 100;
const PRIORITIES: std::ops::RangeInclusive<i32> = -4..=4;

impl Managed for Policy {
    const NAME_PARTS: usize = 6;

    async fn prepare(
        draft: &mut Draft<'_>,
        new: &mut Self,
        old: Option<&Stored<Self>>,
    ) -> Result<(), Error> {
        check_spec("spec", new.spec_mut())?;
        if old.is_some() {
            return Ok(());
        }
        // `a.b.c` has the parent `b.c`, which has the parent `c`.
        if let Some((_, parent)) = new.name().split_once('.') {
            let parent = parent.to_owned();
            let parent = draft.require::<Policy>(&parent).await?.ok_or_else(|| {
                Error::invalid(format!("The parent Policy {parent} does not exist"))
            })?;
            new.status_mut().parent_policy_ref = Some(parent.message.reference());
        }
        Ok(())
    }

    async fn release(draft: &mut Draft<'_>, old: &Stored<Self>) -> Result<(), Error> {
        let uid = old.uid.to_string();
        if !draft
            .by_index::<Policy>(index::PARENT, &uid, 1)
            .await?
            .is_empty()
        {
            return Err(Error::denied(
                "There are Policies that have this Policy as their parent. Delete them first",
            ));
        }
        draft.limit(Kind::Policy, index::PARENT, uid, 1);
        Ok(())
    }
}

/// Checks the rules of a Policy or inline Policy at `path`.
///
/// # Errors
/// Returns `InvalidArgument` with all problems, and with line and column for expressions.
pub(super) fn check_spec(path: &str, spec: &Spec) -> Result<(), Error> {
    let length = spec.encoded_len();
    if length > BYTES {
        return Err(Error::invalid(format!(
            "{path} has {length} encoded bytes; at most {BYTES} are allowed"
        )));
    }
    for (field, count) in [
        ("rules", spec.rules.len()),
        ("enforcementRules", spec.enforcement_rules.len()),
    ] {
        if count > RULES {
            return Err(Error::invalid(format!(
                "{path}.{field} has {count} entries; at most {RULES} are allowed"
            )));
        }
    }
    attrs::check(&format!("{path}.attrs"), spec.attrs.as_ref())?;
    for (index, rule) in spec.rules.iter().enumerate() {
        check_rule(&format!("{path}.rules[{index}]"), rule)?;
    }
    for (index, rule) in spec.enforcement_rules.iter().enumerate() {
        let path = format!("{path}.enforcementRules[{index}]");
        if matches!(
            spec::enforcement_rule::Effect::try_from(rule.effect),
            Err(_) | Ok(spec::enforcement_rule::Effect::Unknown)
        ) {
            return Err(Error::invalid(format!(
                "{path}.effect must be ENFORCE or IGNORE"
            )));
        }
        if rule.condition.is_none() {
            return Err(Error::invalid(format!("{path}.condition must be set")));
        }
    }
    ::policy::check_policy(spec).map_err(|problems| {
        let problems: Vec<String> = problems
            .iter()
            .map(|problem| format!("{path}.{problem}"))
            .collect();
        Error::invalid(problems.join("\n"))
    })
}

fn check_rule(path: &str, rule: &spec::Rule) -> Result<(), Error> {
    if !rule.name.is_empty() {
        name::check(&rule.name, 1)
            .map_err(|error| Error::invalid(format!("{path}.name: {error}")))?;
    }
    if matches!(
        spec::rule::Effect::try_from(rule.effect),
        Err(_) | Ok(spec::rule::Effect::Unknown)
    ) {
        return Err(Error::invalid(format!(
            "{path}.effect must be ALLOW or DENY"
        )));
    }
    if !PRIORITIES.contains(&rule.priority) {
        return Err(Error::invalid(format!(
            "{path}.priority is {}; it must be from -4 to 4",
            rule.priority
        )));
    }
    if rule.condition.is_none() {
        return Err(Error::invalid(format!("{path}.condition must be set")));
    }
    Ok(())
}
