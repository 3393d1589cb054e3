//! The Common Expression Language: parses, type-checks, compiles and evaluates expressions.
//!
//! Follows the public language definition (google/cel-spec), but the checker rejects message construction. Conditions
//! read messages and never create them.
//!
//! [`compile`] checks an expression against an [`Environment`]: variables, and the types of `ctx` and `attrs`. The types
//! of `ctx` come from protobuf descriptors ([`schema`]). Its values come from two sources, neither of which decodes
//! messages:
//!
//! - a [`Document`] is an encoded message with an index of its fields;
//! - a [`Host`] reads single fields on demand, such as those of the current request.
//!
//! A [`Program`] evaluates without allocation if it only compares fields with literals. The budget of an [`Evaluation`]
//! bounds time and memory of all others. The crate does no input or output, and knows no messages but those of
//! `google.protobuf`.

mod access;
mod arithmetic;
mod ast;
mod check;
mod collection;
mod compare;
#[cfg(test)]
mod conformance;
mod context;
mod document;
mod error;
mod escape;
mod eval;
mod functions;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod host;
mod lexer;
mod node;
mod parser;
mod part;
mod program;
pub mod schema;
mod signature;
mod state;
mod time;
mod types;
mod value;
mod wire;

pub use ast::Mistake;
pub use check::{Environment, compile};
pub use collection::items;
pub use context::{Context, Source};
pub use document::{Document, Layout};
pub use error::Error;
pub use functions::tables;
pub use host::Host;
pub use part::{Fields, HostField, Member, Part};
pub use program::Program;
pub use signature::Signature;
pub use state::{EXPRESSION_BUDGET, Evaluation, Inputs, MAX_DOCUMENTS, Outcome};
pub use types::Type;
pub use value::{Instant, Map, Repeated, Value};
