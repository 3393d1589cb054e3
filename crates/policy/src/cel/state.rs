//! The state of an evaluation: its inputs, its budget and the names that macros bind.

use domain::clock::UnixMillis;

use super::{error::Error, value::Value};
use crate::{Request, document::Document, list::DOCUMENTS};

/// Budget of one expression, in units of work. A unit takes about ten nanoseconds.
pub(crate) const EXPRESSION_BUDGET: u64 = 200_000;

/// Budget of all expressions of one decision together, in units of work.
const TOTAL_BUDGET: u64 = 2_000_000;

/// The inputs of an evaluation.
#[derive(Clone, Copy, Default)]
pub(crate) struct Inputs<'a> {
    /// Parts of `ctx`, indexed by their layout.
    pub(crate) documents: [Option<&'a Document>; DOCUMENTS],
    pub(crate) request: Option<&'a Request<'a>>,
    pub(crate) attributes: Option<&'a prost_types::Struct>,
    pub(crate) variables: &'a [Value<'a>],
    pub(crate) now: UnixMillis,
}

/// One evaluation, or several that share a budget.
pub(crate) struct Evaluation<'a> {
    pub(crate) inputs: Inputs<'a>,
    /// Remaining budget of the current expression.
    budget: u64,
    /// Remaining budget of later expressions.
    reserve: u64,
    pub(crate) locals: Vec<Outcome<'a>>,
}

/// A value or an evaluation error.
pub(crate) type Outcome<'a> = Result<Value<'a>, Error>;

impl<'a> Evaluation<'a> {
    pub(crate) fn new(inputs: Inputs<'a>) -> Self {
        Self {
            inputs,
            budget: 0,
            reserve: TOTAL_BUDGET,
            locals: Vec::new(),
        }
    }

    /// Starts an expression that can cost up to `most` units.
    #[inline]
    pub(crate) fn begin(&mut self, most: u64) {
        let all = self.reserve + self.budget;
        self.budget = all.min(most);
        self.reserve = all - self.budget;
    }

    /// Charges work before it is done.
    #[inline]
    pub(crate) fn charge(&mut self, units: usize) -> Result<(), Error> {
        if let Some(left) = self.budget.checked_sub(units as u64) {
            self.budget = left;
            return Ok(());
        }
        self.budget = 0;
        Err(Error::TooExpensive)
    }

    /// Charges for creating or reading `bytes` bytes.
    pub(crate) fn charge_bytes(&mut self, bytes: usize) -> Result<(), Error> {
        self.charge(bytes / 16 + 1)
    }
}
