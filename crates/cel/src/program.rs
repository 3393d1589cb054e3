//! Checked and compiled expressions.

use crate::{
    error::Error,
    node::Node,
    state::{Evaluation, Outcome},
    types::Type,
};

/// A checked and compiled expression.
pub struct Program {
    pub(crate) root: Node,
    /// Type of the result.
    pub ty: Type,
}

impl Program {
    /// Evaluates an expression that yields a bool.
    ///
    /// # Errors
    /// Returns an error if the evaluation fails, exceeds its budget or yields another type.
    #[inline]
    pub fn test<'a>(&'a self, evaluation: &mut Evaluation<'a>) -> Result<bool, Error> {
        evaluation.test(&self.root)
    }

    /// Evaluates an expression.
    ///
    /// # Errors
    /// Returns an error if the evaluation fails or exceeds its budget.
    pub fn value<'a>(&'a self, evaluation: &mut Evaluation<'a>) -> Outcome<'a> {
        evaluation.value(&self.root)
    }
}
