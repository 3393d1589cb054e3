//! The Common Expression Language: parses, type-checks, compiles and evaluates expressions.
//!
//! Follows the public language definition (google/cel-spec), but the checker rejects message construction.

mod access;
mod arithmetic;
mod ast;
mod check;
mod collection;
mod compare;
mod error;
mod escape;
mod eval;
mod functions;
mod lexer;
mod node;
mod parser;
mod signature;
mod state;
mod time;
pub(crate) mod types;
mod value;

pub(crate) use ast::Mistake;
pub(crate) use check::{Environment, Program, compile};
pub(crate) use collection::items;
pub(crate) use error::Error;
pub(crate) use state::{EXPRESSION_BUDGET, Evaluation, Inputs};
pub(crate) use value::Value;

#[cfg(test)]
mod conformance;
#[cfg(feature = "fuzzing")]
pub(crate) use functions::check_translation;
#[cfg(test)]
pub(crate) use functions::tables;
