//! The state of an evaluation: its inputs, its budget and the names that macros bind.

use crate::{document::Document, error::Error, host::Host, value::Value};

/// Budget of one expression, in units of work. A unit takes about ten nanoseconds.
pub const EXPRESSION_BUDGET: u64 = 200_000;

/// Budget of all expressions of one [`Evaluation`] together, in units of work.
const TOTAL_BUDGET: u64 = 2_000_000;

/// Maximum number of documents that store `ctx`.
pub const MAX_DOCUMENTS: usize = 3;

/// The inputs of an evaluation.
#[derive(Clone, Copy, Default)]
pub struct Inputs<'a> {
    /// Stored fields of `ctx`, indexed by their layout in the [`Context`](crate::Context). The fields of a missing
    /// document are unset.
    pub documents: [Option<&'a Document>; MAX_DOCUMENTS],
    /// Reads the fields of `ctx` that no document stores. Without a host, they have their default values.
    pub host: Option<&'a dyn Host>,
    /// Value of `attrs`.
    pub attributes: Option<&'a prost_types::Struct>,
    /// Values of the declared variables, in the order of their declarations.
    pub variables: &'a [Value<'a>],
    /// Current time, in milliseconds since the Unix epoch.
    pub now: i64,
}

/// One evaluation, or several that share a budget.
pub struct Evaluation<'a> {
    /// Inputs of the next expression.
    pub inputs: Inputs<'a>,
    /// Remaining budget of the current expression.
    budget: u64,
    /// Remaining budget of later expressions.
    reserve: u64,
    pub(crate) locals: Vec<Outcome<'a>>,
}

/// A value or an evaluation error.
pub type Outcome<'a> = Result<Value<'a>, Error>;

impl<'a> Evaluation<'a> {
    /// Creates an evaluation with the budget of several expressions. Call [`Self::begin`] before each expression.
    #[inline]
    pub fn new(inputs: Inputs<'a>) -> Self {
        Self {
            inputs,
            budget: 0,
            reserve: TOTAL_BUDGET,
            locals: Vec::new(),
        }
    }

    /// Starts an expression that can cost up to `most` units.
    #[inline]
    pub fn begin(&mut self, most: u64) {
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
