//! Evaluates compiled expressions with a budget.
//!
//! The height of the expression bounds recursion. The budget bounds time and memory: every node, element and piece of
//! text is charged before it is created.

use std::sync::Arc;

use domain::clock::UnixMillis;

use super::{
    access, arithmetic,
    ast::{ComprehensionKind, Operator},
    collection,
    compare::{self, equal},
    error::Error,
    node::{FieldPosition, Node, TextSource},
    value::{Map, Value},
};
use crate::{
    Request,
    document::Document,
    list::DOCUMENTS,
    schema::{Kind, Shape},
    wire::RawValue,
};

mod loops;

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
    locals: Vec<Outcome<'a>>,
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

    /// Evaluates an expression that yields a bool.
    #[inline]
    pub(crate) fn test(&mut self, node: &'a Node) -> Result<bool, Error> {
        match node {
            Node::TextIs(source, literal, negated) => {
                Ok((self.text(source) == literal.as_bytes()) != *negated)
            }
            Node::EnumIn(place, numbers, negated) => {
                let number = self.enum_number(*place);
                Ok(numbers.contains(&number) != *negated)
            }
            Node::Slot(place, Kind::Bool) => Ok(self.varint(*place) != 0),
            _ => self.test_more(node),
        }
    }

    fn test_more(&mut self, node: &'a Node) -> Result<bool, Error> {
        match node {
            Node::Constant(Value::Bool(value)) => Ok(*value),
            Node::TextIn(source, literals) => {
                let text = self.text(source);
                self.charge(literals.len())?;
                Ok(literals.iter().any(|literal| literal.as_bytes() == text))
            }
            Node::TextStarts(source, literal) => {
                Ok(self.text(source).starts_with(literal.as_bytes()))
            }
            Node::TextEnds(source, literal) => Ok(self.text(source).ends_with(literal.as_bytes())),
            Node::RepeatedHas(place, number, literal) => {
                let message = self.message(*place);
                self.charge(message.len() / 64 + 1)?;
                Ok(crate::wire::fields(message).any(|raw| {
                    raw.number == *number
                        && matches!(raw.value, RawValue::Bytes(bytes) if bytes == literal.as_bytes())
                }))
            }
            Node::HasSlot(place) => Ok(self
                .document(*place)
                .is_some_and(|document| document.has(place.slot))),
            Node::HasRepeated(place, field) => {
                Ok(access::has_number(self.message(*place), field.number))
            }
            Node::HasRequestField(field) => {
                let value = match self.inputs.request {
                    Some(request) => access::request_field(request, *field),
                    None => return Ok(false),
                };
                Ok(!collection::is_zero(&value))
            }
            Node::HasGrpc => Ok(self
                .inputs
                .request
                .is_some_and(|request| request.grpc.is_some())),
            Node::Not(inner) => Ok(!self.test(inner)?),
            Node::And(operands) => self.absorb(operands, false),
            Node::Or(operands) => self.absorb(operands, true),
            Node::Has { operand, field } => {
                self.charge(1)?;
                let operand = self.value(operand)?;
                collection::has(self, &operand, field)
            }
            Node::Matches(target, pattern) => {
                let target = self.value(target)?;
                let text = target.as_str().ok_or_else(|| Error::overload("matches"))?;
                self.charge_bytes(text.len().saturating_mul(4))?;
                Ok(pattern.is_match(text))
            }
            Node::Binary(
                operator @ (Operator::Equal
                | Operator::NotEqual
                | Operator::Less
                | Operator::LessOrEqual
                | Operator::Greater
                | Operator::GreaterOrEqual
                | Operator::In),
                left,
                right,
            ) => {
                self.charge(1)?;
                if let (Some(left), Some(right)) = (self.whole(left), self.whole(right)) {
                    match operator {
                        Operator::Equal => return Ok(left == right),
                        Operator::NotEqual => return Ok(left != right),
                        Operator::Less => return Ok(left < right),
                        Operator::LessOrEqual => return Ok(left <= right),
                        Operator::Greater => return Ok(left > right),
                        Operator::GreaterOrEqual => return Ok(left >= right),
                        _ => {}
                    }
                }
                let left = self.value(left)?;
                let right = self.value(right)?;
                self.relation(*operator, &left, &right)
            }
            Node::Comprehension(body)
                if matches!(
                    body.kind,
                    ComprehensionKind::All
                        | ComprehensionKind::Exists
                        | ComprehensionKind::ExistsOne
                ) =>
            {
                self.quantifier(body)
            }
            other => match self.value(other)? {
                Value::Bool(value) => Ok(value),
                _ => Err(Error::NotBool),
            },
        }
    }

    /// Evaluates any expression.
    pub(crate) fn value(&mut self, node: &'a Node) -> Outcome<'a> {
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Text(text) => Ok(Value::Str(text)),
            Node::Slot(place, kind) => {
                if matches!(kind, Kind::Text | Kind::Bytes) {
                    self.charge(self.message(*place).len() / 64)?;
                }
                let raw = self
                    .document(*place)
                    .and_then(|document| document.raw(place.slot, *kind));
                Ok(access::from_raw(*kind, raw))
            }
            Node::RequestField(field) => match self.inputs.request {
                Some(request) => Ok(access::request_field(request, *field)),
                None => Ok(Value::Str("")),
            },
            Node::Local(index) => match self.locals.get(*index) {
                Some(value) => value.clone(),
                None => Err(Error::NoValue),
            },
            Node::TextIs(..)
            | Node::TextIn(..)
            | Node::TextStarts(..)
            | Node::TextEnds(..)
            | Node::EnumIn(..)
            | Node::RepeatedHas(..)
            | Node::HasSlot(_)
            | Node::HasRepeated(..)
            | Node::HasRequestField(_)
            | Node::HasGrpc
            | Node::Has { .. }
            | Node::Not(_)
            | Node::And(_)
            | Node::Or(_)
            | Node::Matches(..) => self.test(node).map(Value::Bool),
            _ => self.value_more(node),
        }
    }

    fn value_more(&mut self, node: &'a Node) -> Outcome<'a> {
        self.charge(1)?;
        match node {
            Node::Variable(index) => self
                .inputs
                .variables
                .get(*index)
                .cloned()
                .ok_or(Error::NoValue),
            Node::Unknown(name) | Node::Undefined(name) => Err(Error::Unknown(name.clone())),
            Node::Context => Err(Error::Unknown("ctx".into())),
            Node::Attributes => Ok(match self.inputs.attributes {
                Some(attributes) => Value::Struct(attributes),
                None => Value::Object(&[]),
            }),
            Node::Repeated(place, field) => Ok(access::field(self.message(*place), field)),
            Node::Request(part) => Ok(Value::Request(*part)),
            Node::Field(operand, message, field) => match self.value(operand)? {
                Value::Message(_, bytes) => {
                    self.charge_bytes(bytes.len())?;
                    Ok(access::field(bytes, field))
                }
                Value::Request(part) => {
                    access::request_member(self.inputs.request, part, message, &field.name)
                }
                other => collection::select(self, &other, &field.name),
            },
            Node::Select {
                operand,
                field,
                optional,
            } => {
                let operand = self.value(operand)?;
                if *optional {
                    collection::optional_select(self, &operand, field)
                } else {
                    collection::select(self, &operand, field)
                }
            }
            Node::Index {
                operand,
                index,
                optional,
            } => {
                let operand = self.value(operand)?;
                let index = self.value(index)?;
                if *optional {
                    collection::optional_index(self, &operand, &index)
                } else {
                    collection::index(self, &operand, &index)
                }
            }
            Node::Negate(inner) => arithmetic::negate(&self.value(inner)?),
            Node::Binary(operator, left, right) => {
                let left = self.value(left)?;
                let right = self.value(right)?;
                match operator {
                    Operator::Add
                    | Operator::Subtract
                    | Operator::Multiply
                    | Operator::Divide
                    | Operator::Remainder => arithmetic::binary(self, *operator, &left, &right),
                    _ => self.relation(*operator, &left, &right).map(Value::Bool),
                }
            }
            Node::Conditional(parts) => {
                let [condition, yes, no] = &**parts;
                if self.test(condition)? {
                    self.value(yes)
                } else {
                    self.value(no)
                }
            }
            Node::List(elements) => self.list(elements),
            Node::Map(entries) => self.map(entries),
            Node::Call(function, arguments) => self.call(function.run, arguments),
            Node::Comprehension(body) => match body.kind {
                ComprehensionKind::All
                | ComprehensionKind::Exists
                | ComprehensionKind::ExistsOne => self.quantifier(body).map(Value::Bool),
                ComprehensionKind::Filter | ComprehensionKind::List => self.collect_list(body),
                ComprehensionKind::Map | ComprehensionKind::MapEntries => self.collect_map(body),
            },
            Node::Bind { values, body } => {
                let outer = self.locals.len();
                for value in values {
                    let value = self.value(value);
                    self.locals.push(value);
                }
                let result = self.value(body);
                self.locals.truncate(outer);
                result
            }
            Node::OptionalOr(parts, value) => self.optional_or(parts, *value),
            Node::OptionalMap { target, body, flat } => self.optional_map(target, body, *flat),
            // `value` handles all other nodes.
            _ => Err(Error::NoValue),
        }
    }

    fn call(&mut self, run: super::functions::Run, arguments: &'a [Node]) -> Outcome<'a> {
        match arguments {
            [] => run(self, &[]),
            [one] => {
                let one = self.value(one)?;
                run(self, &[one])
            }
            [one, two] => {
                let arguments = [self.value(one)?, self.value(two)?];
                run(self, &arguments)
            }
            [one, two, three] => {
                let arguments = [self.value(one)?, self.value(two)?, self.value(three)?];
                run(self, &arguments)
            }
            more => {
                self.charge(more.len())?;
                let values: Result<Vec<_>, _> = more.iter().map(|node| self.value(node)).collect();
                run(self, &values?)
            }
        }
    }

    fn relation(
        &mut self,
        operator: Operator,
        left: &Value<'a>,
        right: &Value<'a>,
    ) -> Result<bool, Error> {
        match operator {
            Operator::Equal => equal(self, left, right, 0),
            Operator::NotEqual => Ok(!equal(self, left, right, 0)?),
            Operator::In => collection::contains(self, right, left),
            other => compare::order(self, other, left, right),
        }
    }

    /// Evaluates `&&` if `decisive` is false, `||` if it is true. An error counts only if no operand decides.
    fn absorb(&mut self, operands: &'a [Node], decisive: bool) -> Result<bool, Error> {
        // Specialized nodes charge nothing themselves.
        self.charge(operands.len())?;
        let mut failed = None;
        for operand in operands {
            match self.test(operand) {
                Ok(value) if value == decisive => return Ok(decisive),
                Ok(_) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(!decisive), Err)
    }

    fn list(&mut self, elements: &'a [(Node, bool)]) -> Outcome<'a> {
        self.charge(elements.len())?;
        let mut output = Vec::with_capacity(elements.len());
        for (element, optional) in elements {
            match (self.value(element)?, optional) {
                (Value::Optional(inner), true) => {
                    output.extend(inner.map(|inner| (*inner).clone()));
                }
                (_, true) => return Err(Error::overload("[?]")),
                (value, false) => output.push(value),
            }
        }
        Ok(Value::list(output))
    }

    fn map(&mut self, entries: &'a [(Node, Node, bool)]) -> Outcome<'a> {
        self.charge(entries.len())?;
        let mut output = Map::default();
        for (key, value, optional) in entries {
            let key = self.value(key)?;
            if !matches!(
                key,
                Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Str(_) | Value::Text(_)
            ) {
                return Err(Error::InvalidKey);
            }
            let value = match (self.value(value)?, optional) {
                (Value::Optional(None), true) => continue,
                (Value::Optional(Some(inner)), true) => (*inner).clone(),
                (_, true) => return Err(Error::overload("{?}")),
                (value, false) => value,
            };
            if !output.insert(key, value) {
                return Err(Error::DuplicateKey);
            }
        }
        Ok(Value::Map(Arc::new(output)))
    }

    #[inline]
    fn document(&self, place: FieldPosition) -> Option<&'a Document> {
        self.inputs
            .documents
            .get(usize::from(place.document))
            .copied()
            .flatten()
    }

    #[inline]
    fn varint(&self, place: FieldPosition) -> u64 {
        self.document(place)
            .and_then(|document| document.varint(place.slot))
            .unwrap_or(0)
    }

    /// Returns an integer without creating a value, with the same result as [`access::from_raw`].
    #[inline]
    fn whole(&self, node: &Node) -> Option<i64> {
        match node {
            Node::Constant(Value::Int(value)) => Some(*value),
            Node::Slot(place, Kind::Int) => Some(self.varint(*place).cast_signed()),
            Node::Slot(place, Kind::Uint) => {
                Some(i64::try_from(self.varint(*place)).unwrap_or(i64::MAX))
            }
            _ => None,
        }
    }

    #[inline]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "enum numbers are 32 bits, sign-extended on the wire"
    )]
    fn enum_number(&self, place: FieldPosition) -> i32 {
        self.varint(place) as i32
    }

    #[inline]
    fn message(&self, place: FieldPosition) -> &'a [u8] {
        self.document(place)
            .and_then(|document| document.slice(place.slot))
            .unwrap_or_default()
    }

    #[inline]
    fn text(&self, source: &'a TextSource) -> &'a [u8] {
        match source {
            TextSource::Slot(place) => self.message(*place),
            TextSource::Request(field) => self
                .inputs
                .request
                .and_then(|request| access::request_text(request, *field))
                .unwrap_or_default()
                .as_bytes(),
            TextSource::Header(name) => self.named(|request| request.headers.get(name)),
            TextSource::Query(name) => self.named(|request| request.query.get(name)),
        }
    }

    fn named(&self, read: impl Fn(&'a Request<'a>) -> Option<&'a str>) -> &'a [u8] {
        self.inputs
            .request
            .and_then(read)
            .unwrap_or_default()
            .as_bytes()
    }
}

/// Returns whether a field of this shape is repeated or a map.
pub(crate) fn is_plural(shape: Shape) -> bool {
    matches!(shape, Shape::List(_) | Shape::Map(..))
}
