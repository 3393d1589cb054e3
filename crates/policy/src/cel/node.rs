//! Compiled expressions: names are resolved to slots, constants to values, regular expressions are built.

use std::sync::Arc;

use super::{
    ast::{ComprehensionKind, Operator},
    functions::{Function, Pattern},
    value::{RequestPart, Value},
};
use crate::{
    document::Slot,
    schema::{Field, Kind, MessageType},
};

/// A compiled expression.
pub(crate) enum Node {
    Constant(Value<'static>),
    Text(Box<str>),
    /// A variable that was given with the evaluation.
    Variable(usize),
    /// A name bound by an enclosing macro, counted from the outermost.
    Local(usize),
    /// A name that nothing declares; only where the expression is not checked.
    Unknown(Box<str>),
    /// `attrs`
    Attributes,
    /// `ctx` itself; never evaluated.
    Context,
    /// A singular field of `ctx`.
    Slot(Place, Kind),
    HasSlot(Place),
    /// A field of a message of `ctx` that is repeated or a map.
    Repeated(Place, &'static Field),
    HasRepeated(Place, &'static Field),
    Request(RequestPart),
    RequestField(RequestField),
    HasRequestField(RequestField),
    HasGrpc,
    /// A field of a message that another expression yields.
    Field(Box<Node>, &'static MessageType, &'static Field),
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
    Binary(Operator, Box<Node>, Box<Node>),
    And(Box<[Node]>),
    Or(Box<[Node]>),
    Conditional(Box<[Node; 3]>),
    List(Box<[(Node, bool)]>),
    Map(Box<[(Node, Node, bool)]>),
    Call(&'static Function, Box<[Node]>),
    /// A function that is declared but has no implementation.
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
    /// `or` of two optionals, or `orValue` where the flag is set; the second is evaluated only where it is needed.
    OptionalOr(Box<[Node; 2]>, bool),
    /// A text against a literal, or unequal where the flag is set.
    TextIs(TextSource, Box<str>, bool),
    TextIn(TextSource, Box<[Box<str>]>),
    TextStarts(TextSource, Box<str>),
    TextEnds(TextSource, Box<str>),
    /// An enum against the names of a list: one of the numbers, or none of them where the flag is set.
    EnumIn(Place, Box<[i32]>, bool),
    /// A literal text in a repeated field of texts.
    RepeatedHas(Place, u32, Box<str>),
}

/// A compiled loop.
pub(crate) struct Loop {
    pub(crate) kind: ComprehensionKind,
    pub(crate) range: Node,
    pub(crate) two: bool,
    pub(crate) filter: Option<Node>,
    pub(crate) body: Node,
}

/// Which document, and where in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) document: u8,
    pub(crate) slot: Slot,
}

/// Where a text comes from that is compared without becoming a value.
pub(crate) enum TextSource {
    Slot(Place),
    Request(RequestField),
    Header(Box<str>),
    Query(Box<str>),
}

/// A field of `ctx.request`, `.http` or `.grpc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestField {
    Ip,
    Method,
    Path,
    Uri,
    Host,
    Scheme,
    Protocol,
    Size,
    Headers,
    Query,
    Body,
    BodyMap,
    GrpcPackage,
    GrpcService,
    GrpcServiceFullName,
    GrpcMethod,
    GrpcTarget,
}

impl RequestField {
    /// The field of that name.
    pub(crate) fn named(part: RequestPart, name: &str) -> Option<Self> {
        Some(match (part, name) {
            (RequestPart::Request, "ip") => Self::Ip,
            (RequestPart::Http, "method") => Self::Method,
            (RequestPart::Http, "path") => Self::Path,
            (RequestPart::Http, "uri") => Self::Uri,
            (RequestPart::Http, "host") => Self::Host,
            (RequestPart::Http, "scheme") => Self::Scheme,
            (RequestPart::Http, "protocol") => Self::Protocol,
            (RequestPart::Http, "size") => Self::Size,
            (RequestPart::Http, "headers") => Self::Headers,
            (RequestPart::Http, "queryParams") => Self::Query,
            (RequestPart::Http, "body") => Self::Body,
            (RequestPart::Http, "bodyMap") => Self::BodyMap,
            (RequestPart::Grpc, "package") => Self::GrpcPackage,
            (RequestPart::Grpc, "service") => Self::GrpcService,
            (RequestPart::Grpc, "serviceFullName") => Self::GrpcServiceFullName,
            (RequestPart::Grpc, "method") => Self::GrpcMethod,
            (RequestPart::Grpc, "target") => Self::GrpcTarget,
            _ => return None,
        })
    }
}
