//! Compiled expressions: names are resolved to slots, literals to values, and regular expressions are compiled.

use std::sync::Arc;

use crate::{
    ast::{Arithmetic, ComprehensionKind, Relation},
    document::Slot,
    functions::{Function, Pattern},
    part::{HostField, Member, Part},
    schema::{Field, Kind},
    value::Value,
};

/// A compiled expression.
pub(crate) enum Node {
    Constant(Value<'static>),
    Text(Box<str>),
    /// A variable of the evaluation, by index.
    Variable(usize),
    /// A name bound by an enclosing macro, counted from the outermost.
    Local(usize),
    /// An undeclared name. Occurs only in unchecked expressions.
    Unknown(Box<str>),
    /// `attrs`
    Attributes,
    /// `ctx` itself. Never evaluated.
    Context,
    /// A singular field of `ctx`.
    Slot(FieldPosition, Kind),
    HasSlot(FieldPosition),
    /// A repeated or map field of a message of `ctx`.
    Repeated(FieldPosition, &'static Field),
    HasRepeated(FieldPosition, &'static Field),
    Part(&'static Part),
    HasPart(&'static Part),
    /// A field of a part that is not a part itself.
    Member(Member, &'static Field),
    HasMember(Member, &'static Field),
    /// A field of a message that another expression yields.
    Field(Box<Node>, &'static Field),
    Select {
        operand: Box<Node>,
        field: Box<str>,
        optional: bool,
    },
    Has {
        operand: Box<Node>,
        field: Box<str>,
    },
    Index {
        operand: Box<Node>,
        index: Box<Node>,
        optional: bool,
    },
    Not(Box<Node>),
    Negate(Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    Relation(Relation, Box<Node>, Box<Node>),
    And(Box<[Node]>),
    Or(Box<[Node]>),
    Conditional(Box<[Node; 3]>),
    List(Box<[(Node, bool)]>),
    Map(Box<[(Node, Node, bool)]>),
    Call(&'static Function, Box<[Node]>),
    /// A function that is declared without an implementation.
    Undefined(Box<str>),
    Matches(Box<Node>, Arc<Pattern>),
    Comprehension(Box<Loop>),
    Bind {
        values: Box<[Node]>,
        body: Box<Node>,
    },
    OptionalMap {
        target: Box<Node>,
        body: Box<Node>,
        flat: bool,
    },
    /// `or` of two optionals, or `orValue` if the flag is true. The second operand is evaluated only if needed.
    OptionalOr(Box<[Node; 2]>, bool),
    /// Compares a text with a literal. The flag negates the result.
    TextIs(TextSource, Box<str>, bool),
    TextIn(TextSource, Box<[Box<str>]>),
    TextStarts(TextSource, Box<str>),
    TextEnds(TextSource, Box<str>),
    /// Tests whether an enum has one of the numbers. The flag negates the result.
    EnumIn(FieldPosition, Box<[i32]>, bool),
    /// Tests whether a repeated text field contains a literal.
    RepeatedHas(FieldPosition, u32, Box<str>),
}

/// A compiled loop.
pub(crate) struct Loop {
    pub(crate) kind: ComprehensionKind,
    pub(crate) range: Node,
    pub(crate) two: bool,
    pub(crate) filter: Option<Node>,
    pub(crate) body: Node,
}

/// The position of a field: document and slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FieldPosition {
    pub(crate) document: u8,
    pub(crate) slot: Slot,
}

/// The source of a text that is compared without creating a value.
pub(crate) enum TextSource {
    Slot(FieldPosition),
    Host(HostField),
    /// A key of a map of texts of the host.
    Entry(HostField, Box<str>),
}
