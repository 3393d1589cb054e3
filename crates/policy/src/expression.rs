//! Single conditions and expressions over a request, as Services have them in their configuration.

use std::fmt;

use api::core_v1;
use domain::clock::UnixMillis;

use crate::{
    EvalType, Problem, Request, RuleList, Subject, Target,
    cel::{self, EXPRESSION_BUDGET, Evaluation, Inputs, Program},
    condition::{self, Compiled},
    context::documents,
};

/// What a condition or an expression of a Service is evaluated for.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// Who asks; `None` for an anonymous request.
    pub subject: Option<&'a Subject>,
    /// What is asked for.
    pub target: &'a Target,
    /// How.
    pub request: &'a Request<'a>,
    /// The present instant.
    pub now: UnixMillis,
}

/// Why a condition or an expression has no value. Names kinds and types, never request data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalError(pub(crate) cel::Error);

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for EvalError {}

/// A compiled condition over `ctx` of [`RuleList::Policy`].
pub struct Condition(Compiled);

impl Condition {
    /// Checks and compiles a condition.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(condition: &core_v1::Condition) -> Result<Self, Vec<Problem>> {
        condition::compile(RuleList::Policy, condition, "condition").map(Self)
    }

    /// Whether the condition holds.
    ///
    /// # Errors
    /// Where it cannot be evaluated; the caller decides what is safe then.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, EvalError> {
        self.0.holds(&mut evaluation(scope)).map_err(EvalError)
    }
}

/// A compiled expression over `ctx` of [`RuleList::Policy`] that yields text.
pub struct TextExpression(Program);

impl TextExpression {
    /// Checks and compiles an expression.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(source: &str) -> Result<Self, Vec<Problem>> {
        condition::expression(RuleList::Policy, source, EvalType::String, "").map(Self)
    }

    /// The text for one request.
    ///
    /// # Errors
    /// Where it cannot be evaluated or is no text after all; never an empty text instead.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<String, EvalError> {
        let mut evaluation = evaluation(scope);
        evaluation.begin(EXPRESSION_BUDGET);
        let value = evaluation.value(&self.0.root).map_err(EvalError)?;
        match value.as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(EvalError(cel::Error::InvalidArgument(
                "the value is not a string",
            ))),
        }
    }
}

fn evaluation<'a>(scope: &Scope<'a>) -> Evaluation<'a> {
    Evaluation::new(Inputs {
        documents: documents(scope.subject, scope.target),
        request: Some(scope.request),
        now: scope.now,
        ..Inputs::default()
    })
}
