//! Expressions in the configuration of a Service.

use policy::{EvalError, Scope, TextExpression};

use crate::problems::Problems;

/// A compiled expression that returns text.
pub(crate) struct Expression {
    compiled: TextExpression,
    path: Box<str>,
}

/// An expression or condition that failed for a request, with its path.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub(crate) struct Failure {
    pub(crate) path: Box<str>,
    pub(crate) error: FailureKind,
}

/// The kind of a failure. It never contains request data.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FailureKind {
    #[error(transparent)]
    Eval(#[from] EvalError),
    #[error("the text is not a header value")]
    NoFieldValue,
    #[error("the text is not a host")]
    NoHost,
    #[error("the text is not the name of a configuration")]
    NoConfig,
}

impl Expression {
    /// Compiles an expression. `path` is the path of its field, for error messages.
    pub(super) fn compile(source: &str, path: &str, problems: &mut Problems) -> Option<Self> {
        match TextExpression::compile(source) {
            Ok(compiled) => Some(Self {
                compiled,
                path: problems.path(path).into(),
            }),
            Err(found) => {
                for problem in found {
                    problems.add(path, &problem.to_string());
                }
                None
            }
        }
    }

    pub(crate) fn evaluate(&self, scope: &Scope<'_>) -> Result<String, Failure> {
        self.compiled
            .evaluate(scope)
            .map_err(|error| self.failure(error.into()))
    }

    pub(crate) fn failure(&self, error: FailureKind) -> Failure {
        Failure {
            path: self.path.clone(),
            error,
        }
    }
}
