//! Problems in conditions and expressions.

use std::fmt;

/// One mistake in a condition, with a message for its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field in the resource, such as `rules[0].condition.match`.
    pub path: String,
    /// Line in the expression, starting at 1.
    pub line: u32,
    /// Column in the line, in characters, starting at 1.
    pub column: u32,
    /// Description of the mistake.
    pub message: String,
    /// Suggested replacement, if there is a likely one.
    pub suggestion: Option<String>,
}

impl Problem {
    /// Builds a problem that has no position inside an expression.
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            line: 1,
            column: 1,
            message: message.into(),
            suggestion: None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; {suggestion}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}
