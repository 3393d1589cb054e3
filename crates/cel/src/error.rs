//! Errors of an evaluation.

use std::fmt;

/// An evaluation error. It names kinds and types but never values of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A map has no such key.
    NoSuchKey,
    /// A message has no such field.
    NoSuchField,
    /// No overload of this function accepts the arguments.
    NoSuchOverload(Box<str>),
    /// An undeclared name. Occurs only in unchecked expressions.
    Unknown(Box<str>),
    /// A list has no element with this index.
    IndexOutOfBounds,
    /// Division by zero.
    DivisionByZero,
    /// Integer overflow.
    Overflow,
    /// A value is out of the range of this type.
    OutOfRange(&'static str),
    /// A map has the same key twice.
    DuplicateKey,
    /// A value of this type cannot be a key.
    InvalidKey,
    /// A condition is not a bool.
    NotBool,
    /// An argument is invalid, with the reason.
    InvalidArgument(&'static str),
    /// A regular expression is invalid, with the reason.
    InvalidRegex(&'static str),
    /// An optional has no value.
    NoValue,
    /// The evaluation exceeded its budget.
    TooExpensive,
}

impl Error {
    /// No overload of `function` accepts the arguments.
    pub(crate) fn overload(function: &str) -> Self {
        Self::NoSuchOverload(Box::from(function))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchKey => f.write_str("no such key"),
            Self::NoSuchField => f.write_str("no such field"),
            Self::NoSuchOverload(function) => {
                write!(
                    f,
                    "no such overload: {function} does not take values of these types"
                )
            }
            Self::Unknown(name) => write!(f, "undeclared reference to {name}"),
            Self::IndexOutOfBounds => f.write_str("index out of bounds"),
            Self::DivisionByZero => f.write_str("division by zero"),
            Self::Overflow => f.write_str("integer overflow"),
            Self::OutOfRange(what) => write!(f, "{what} out of range"),
            Self::DuplicateKey => f.write_str("a map has the same key twice"),
            Self::InvalidKey => f.write_str("unsupported key type"),
            Self::NotBool => f.write_str("the value is not a bool"),
            Self::InvalidArgument(what) => f.write_str(what),
            Self::InvalidRegex(reason) => write!(f, "invalid regular expression: {reason}"),
            Self::NoValue => f.write_str("the optional has no value"),
            Self::TooExpensive => f.write_str("the expression costs too much to evaluate"),
        }
    }
}
