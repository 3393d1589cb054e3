//! Checks operators and compiles simple comparisons to specialized nodes.

use std::sync::LazyLock;

use super::{
    super::{
        ast::{Arithmetic, Expr, ExprKind, Literal, Mistake, Operator, Relation},
        functions::Function,
        node::{FieldPosition, Node, TextSource},
        signature::{Signature, signature},
        types::Type,
        value::Value,
    },
    Checked, Checker, suggest,
};
use crate::{
    part::Member,
    schema::{EnumType, Kind, Shape},
};

impl Checker<'_> {
    pub(super) fn not(&mut self, offset: u32, operand: &Expr) -> Checked {
        let _ = offset;
        (Node::Not(Box::new(self.bool("!", operand))), Type::Bool)
    }

    pub(super) fn negate(&mut self, offset: u32, operand: &Expr) -> Checked {
        let (node, ty) = self.value(operand);
        let ty = self.resolve(offset, "-", &SIGNATURES.negate, &[ty]);
        (Node::Negate(Box::new(node)), ty)
    }

    pub(super) fn binary(
        &mut self,
        offset: u32,
        operator: Operator,
        left: &Expr,
        right: &Expr,
    ) -> Checked {
        let (left_node, left_type) = self.value(left);
        let (right_node, right_type) = self.value(right);
        let left_known = self.inference.shallow(&left_type);
        let right_known = self.inference.shallow(&right_type);
        if let Operator::Relation(
            relation @ (Relation::Equal | Relation::NotEqual | Relation::In),
        ) = operator
        {
            let before = self.mistakes.len();
            if let Type::Enum(names) = left_known {
                self.enum_names(names, right);
            }
            if let (Type::Enum(names), false) = (&right_known, relation == Relation::In) {
                self.enum_names(names, left);
            }
            if let (Type::List(element), Relation::In) = (&right_known, relation)
                && let Type::Enum(names) = self.inference.shallow(element)
            {
                self.enum_names(names, left);
            }
            if self.mistakes.len() > before {
                return (Node::Unknown(Box::from("")), Type::Bool);
            }
        }
        let types = [left_type, right_type];
        let symbol = operator.symbol();
        let before = self.mistakes.len();
        // With `ctx`, numbers of different types can be tested for equality, because all its integers have type int.
        let mixed = self.environment.context.is_some();
        let ty = self.resolve(offset, symbol, SIGNATURES.of(operator, mixed), &types);
        if let Some(mistake) = self
            .mistakes
            .get_mut(before..)
            .and_then(|new| new.first_mut())
        {
            mistake.suggestion = hint(&left_known, &right_known);
        }
        (specialise(operator, left_node, right_node), ty)
    }

    /// Checks that literals compared with an enum are names of the enum.
    fn enum_names(&mut self, names: &EnumType, expr: &Expr) {
        match &expr.kind {
            ExprKind::Literal(Literal::Text(text)) => {
                if names.number(text).is_some() {
                    return;
                }
                let owner = names.short_name();
                let mut mistake =
                    Mistake::new(expr.offset, format!("{owner} has no value \"{text}\""));
                mistake.suggestion = suggest::suggestion(text, names.names()).or_else(|| {
                    let all: Vec<&str> = names.names().collect();
                    Some(format!("its values are {}", all.join(", ")))
                });
                self.mistakes.push(mistake);
            }
            ExprKind::Literal(Literal::Int(_)) => self.mistakes.push(
                Mistake::new(
                    expr.offset,
                    format!("{} is compared by name", names.short_name()),
                )
                .suggest("write the name of the value as a string"),
            ),
            ExprKind::List(elements) => {
                for element in elements {
                    self.enum_names(names, &element.value);
                }
            }
            _ => {}
        }
    }
}

fn specialise(operator: Operator, left: Node, right: Node) -> Node {
    match operator {
        Operator::Arithmetic(operator) => {
            Node::Arithmetic(operator, Box::new(left), Box::new(right))
        }
        Operator::Relation(relation) => specialise_relation(relation, left, right),
    }
}

