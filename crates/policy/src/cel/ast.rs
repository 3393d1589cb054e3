//! Expressions as written, macros expanded.

use std::sync::Arc;

/// An expression that cannot be used, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Byte offset in the source.
    pub(crate) offset: u32,
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
    /// Correct CEL, of a part of the language that is not offered.
    pub(crate) unsupported: bool,
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

/// A constant.
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

/// A node with its place in the source.
#[derive(Debug, Clone)]
pub(crate) struct Expr {
    pub(crate) offset: u32,
    /// Longest way down to a leaf; bounds every recursion over the tree.
    pub(crate) height: u16,
    pub(crate) kind: ExprKind,
}

#[derive(Debug, Clone)]
pub(crate) enum ExprKind {
    Literal(Literal),
    /// A name; begins with a dot where it must not be looked up in the container.
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
    /// Names bound for the time of a body.
    Bind {
        bindings: Vec<(String, Expr)>,
        body: Box<Expr>,
    },
    /// `optMap`, or `optFlatMap` where `flat`.
    OptionalMap {
        target: Box<Expr>,
        name: String,
        body: Box<Expr>,
        flat: bool,
    },
}

/// An element of a list; `optional` ones are left out where they have no value.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// An entry of a map; `optional` ones are left out where they have no value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Expr,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

impl Operator {
    /// As written in an expression.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
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
    /// Element or key; with `second`, index or key.
    pub(crate) first: String,
    /// Element or value.
    pub(crate) second: Option<String>,
    pub(crate) filter: Option<Expr>,
    pub(crate) body: Expr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ComprehensionKind {
    All,
    Exists,
    ExistsOne,
    /// The elements for which the body holds.
    Filter,
    /// The bodies as list.
    List,
    /// The bodies as values of the same keys.
    Map,
    /// The bodies are maps of one entry each.
    MapEntries,
}
