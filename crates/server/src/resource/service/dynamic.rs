//! Validation of `dynamicConfig`: named configurations and the rules that select one.

use std::collections::BTreeSet;

use api::core_v1::service::spec::{DynamicConfig, dynamic_config::rule::Type};
use domain::{configuration::DEFAULT, name};

use super::expression;
use crate::Error;

const CONFIGS: usize = 1000;
const RULES: usize = 1000;
pub(super) const PATH: &str = "spec.dynamicConfig";

/// Checks names and rules. The configurations themselves are checked like `spec.config`.
///
/// # Errors
/// Returns `InvalidArgument` with the path of the field and, for an expression, line and column.
pub(super) fn check(dynamic: &DynamicConfig, has_default: bool) -> Result<(), Error> {
    for (field, count, limit) in [
        ("configs", dynamic.configs.len(), CONFIGS),
        ("rules", dynamic.rules.len(), RULES),
    ] {
        if count > limit {
            return Err(Error::invalid(format!(
                "{PATH}.{field} has {count} entries; at most {limit} are allowed"
            )));
        }
    }
    let mut names = BTreeSet::new();
    if has_default {
        names.insert(DEFAULT);
    }
    for (index, config) in dynamic.configs.iter().enumerate() {
        let path = format!("{PATH}.configs[{index}].name");
        name::check(&config.name, 1).map_err(|error| Error::invalid(format!("{path}: {error}")))?;
        if config.name == DEFAULT {
            return Err(Error::invalid(format!(
                "{path}: `default` is the name of spec.config"
            )));
        }
        if !names.insert(&config.name) {
            return Err(Error::invalid(format!(
                "{path}: there are two configurations with the name {}",
                config.name
            )));
        }
    }
    for (index, rule) in dynamic.rules.iter().enumerate() {
        let path = format!("{PATH}.rules[{index}]");
        expression::check_condition(&format!("{path}.condition"), rule.condition.as_ref())?;
        match &rule.r#type {
            Some(Type::ConfigName(name)) if names.contains(name.as_str()) => {}
            Some(Type::ConfigName(name)) => {
                return Err(Error::invalid(format!(
                    "{path}.configName: the configuration {name} does not exist"
                )));
            }
            Some(Type::Eval(source)) => {
                expression::check_text(&format!("{path}.eval"), source)?;
            }
            // Not served, so it was refused before.
            Some(Type::Opa(_)) => {}
            None => {
                return Err(Error::invalid(format!(
                    "{path} must have configName or eval"
                )));
            }
        }
    }
    Ok(())
}