/// Replaces a comparison with a node that needs no intermediate values, if the operands allow it.
fn specialise_relation(relation: Relation, left: Node, right: Node) -> Node {
    match relation {
        Relation::Equal | Relation::NotEqual => {
            let negated = relation == Relation::NotEqual;
            let (left, right) = match (left, right) {
                (literal @ Node::Text(_), other) => (other, literal),
                other => other,
            };
            match (left, right) {
                (Node::Slot(place, Kind::Enum(names)), Node::Text(text)) => {
                    match names.number(&text) {
                        Some(number) => Node::EnumIn(place, Box::new([number]), negated),
                        None => Node::Constant(Value::Bool(negated)),
                    }
                }
                (left, Node::Text(text)) => match text_source(left) {
                    Ok(source) => Node::TextIs(source, text, negated),
                    Err(left) => general(relation, left, Node::Text(text)),
                },
                (left, right) => general(relation, left, right),
            }
        }
        Relation::In => match (left, right) {
            (Node::Text(text), Node::Repeated(place, field))
                if matches!(field.shape, Shape::List(Kind::Text)) =>
            {
                Node::RepeatedHas(place, field.number, text)
            }
            (left, Node::List(elements)) => text_in(left, elements),
            (left, right) => general(relation, left, right),
        },
        Relation::Less | Relation::LessOrEqual | Relation::Greater | Relation::GreaterOrEqual => {
            general(relation, left, right)
        }
    }
}

fn text_in(left: Node, elements: Box<[(Node, bool)]>) -> Node {
    let literals: Option<Vec<Box<str>>> = elements
        .iter()
        .map(|element| match element {
            (Node::Text(text), false) => Some(text.clone()),
            _ => None,
        })
        .collect();
    let Some(literals) = literals else {
        return general(Relation::In, left, Node::List(elements));
    };
    if let Node::Slot(place, Kind::Enum(names)) = left {
        let numbers = literals
            .iter()
            .filter_map(|literal| names.number(literal))
            .collect();
        return Node::EnumIn(place, numbers, false);
    }
    match text_source(left) {
        Ok(source) => Node::TextIn(source, literals.into()),
        Err(left) => general(Relation::In, left, Node::List(elements)),
    }
}

/// Compiles `startsWith` and `endsWith` with a literal argument to specialized nodes. Otherwise compiles the call.
pub(super) fn text_test(name: &str, mut nodes: Vec<Node>, function: &'static Function) -> Node {
    let literal = match (name, nodes.as_slice()) {
        ("startsWith" | "endsWith", [_, Node::Text(text)]) => text.clone(),
        _ => return Node::Call(function, nodes.into()),
    };
    let target = nodes.swap_remove(0);
    match (text_source(target), name) {
        (Ok(source), "startsWith") => Node::TextStarts(source, literal),
        (Ok(source), _) => Node::TextEnds(source, literal),
        (Err(target), _) => Node::Call(function, Box::new([target, Node::Text(literal)])),
    }
}

/// Returns the source of a text that can be read without creating a value, or the unchanged node.
fn text_source(node: Node) -> Result<TextSource, Node> {
    match node {
        Node::Slot(place @ FieldPosition { .. }, Kind::Text) => Ok(TextSource::Slot(place)),
        Node::Member(Member::Text(number), _) => Ok(TextSource::Host(number)),
        Node::Index {
            operand,
            index,
            optional: false,
        } => match (*operand, *index) {
            (Node::Member(Member::Fields(number), _), Node::Text(name)) => {
                Ok(TextSource::Entry(number, name))
            }
            (operand, index) => Err(Node::Index {
                operand: Box::new(operand),
                index: Box::new(index),
                optional: false,
            }),
        },
        Node::Select {
            operand,
            field,
            optional: false,
        } => match *operand {
            Node::Member(Member::Fields(number), _) => Ok(TextSource::Entry(number, field)),
            operand => Err(Node::Select {
                operand: Box::new(operand),
                field,
                optional: false,
            }),
        },
        other => Err(other),
    }
}

fn general(relation: Relation, left: Node, right: Node) -> Node {
    Node::Relation(relation, Box::new(left), Box::new(right))
}

