//! Validation of the rules of an `IdentityProvider`. Rules are compiled at the write, so logins never meet a broken
//! rule.

use api::core_v1::identity_provider::{
    Spec,
    spec::{aal_rule::Aal, post_authentication_rule::Effect},
};
use policy::{NamesExpression, RuleList};

use crate::{
    Error,
    resource::rules::{check_max_entries, condition, invalid},
};

const RULES: usize = 128;
const MAPPINGS: usize = 128;
const GROUPS: usize = 256;

pub(super) fn check(spec: &Spec) -> Result<(), Error> {
    check_max_entries("aalRules", spec.aal_rules.len(), RULES)?;
    for (index, rule) in spec.aal_rules.iter().enumerate() {
        let path = format!("spec.aalRules[{index}]");
        match Aal::try_from(rule.aal) {
            Ok(Aal::Aal1 | Aal::Aal2 | Aal::Aal3) => {}
            _ => {
                return Err(Error::invalid(format!(
                    "{path}.aal must be AAL1, AAL2 or AAL3"
                )));
            }
        }
        condition(RuleList::Aal, &path, rule.condition.as_ref())?;
    }
    let rules = &spec.post_authentication_rules;
    check_max_entries("postAuthenticationRules", rules.len(), RULES)?;
    for (index, rule) in rules.iter().enumerate() {
        let path = format!("spec.postAuthenticationRules[{index}]");
        match Effect::try_from(rule.effect) {
            Ok(Effect::Allow | Effect::Deny) => {}
            _ => {
                return Err(Error::invalid(format!(
                    "{path}.effect must be ALLOW or DENY"
                )));
            }
        }
        let list = RuleList::IdentityProviderPostAuthentication;
        condition(list, &path, rule.condition.as_ref())?;
    }
    if let Some(creation) = &spec.user_creation {
        let path = "spec.userCreation";
        condition(RuleList::Provisioning, path, creation.condition.as_ref())?;
        distinct("userCreation.groups", &creation.groups)?;
    }
    check_max_entries("groupMappings", spec.group_mappings.len(), MAPPINGS)?;
    for (index, mapping) in spec.group_mappings.iter().enumerate() {
        let path = format!("groupMappings[{index}]");
        NamesExpression::compile(&mapping.eval)
            .map_err(|problems| invalid(&format!("spec.{path}.eval"), &problems))?;
        if mapping.groups.is_empty() {
            return Err(Error::invalid(format!(
                "spec.{path}.groups must name the Groups that the mapping decides about"
            )));
        }
        distinct(&format!("{path}.groups"), &mapping.groups)?;
    }
    Ok(())
}

fn distinct(field: &str, names: &[String]) -> Result<(), Error> {
    check_max_entries(field, names.len(), GROUPS)?;
    for (index, name) in names.iter().enumerate() {
        if names.iter().take(index).any(|other| other == name) {
            return Err(Error::invalid(format!("spec.{field} has {name} twice")));
        }
    }
    Ok(())
}
