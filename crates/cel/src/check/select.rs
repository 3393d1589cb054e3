//! Checks field selection, `has` and indexes.

use super::{Checked, Checker, suggest};
use crate::{
    ast::{Expr, Mistake},
    context::Source,
    document::Slot,
    node::{FieldPosition, Node},
    parser::qualified_name,
    part::Member,
    schema::{Field, Kind, MessageType, Shape},
    types::Type,
    value::Value,
};

impl Checker<'_> {
    pub(super) fn select(
        &mut self,
        expr: &Expr,
        operand: &Expr,
        field: &str,
        optional: bool,
    ) -> Checked {
        if let Some(name) = qualified_name(expr)
            && !optional
            && !self.begins_with_local(&name)
            && let Some(found) = self.declared(&name)
        {
            return found;
        }
        let (node, ty) = self.check(operand);
        if optional {
            return self.optional_select(expr.offset, (node, ty), field);
        }
        self.field(expr.offset, (node, ty), field)
    }

    fn begins_with_local(&self, name: &str) -> bool {
        let first = name.split('.').next().unwrap_or_default();
        self.locals.iter().any(|(local, _)| local == first)
    }

    fn field(&mut self, offset: u32, (node, ty): Checked, name: &str) -> Checked {
        match self.inference.shallow(&ty) {
            Type::Message(message) => {
                if let Some(path) = message.alias(name) {
                    return path.iter().fold((node, ty), |checked, step| {
                        self.field(offset, checked, step)
                    });
                }
                let Some(field) = message.field(name) else {
                    return self.mistake(unknown_field(offset, message, name));
                };
                (self.message_field(node, field), Type::of_field(field))
            }
            Type::Map(_, value) => (dynamic(node, name, false), (*value).clone()),
            Type::Dyn => (dynamic(node, name, false), Type::Dyn),
            Type::Variable(_) => {
                self.inference.assign(&Type::Dyn, &ty);
                (dynamic(node, name, false), Type::Dyn)
            }
            other => {
                if let Some(inner) = other.as_optional().cloned() {
                    let inner = self.selected_type(offset, &inner, name);
                    return (dynamic(node, name, false), Type::optional(inner));
                }
                let checked = (dynamic(node, name, false), Type::Dyn);
                self.mistakes
                    .push(Mistake::new(offset, format!("{other} has no fields")));
                checked
            }
        }
    }

    /// Returns the type of field `name` of a value of type `ty`.
    fn selected_type(&mut self, offset: u32, ty: &Type, name: &str) -> Type {
        match self.inference.shallow(ty) {
            Type::Map(_, value) => (*value).clone(),
            Type::Message(message) => match message.field(name) {
                Some(field) => Type::of_field(field),
                None => self.mistake(unknown_field(offset, message, name)).1,
            },
            Type::Dyn | Type::Variable(_) => Type::Dyn,
            other => match other.as_optional().cloned() {
                Some(inner) => self.selected_type(offset, &inner, name),
                None => {
                    self.mistake(Mistake::new(offset, format!("{other} has no fields")))
                        .1
                }
            },
        }
    }

    fn optional_select(&mut self, offset: u32, (node, ty): Checked, name: &str) -> Checked {
        let inner = self.selected_type(offset, &ty, name);
        (dynamic(node, name, true), Type::optional(inner))
    }

    fn message_field(&self, node: Node, field: &'static Field) -> Node {
        match node {
            Node::Context => self.context_field(field),
            Node::Slot(place, Kind::Message(_)) => {
                if field.shape.is_plural() {
                    return Node::Repeated(place, field);
                }
                match (self.child(place, field), field.shape) {
                    (Some(slot), Shape::One(kind) | Shape::Explicit(kind)) => {
                        Node::Slot(FieldPosition { slot, ..place }, kind)
                    }
                    _ => Node::Field(Box::new(node), field),
                }
            }
            Node::Part(part) => match (part.member)(&field.name) {
                Some(Member::Part(inner) | Member::Alias(inner)) => Node::Part(inner),
                Some(member @ (Member::Text(_) | Member::Fields(_) | Member::Value(_))) => {
                    Node::Member(member, field)
                }
                None => Node::Field(Box::new(node), field),
            },
            other => Node::Field(Box::new(other), field),
        }
    }

    fn child(&self, place: FieldPosition, field: &Field) -> Option<Slot> {
        let context = self.environment.context?;
        context
            .layout(place.document)
            .child(place.slot, field.number)
    }

    fn context_field(&self, field: &'static Field) -> Node {
        let Some(context) = self.environment.context else {
            return Node::Context;
        };
        let document = match context.source(field) {
            Source::Document(document) => document,
            Source::Part(part) => return Node::Part(part),
        };
        let place = FieldPosition {
            document,
            slot: Slot::ROOT,
        };
        match (self.child(place, field), field.shape) {
            (Some(slot), Shape::One(kind) | Shape::Explicit(kind)) => {
                Node::Slot(FieldPosition { document, slot }, kind)
            }
            _ => Node::Repeated(place, field),
        }
    }

    pub(super) fn has(
        &mut self,
        offset: u32,
        operand: &Expr,
        name: &str,
        _optional: bool,
    ) -> Checked {
        let (node, ty) = self.check(operand);
        let shallow = self.inference.shallow(&ty);
        if let Type::Message(message) = shallow {
            if message.alias(name).is_some() {
                let operand = Box::new(node);
                return (
                    Node::Has {
                        operand,
                        field: Box::from(name),
                    },
                    Type::Bool,
                );
            }
            let Some(field) = message.field(name) else {
                return self.mistake(unknown_field(offset, message, name));
            };
            return (self.presence(node, field), Type::Bool);
        }
        if !matches!(shallow, Type::Map(..) | Type::Dyn | Type::Variable(_))
            && shallow.as_optional().is_none()
        {
            self.mistakes
                .push(Mistake::new(offset, format!("{shallow} has no fields")));
        }
        (
            Node::Has {
                operand: Box::new(node),
                field: Box::from(name),
            },
            Type::Bool,
        )
    }

    fn presence(&self, node: Node, field: &'static Field) -> Node {
        match self.message_field(node, field) {
            Node::Slot(place, _) => Node::HasSlot(place),
            Node::Repeated(place, field) => Node::HasRepeated(place, field),
            Node::Part(part) if part.presence.is_none() => Node::Constant(Value::Bool(true)),
            Node::Part(part) => Node::HasPart(part),
            Node::Member(member, field) => Node::HasMember(member, field),
            Node::Field(operand, field) => Node::Has {
                operand,
                field: Box::from(field.name.as_str()),
            },
            other => Node::Has {
                operand: Box::new(other),
                field: Box::from(field.name.as_str()),
            },
        }
    }

    pub(super) fn index(
        &mut self,
        offset: u32,
        operand: &Expr,
        index: &Expr,
        optional: bool,
    ) -> Checked {
        let (operand_node, operand_type) = self.value(operand);
        let (index_node, index_type) = self.value(index);
        let shallow = self.inference.shallow(&operand_type);
        let (container, was_optional) = match shallow.as_optional() {
            Some(inner) => (self.inference.shallow(inner), true),
            None => (shallow, false),
        };
        let (fits, element) = match container {
            Type::List(element) => {
                let fits = self.inference.assign(&Type::Int, &index_type);
                (fits, (*element).clone())
            }
            Type::Map(key, value) => {
                let numeric = self.environment.context.is_some()
                    && is_number(&self.inference.shallow(&key))
                    && is_number(&self.inference.shallow(&index_type));
                (
                    numeric || self.inference.assign(&key, &index_type),
                    (*value).clone(),
                )
            }
            Type::Dyn | Type::Variable(_) => {
                self.inference.assign(&Type::Dyn, &container);
                (true, Type::Dyn)
            }
            other => {
                self.mistakes
                    .push(Mistake::new(offset, format!("{other} has no elements")));
                (true, Type::Dyn)
            }
        };
        if !fits {
            let index_type = self.inference.resolve(&index_type);
            let container = self.inference.resolve(&operand_type);
            self.mistakes.push(Mistake::new(
                index.offset,
                format!("{container} is not indexed by {index_type}"),
            ));
        }
        let ty = if optional || was_optional {
            Type::optional(element)
        } else {
            element
        };
        let node = Node::Index {
            operand: Box::new(operand_node),
            index: Box::new(index_node),
            optional,
        };
        (node, ty)
    }
}

fn is_number(ty: &Type) -> bool {
    matches!(ty, Type::Int | Type::Uint | Type::Double)
}

fn dynamic(node: Node, field: &str, optional: bool) -> Node {
    Node::Select {
        operand: Box::new(node),
        field: Box::from(field),
        optional,
    }
}

fn unknown_field(offset: u32, message: &MessageType, name: &str) -> Mistake {
    let known = || message.fields.iter().map(|field| field.name.as_str());
    let aliases = message.aliases.iter().map(|(alias, _)| *alias);
    let owner = message.short_name();
    let mut mistake = Mistake::new(offset, format!("{owner} has no field `{name}`"));
    mistake.suggestion = suggest::suggestion(name, known().chain(aliases));
    if mistake.suggestion.is_none() && message.fields.len() <= 12 {
        let names: Vec<&str> = known().collect();
        mistake.suggestion = Some(format!("its fields are {}", names.join(", ")));
    }
    mistake
}
