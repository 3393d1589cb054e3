//! The syntax tree, with macros expanded.

use std::sync::Arc;

/// An error in an expression and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Byte offset in the source.
    pub offset: u32,
    /// Description of the error.
    pub message: String,
    /// Suggested replacement, if there is a likely one.
    pub suggestion: Option<String>,
    /// True if the expression is valid CEL but uses an unsupported part of the language.
    pub unsupported: bool,
}

impl Mistake {
    pub(crate) fn new(offset: u32, message: impl Into<String>) -> Self {
        Self {
            offset,
            message: message.into(),
            suggestion: None,
            unsupported: false,
        }
    }

    pub(crate) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    pub(crate) fn unsupported(offset: u32, message: impl Into<String>) -> Self {
        Self {
            unsupported: true,
            ..Self::new(offset, message)
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
}

/// A node of the tree, with its byte offset in the source.
#[derive(Debug, Clone)]
pub(crate) struct Expr {
    pub(crate) offset: u32,
    /// Height of the tree below the node. It bounds every recursion over the tree.
    pub(crate) height: u16,
    pub(crate) kind: ExprKind,
}

#[derive(Debug, Clone)]
pub(crate) enum ExprKind {
    Literal(Literal),
    /// A name. A leading dot prevents the lookup in the container.
    Ident(String),
    Select {
        operand: Box<Expr>,
        field: String,
        optional: bool,
    },
    Has {
        operand: Box<Expr>,
        field: String,
        optional: bool,
    },
    Index {
        operand: Box<Expr>,
        index: Box<Expr>,
        optional: bool,
    },
    Call {
        target: Option<Box<Expr>>,
        function: String,
        arguments: Vec<Expr>,
    },
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Conditional(Box<Expr>, Box<Expr>, Box<Expr>),
    List(Vec<Element>),
    Map(Vec<Entry>),
    /// A message construction, by its type.
    Message(String),
    Comprehension(Box<Comprehension>),
    /// Names that are bound in `body`.
    Bind {
        bindings: Vec<(String, Expr)>,
        body: Box<Expr>,
    },
    /// `optMap`, or `optFlatMap` if `flat` is true.
    OptionalMap {
        target: Box<Expr>,
        name: String,
        body: Box<Expr>,
        flat: bool,
    },
}

/// An element of a list. An `optional` element is omitted if it has no value.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// An entry of a map. An `optional` entry is omitted if it has no value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Expr,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// A binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Arithmetic(Arithmetic),
    Relation(Relation),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A binary operator that yields a bool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

impl Operator {
    /// Returns the operator as written in an expression.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Arithmetic(operator) => operator.symbol(),
            Self::Relation(relation) => relation.symbol(),
        }
    }
}

impl Arithmetic {
    /// Returns the operator as written in an expression.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

impl Relation {
    /// Returns the operator as written in an expression.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
        }
    }
}

/// A loop over a list or the keys of a map.
#[derive(Debug, Clone)]
pub(crate) struct Comprehension {
    pub(crate) kind: ComprehensionKind,
    pub(crate) range: Expr,
    /// Variable of the element or key. With `second`, variable of the index or key.
    pub(crate) first: String,
    /// Variable of the element or value.
    pub(crate) second: Option<String>,
    pub(crate) filter: Option<Expr>,
    pub(crate) body: Expr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ComprehensionKind {
    Quantifier(Quantifier),
    /// The elements for which the body is true.
    Filter,
    /// The values of the body, as a list.
    List,
    /// The values of the body, as a map with the same keys.
    Map,
    /// The union of the single-entry maps that the body yields.
    MapEntries,
}

/// Selects for how many elements a condition must be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantifier {
    All,
    Exists,
    ExistsOne,
}
