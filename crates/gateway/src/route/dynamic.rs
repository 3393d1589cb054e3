//! Selection among several configurations of a Service (`spec.dynamicConfig`).

use std::collections::HashMap;

use api::core_v1::service::spec::{
    Config as ServiceConfig, DynamicConfig, dynamic_config::rule::Type,
};
use domain::configuration::{self, DEFAULT};
use policy::{Condition, Scope};

use crate::{
    problems::Problems,
    route::{
        Compiler, Plan,
        expression::{Expression, Failure, FailureKind},
    },
};

const PATH: &str = "spec.dynamicConfig";

/// The configurations in addition to `spec.config`, and the rules that select one.
#[derive(Default)]
pub(crate) struct Dynamic {
    plans: Vec<Plan>,
    names: HashMap<String, usize>,
    rules: Vec<Rule>,
}

/// A reference to a configuration of a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// `spec.config`
    Default,
    /// The index in `spec.dynamicConfig.configs`.
    Named(usize),
}

struct Rule {
    condition: Condition,
    path: Box<str>,
    config: Config,
}

enum Config {
    Named(Choice),
    Computed(Expression),
}

impl Dynamic {
    pub(super) fn compile(
        spec: &DynamicConfig,
        default: Option<&ServiceConfig>,
        compiler: &Compiler<'_>,
        problems: &mut Problems,
    ) -> Self {
        let mut dynamic = Self::default();
        let configs = configuration::inherited(default, spec).unwrap_or_else(|(index, error)| {
            let path = format!("{PATH}.configs[{index}].parent");
            problems.add(&path, &error.to_string());
            Vec::new()
        });
        for (index, config) in configs.iter().enumerate() {
            let path = format!("{PATH}.configs[{index}]");
            if config.name.is_empty() || config.name == DEFAULT {
                problems.add(
                    &format!("{path}.name"),
                    "must be set, and must not be default",
                );
            } else if dynamic.names.insert(config.name.clone(), index).is_some() {
                problems.add(
                    &format!("{path}.name"),
                    "is also the name of another configuration",
                );
            }
            problems.of_config(Some(path));
            dynamic.plans.extend(compiler.plan(config, problems));
            problems.of_config(None);
        }
        for (index, rule) in spec.rules.iter().enumerate() {
            let path = format!("{PATH}.rules[{index}]");
            let condition = rule.condition.clone().unwrap_or_default();
            let condition = match Condition::compile(&condition) {
                Ok(condition) => condition,
                Err(found) => {
                    for problem in found {
                        problems.add(&path, &problem.to_string());
                    }
                    continue;
                }
            };
            let config = match &rule.r#type {
                Some(Type::ConfigName(name)) => {
                    if let Some(choice) = dynamic.find(name) {
                        Config::Named(choice)
                    } else {
                        let path = format!("{path}.configName");
                        problems.add(&path, "is not the name of a configuration");
                        continue;
                    }
                }
                Some(Type::Eval(source)) => {
                    let path = format!("{path}.eval");
                    match Expression::compile(source, &path, problems) {
                        Some(expression) => Config::Computed(expression),
                        None => continue,
                    }
                }
                Some(Type::Opa(_)) => {
                    problems.add(&format!("{path}.opa"), "is not supported; use eval");
                    continue;
                }
                None => {
                    problems.add(&path, "names no configuration; set configName or eval");
                    continue;
                }
            };
            dynamic.rules.push(Rule {
                condition,
                path: path.into(),
                config,
            });
        }
        dynamic
    }

    /// Returns the configuration of the first rule that matches, or `None` if none matches.
    ///
    /// # Errors
    ///
    /// Returns a [`Failure`] if an earlier rule cannot be evaluated, because its result must not be guessed.
    pub(super) fn choose(&self, scope: &Scope<'_>) -> Result<Option<Choice>, Failure> {
        for rule in &self.rules {
            let matches = rule.condition.holds(scope).map_err(|error| Failure {
                path: rule.path.clone(),
                error: error.into(),
            })?;
            if !matches {
                continue;
            }
            return match &rule.config {
                Config::Named(choice) => Ok(Some(*choice)),
                Config::Computed(expression) => {
                    let name = expression.evaluate(scope)?;
                    match self.find(&name) {
                        Some(choice) => Ok(Some(choice)),
                        None => Err(expression.failure(FailureKind::NoConfig)),
                    }
                }
            };
        }
        Ok(None)
    }

    pub(super) fn plan(&self, index: usize) -> Option<&Plan> {
        self.plans.get(index)
    }

    fn find(&self, name: &str) -> Option<Choice> {
        if name == DEFAULT {
            return Some(Choice::Default);
        }
        self.names.get(name).copied().map(Choice::Named)
    }
}
