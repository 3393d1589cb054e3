//! Compiles conditions: CEL expressions and their combinations (`all`, `any`, `none`, `not`).

use api::core_v1::{
    self,
    condition::{Type, opa},
};
use cel::{EXPRESSION_BUDGET, Error, Evaluation, Program, Type as CelType};

use crate::{EvalType, Problem, RuleList, list::problems};

/// Maximum nesting depth of conditions.
const MAX_DEPTH: usize = 16;
/// Maximum number of conditions in one list.
const MAX_CHILDREN: usize = 100;

pub(crate) enum Compiled {
    /// `matchAny` (true), or an unset condition (false).
    Constant(bool),
    Match(Program),
    Not(Program),
    All(Box<[Compiled]>),
    Any(Box<[Compiled]>),
    None(Box<[Compiled]>),
}

pub(crate) fn compile(
    list: RuleList,
    condition: &core_v1::Condition,
    path: &str,
) -> Result<Compiled, Vec<Problem>> {
    nested(list, condition, path, 1)
}

/// Checks and compiles an expression and requires that it yields a value of type `want`.
pub(crate) fn expression(
    list: RuleList,
    source: &str,
    want: EvalType,
    path: &str,
) -> Result<Program, Vec<Problem>> {
    let program = cel::compile(list.environment(), source)
        .map_err(|mistakes| problems(path, source, mistakes))?;
    let fits = match want {
        EvalType::Bool => matches!(program.ty, CelType::Bool | CelType::Dyn),
        EvalType::String => matches!(program.ty, CelType::Text | CelType::Enum(_) | CelType::Dyn),
        EvalType::Names => match &program.ty {
            CelType::List(element) => matches!(**element, CelType::Text | CelType::Dyn),
            other => matches!(other, CelType::Text | CelType::Dyn),
        },
    };
    if fits {
        return Ok(program);
    }
    let wanted = match want {
        EvalType::Bool => "bool",
        EvalType::String => "string",
        EvalType::Names => "string or list(string)",
    };
    let mut problem = Problem::at(
        path,
        format!("the expression must return {wanted}, not {}", program.ty),
    );
    problem.suggestion = match (want, &program.ty) {
        (EvalType::Bool, CelType::Text | CelType::Enum(_)) => {
            Some("compare it, such as … == \"value\"".to_owned())
        }
        (EvalType::Bool, CelType::List(_)) => {
            Some("test it, such as \"value\" in … or size(…) > 0".to_owned())
        }
        (EvalType::Bool, CelType::Message(_)) => Some("select a field, or test has(…)".to_owned()),
        (EvalType::String, CelType::Int | CelType::Double | CelType::Bool) => {
            Some("convert it with string(…)".to_owned())
        }
        _ => None,
    };
    Err(vec![problem])
}

fn nested(
    list: RuleList,
    condition: &core_v1::Condition,
    path: &str,
    depth: usize,
) -> Result<Compiled, Vec<Problem>> {
    if depth > MAX_DEPTH {
        let message = format!("conditions are nested deeper than {MAX_DEPTH} levels");
        return Err(vec![Problem::at(path, message)]);
    }
    let program = |name: &str, source: &str| {
        expression(list, source, EvalType::Bool, &format!("{path}.{name}"))
    };
    match &condition.r#type {
        None => Ok(Compiled::Constant(false)),
        Some(Type::MatchAny(value)) => Ok(Compiled::Constant(*value)),
        Some(Type::Match(source)) => program("match", source).map(Compiled::Match),
        Some(Type::Not(source)) => program("not", source).map(Compiled::Not),
        Some(Type::All(all)) => {
            children(list, &all.of, &format!("{path}.all"), depth).map(Compiled::All)
        }
        Some(Type::Any(any)) => {
            children(list, &any.of, &format!("{path}.any"), depth).map(Compiled::Any)
        }
        Some(Type::None(none)) => {
            children(list, &none.of, &format!("{path}.none"), depth).map(Compiled::None)
        }
        Some(Type::Opa(policy)) => {
            let field = match &policy.r#type {
                Some(opa::Type::Inline(_)) => "opa.inline",
                None => "opa",
            };
            let mut problem = Problem::at(format!("{path}.{field}"), "OPA is not supported");
            problem.suggestion = Some("write the condition in CEL, in match".to_owned());
            Err(vec![problem])
        }
    }
}

fn children(
    list: RuleList,
    conditions: &[core_v1::Condition],
    path: &str,
    depth: usize,
) -> Result<Box<[Compiled]>, Vec<Problem>> {
    if conditions.is_empty() {
        // An empty `all` would match every request.
        return Err(vec![Problem::at(
            format!("{path}.of"),
            "the list of conditions is empty",
        )]);
    }
    if conditions.len() > MAX_CHILDREN {
        let message = format!("there are more than {MAX_CHILDREN} conditions");
        return Err(vec![Problem::at(format!("{path}.of"), message)]);
    }
    let mut compiled = Vec::with_capacity(conditions.len());
    let mut found = Vec::new();
    for (index, condition) in conditions.iter().enumerate() {
        match nested(list, condition, &format!("{path}.of[{index}]"), depth + 1) {
            Ok(condition) => compiled.push(condition),
            Err(problems) => found.extend(problems),
        }
    }
    if found.is_empty() {
        Ok(compiled.into())
    } else {
        Err(found)
    }
}

impl Compiled {
    /// Returns whether the condition holds.
    ///
    /// An error of one part counts only if no other part decides the result, as with `&&` and `||` in CEL.
    #[inline]
    pub(crate) fn holds<'a>(&'a self, evaluation: &mut Evaluation<'a>) -> Result<bool, Error> {
        match self {
            Self::Match(program) => leaf(evaluation, program),
            Self::Constant(value) => Ok(*value),
            Self::Not(program) => leaf(evaluation, program).map(|value| !value),
            Self::All(_) | Self::Any(_) | Self::None(_) => self.combined(evaluation),
        }
    }

    fn combined<'a>(&'a self, evaluation: &mut Evaluation<'a>) -> Result<bool, Error> {
        match self {
            Self::All(parts) => Ok(!parts.is_empty() && absorb(evaluation, parts, false)?),
            Self::Any(parts) => absorb(evaluation, parts, true),
            Self::None(parts) => Ok(!parts.is_empty() && !absorb(evaluation, parts, true)?),
            Self::Match(_) | Self::Constant(_) | Self::Not(_) => self.holds(evaluation),
        }
    }
}

#[inline]
fn leaf<'a>(evaluation: &mut Evaluation<'a>, program: &'a Program) -> Result<bool, Error> {
    evaluation.begin(EXPRESSION_BUDGET);
    program.test(evaluation)
}

/// Evaluates a conjunction if `decisive` is false, a disjunction if it is true.
fn absorb<'a>(
    evaluation: &mut Evaluation<'a>,
    parts: &'a [Compiled],
    decisive: bool,
) -> Result<bool, Error> {
    let mut failed = None;
    for part in parts {
        match part.holds(evaluation) {
            Ok(value) if value == decisive => return Ok(decisive),
            Ok(_) => {}
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(!decisive), Err)
}
