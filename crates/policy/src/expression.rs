//! Single conditions and expressions over a request, as the configuration of a Service contains them.

use std::fmt;

use api::core_v1;
use cel::{EXPRESSION_BUDGET, Evaluation, Inputs, Program};
use domain::clock::UnixMillis;

use crate::{
    EvalType, Problem, Request, RuleList, Subject, Target,
    condition::{self, Compiled},
    context::documents,
};

/// The inputs that a condition or an expression of a Service is evaluated with.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The caller, or `None` for an anonymous request.
    pub subject: Option<&'a Subject>,
    /// The requested Service.
    pub target: &'a Target,
    /// The request.
    pub request: &'a Request<'a>,
    /// The current time.
    pub now: UnixMillis,
}

/// An error during evaluation. Its message names kinds and types but never contains request data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalError(pub(crate) cel::Error);

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for EvalError {}

/// A compiled condition over the `ctx` of [`RuleList::Policy`].
pub struct Condition(Compiled);

impl Condition {
    /// Checks and compiles a condition.
    ///
    /// # Errors
    /// Returns every problem found in the condition.
    pub fn compile(condition: &core_v1::Condition) -> Result<Self, Vec<Problem>> {
        condition::compile(RuleList::Policy, condition, "condition").map(Self)
    }

    /// Returns whether the condition holds.
    ///
    /// # Errors
    /// Returns an error if the evaluation fails. The caller decides which result is safe.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, EvalError> {
        self.0.holds(&mut evaluation(scope)).map_err(EvalError)
    }
}

/// A compiled expression over the `ctx` of [`RuleList::Policy`] that yields a string.
pub struct TextExpression(Program);

impl TextExpression {
    /// Checks and compiles an expression.
    ///
    /// # Errors
    /// Returns every problem found in the expression.
    pub fn compile(source: &str) -> Result<Self, Vec<Problem>> {
        condition::expression(RuleList::Policy, source, EvalType::String, "").map(Self)
    }

    /// Evaluates the expression for one request.
    ///
    /// # Errors
    /// Returns an error if the evaluation fails or yields another type. It never returns an empty string instead.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<String, EvalError> {
        let mut evaluation = evaluation(scope);
        evaluation.begin(EXPRESSION_BUDGET);
        let value = self.0.value(&mut evaluation).map_err(EvalError)?;
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
        host: Some(scope.request),
        now: scope.now.0,
        ..Inputs::default()
    })
}
