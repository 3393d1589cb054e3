//! Evaluates compiled expressions with a budget.
//!
//! The height of the expression bounds the recursion. The budget bounds time and memory: each node, each element and
//! the bytes of each string are charged before they are evaluated, created or read.

use std::sync::Arc;

use crate::{
    access, arithmetic,
    ast::{Arithmetic, ComprehensionKind, Relation},
    collection, compare,
    document::Document,
    error::Error,
    functions::Function,
    node::{FieldPosition, Loop, Node, TextSource},
    schema::{Field, Kind},
    state::{Evaluation, Outcome},
    value::{Map, Value},
    wire::{self, RawValue},
};

mod loops;

impl<'a> Evaluation<'a> {
    /// Evaluates an expression that yields a bool.
    #[inline]
    pub(crate) fn test(&mut self, node: &'a Node) -> Result<bool, Error> {
        match node {
            Node::TextIs(source, literal, negated) => Ok(self.text_is(source, literal, *negated)),
            Node::EnumIn(place, numbers, negated) => Ok(self.enum_in(*place, numbers, *negated)),
            Node::Slot(place, Kind::Bool) => Ok(self.varint(*place) != 0),
            _ => self.test_more(node),
        }
    }

    /// Evaluates like [`Self::test`], which handles the most frequent nodes without this call.
    fn test_more(&mut self, node: &'a Node) -> Result<bool, Error> {
        match node {
            Node::Constant(Value::Bool(value)) => Ok(*value),
            Node::TextIs(source, literal, negated) => Ok(self.text_is(source, literal, *negated)),
            Node::EnumIn(place, numbers, negated) => Ok(self.enum_in(*place, numbers, *negated)),
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
                self.repeated_has(*place, *number, literal)
            }
            Node::HasSlot(place) => Ok(self
                .document(*place)
                .is_some_and(|document| document.has(place.slot))),
            Node::HasRepeated(place, field) => {
                Ok(access::has_number(self.message(*place), field.number))
            }
            Node::HasPart(part) => Ok(access::has_part(self.inputs.host, part)),
            Node::HasMember(member, field) => {
                Ok(collection::has_member(self.inputs.host, *member, field))
            }
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
            Node::Relation(relation, left, right) => self.relation(*relation, left, right),
            Node::Comprehension(body) => match body.kind {
                ComprehensionKind::Quantifier(quantifier) => self.quantifier(quantifier, body),
                ComprehensionKind::Filter
                | ComprehensionKind::List
                | ComprehensionKind::Map
                | ComprehensionKind::MapEntries => self.bool(node),
            },
            Node::Constant(_)
            | Node::Text(_)
            | Node::Variable(_)
            | Node::Local(_)
            | Node::Unknown(_)
            | Node::Attributes
            | Node::Context
            | Node::Slot(..)
            | Node::Repeated(..)
            | Node::Part(_)
            | Node::Member(..)
            | Node::Field(..)
            | Node::Select { .. }
            | Node::Index { .. }
            | Node::Negate(_)
            | Node::Arithmetic(..)
            | Node::Conditional(_)
            | Node::List(_)
            | Node::Map(_)
            | Node::Call(..)
            | Node::Undefined(_)
            | Node::Bind { .. }
            | Node::OptionalMap { .. }
            | Node::OptionalOr(..) => self.bool(node),
        }
    }

    /// Evaluates an expression whose type is not known to be bool.
    fn bool(&mut self, node: &'a Node) -> Result<bool, Error> {
        match self.value(node)? {
            Value::Bool(value) => Ok(value),
            _ => Err(Error::NotBool),
        }
    }

    /// Evaluates any expression.
    pub(crate) fn value(&mut self, node: &'a Node) -> Outcome<'a> {
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Text(text) => Ok(Value::Str(text)),
            Node::Slot(place, kind) => self.slot(*place, *kind),
            Node::Member(member, field) => {
                Ok(access::member_value(self.inputs.host, *member, field))
            }
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
            | Node::HasPart(_)
            | Node::HasMember(..)
            | Node::Has { .. }
            | Node::Not(_)
            | Node::And(_)
            | Node::Or(_)
            | Node::Relation(..)
            | Node::Matches(..) => self.test(node).map(Value::Bool),
            Node::Variable(index) => self.variable(*index),
            Node::Unknown(name) | Node::Undefined(name) => self.unknown(name),
            Node::Context => self.unknown("ctx"),
            Node::Attributes => self.attributes(),
            Node::Repeated(place, field) => self.repeated(*place, field),
            Node::Part(part) => {
                self.charge(1)?;
                Ok(Value::Part(part))
            }
            Node::Field(operand, field) => self.field(operand, field),
            Node::Select {
                operand,
                field,
                optional,
            } => self.select(operand, field, *optional),
            Node::Index {
                operand,
                index,
                optional,
            } => self.index(operand, index, *optional),
            Node::Negate(inner) => self.negate(inner),
            Node::Arithmetic(operator, left, right) => self.arithmetic(*operator, left, right),
            Node::Conditional(parts) => self.conditional(parts),
            Node::List(elements) => self.list(elements),
            Node::Map(entries) => self.map(entries),
            Node::Call(function, arguments) => self.call(function, arguments),
            Node::Comprehension(body) => self.comprehension(body),
            Node::Bind { values, body } => self.bind(values, body),
            Node::OptionalOr(parts, value) => self.optional_or(parts, *value),
            Node::OptionalMap { target, body, flat } => self.optional_map(target, body, *flat),
        }
    }

    fn slot(&mut self, place: FieldPosition, kind: Kind) -> Outcome<'a> {
        if matches!(kind, Kind::Text | Kind::Bytes) {
            self.charge(self.message(place).len() / 64)?;
        }
        let raw = self
            .document(place)
            .and_then(|document| document.raw(place.slot, kind));
        Ok(access::from_raw(kind, raw))
    }

    fn variable(&mut self, index: usize) -> Outcome<'a> {
        self.charge(1)?;
        let variables = self.inputs.variables;
        variables.get(index).cloned().ok_or(Error::NoValue)
    }

    fn unknown(&mut self, name: &str) -> Outcome<'a> {
        self.charge(1)?;
        Err(Error::Unknown(Box::from(name)))
    }

    fn attributes(&mut self) -> Outcome<'a> {
        self.charge(1)?;
        Ok(match self.inputs.attributes {
            Some(attributes) => Value::Struct(attributes),
            None => Value::Object(&[]),
        })
    }

    fn repeated(&mut self, place: FieldPosition, field: &Field) -> Outcome<'a> {
        self.charge(1)?;
        Ok(access::field(self.message(place), field))
    }

    fn field(&mut self, operand: &'a Node, field: &'a Field) -> Outcome<'a> {
        self.charge(1)?;
        match self.value(operand)? {
            Value::Message(_, bytes) => {
                self.charge_bytes(bytes.len())?;
                Ok(access::field(bytes, field))
            }
            Value::Part(part) => Ok(access::part_field(self.inputs.host, part, field)),
            other => collection::select(self, &other, &field.name),
        }
    }

    fn select(&mut self, operand: &'a Node, field: &'a str, optional: bool) -> Outcome<'a> {
        self.charge(1)?;
        let operand = self.value(operand)?;
        if optional {
            collection::optional_select(self, &operand, field)
        } else {
            collection::select(self, &operand, field)
        }
    }

    fn index(&mut self, operand: &'a Node, index: &'a Node, optional: bool) -> Outcome<'a> {
        self.charge(1)?;
        let operand = self.value(operand)?;
        let index = self.value(index)?;
        if optional {
            collection::optional_index(self, &operand, &index)
        } else {
            collection::index(self, &operand, &index)
        }
    }

    fn negate(&mut self, operand: &'a Node) -> Outcome<'a> {
        self.charge(1)?;
        arithmetic::negate(&self.value(operand)?)
    }

    fn arithmetic(&mut self, operator: Arithmetic, left: &'a Node, right: &'a Node) -> Outcome<'a> {
        self.charge(1)?;
        let left = self.value(left)?;
        let right = self.value(right)?;
        arithmetic::binary(self, operator, &left, &right)
    }

    fn conditional(&mut self, parts: &'a [Node; 3]) -> Outcome<'a> {
        self.charge(1)?;
        let [condition, yes, no] = parts;
        if self.test(condition)? {
            self.value(yes)
        } else {
            self.value(no)
        }
    }

    fn comprehension(&mut self, body: &'a Loop) -> Outcome<'a> {
        self.charge(1)?;
        match body.kind {
            ComprehensionKind::Quantifier(quantifier) => {
                self.quantifier(quantifier, body).map(Value::Bool)
            }
            ComprehensionKind::Filter => self.filter(body),
            ComprehensionKind::List => self.transform_list(body),
            ComprehensionKind::Map => self.transform_map(body),
            ComprehensionKind::MapEntries => self.transform_map_entries(body),
        }
    }

    fn bind(&mut self, values: &'a [Node], body: &'a Node) -> Outcome<'a> {
        self.charge(1)?;
        let outer = self.locals.len();
        for value in values {
            let value = self.value(value);
            self.locals.push(value);
        }
        let result = self.value(body);
        self.locals.truncate(outer);
        result
    }

    fn call(&mut self, function: &Function, arguments: &'a [Node]) -> Outcome<'a> {
        self.charge(1)?;
        let run = function.run;
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
        relation: Relation,
        left: &'a Node,
        right: &'a Node,
    ) -> Result<bool, Error> {
        self.charge(1)?;
        if let (Some(left), Some(right)) = (self.whole(left), self.whole(right)) {
            match relation {
                Relation::Equal => return Ok(left == right),
                Relation::NotEqual => return Ok(left != right),
                Relation::Less => return Ok(left < right),
                Relation::LessOrEqual => return Ok(left <= right),
                Relation::Greater => return Ok(left > right),
                Relation::GreaterOrEqual => return Ok(left >= right),
                // A number contains nothing, which is an error below.
                Relation::In => {}
            }
        }
        let left = self.value(left)?;
        let right = self.value(right)?;
        compare::relation(self, relation, &left, &right)
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
        self.charge(1)?;
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
        self.charge(1)?;
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
    fn text_is(&self, source: &'a TextSource, literal: &str, negated: bool) -> bool {
        (self.text(source) == literal.as_bytes()) != negated
    }

    #[inline]
    fn enum_in(&self, place: FieldPosition, numbers: &[i32], negated: bool) -> bool {
        numbers.contains(&self.enum_number(place)) != negated
    }

    fn repeated_has(
        &mut self,
        place: FieldPosition,
        number: u32,
        literal: &str,
    ) -> Result<bool, Error> {
        let message = self.message(place);
        self.charge(message.len() / 64 + 1)?;
        Ok(wire::fields(message).any(|raw| {
            raw.number == number
                && matches!(raw.value, RawValue::Bytes(bytes) if bytes == literal.as_bytes())
        }))
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
            TextSource::Host(field) => match self.inputs.host {
                Some(host) => host.text(*field).as_bytes(),
                None => &[],
            },
            TextSource::Entry(field, name) => self
                .inputs
                .host
                .and_then(|host| host.fields(*field).get(name))
                .unwrap_or_default()
                .as_bytes(),
        }
    }
}