fn hint(left: &Type, right: &Type) -> Option<String> {
    match (left, right) {
        (Type::Timestamp, Type::Text) | (Type::Text, Type::Timestamp) => {
            Some("wrap the text: timestamp(\"2026-01-02T15:04:05Z\")".to_owned())
        }
        (Type::Duration, Type::Text) | (Type::Text, Type::Duration) => {
            Some("wrap the text: duration(\"1h30m\")".to_owned())
        }
        (Type::Int, Type::Double) | (Type::Double, Type::Int) => {
            Some("convert with int(…) or double(…)".to_owned())
        }
        (Type::Text, _) | (_, Type::Text) => Some("convert with string(…)".to_owned()),
        _ => None,
    }
}

struct Signatures {
    negate: Vec<Signature>,
    equality: Vec<Signature>,
    order: Vec<Signature>,
    add: Vec<Signature>,
    subtract: Vec<Signature>,
    multiply: Vec<Signature>,
    remainder: Vec<Signature>,
    contained: Vec<Signature>,
}

impl Signatures {
    fn of(&'static self, operator: Operator, mixed: bool) -> &'static [Signature] {
        let strict = |signatures: &'static [Signature], count| {
            let first = signatures.get(..count).unwrap_or(signatures);
            if mixed { signatures } else { first }
        };
        match operator {
            Operator::Arithmetic(Arithmetic::Add) => &self.add,
            Operator::Arithmetic(Arithmetic::Subtract) => &self.subtract,
            Operator::Arithmetic(Arithmetic::Multiply | Arithmetic::Divide) => &self.multiply,
            Operator::Arithmetic(Arithmetic::Remainder) => &self.remainder,
            Operator::Relation(Relation::Equal | Relation::NotEqual) => strict(&self.equality, 1),
            Operator::Relation(Relation::In) => strict(&self.contained, 2),
            Operator::Relation(
                Relation::Less
                | Relation::LessOrEqual
                | Relation::Greater
                | Relation::GreaterOrEqual,
            ) => &self.order,
        }
    }
}

static SIGNATURES: LazyLock<Signatures> = LazyLock::new(|| {
    let read = |lines: &[&str]| {
        lines
            .iter()
            .copied()
            .filter_map(signature)
            .collect::<Vec<_>>()
    };
    let mixed = [
        "int, uint -> bool",
        "int, double -> bool",
        "uint, int -> bool",
        "uint, double -> bool",
        "double, int -> bool",
        "double, uint -> bool",
    ];
    let equality = [&["A, A -> bool"][..], &mixed].concat();
    let order = [
        &[
            "bool, bool -> bool",
            "int, int -> bool",
            "uint, uint -> bool",
            "double, double -> bool",
            "string, string -> bool",
            "bytes, bytes -> bool",
            "timestamp, timestamp -> bool",
            "duration, duration -> bool",
        ][..],
        &mixed,
    ]
    .concat();
    Signatures {
        negate: read(&["int -> int", "double -> double"]),
        equality: read(&equality),
        order: read(&order),
        add: read(&[
            "int, int -> int",
            "uint, uint -> uint",
            "double, double -> double",
            "string, string -> string",
            "bytes, bytes -> bytes",
            "list(A), list(A) -> list(A)",
            "duration, duration -> duration",
            "timestamp, duration -> timestamp",
            "duration, timestamp -> timestamp",
        ]),
        subtract: read(&[
            "int, int -> int",
            "uint, uint -> uint",
            "double, double -> double",
            "timestamp, timestamp -> duration",
            "timestamp, duration -> timestamp",
            "duration, duration -> duration",
        ]),
        multiply: read(&[
            "int, int -> int",
            "uint, uint -> uint",
            "double, double -> double",
        ]),
        remainder: read(&["int, int -> int", "uint, uint -> uint"]),
        contained: read(&[
            "A, list(A) -> bool",
            "A, map(A, B) -> bool",
            "int, list(double) -> bool",
            "int, list(uint) -> bool",
        ]),
    }
});
