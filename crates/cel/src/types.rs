//! Types of expressions, and the type inference of the checker.

use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::schema::{EnumType, Field, Kind, MessageType, Shape};

/// The type of an expression.
#[derive(Clone)]
pub enum Type {
    /// A type that is known only at run time.
    Dyn,
    /// `null`
    Null,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `uint`
    Uint,
    /// `double`
    Double,
    /// `string`
    Text,
    /// `bytes`
    Bytes,
    /// `google.protobuf.Timestamp`
    Timestamp,
    /// `google.protobuf.Duration`
    Duration,
    /// A list, by the type of its elements.
    List(Arc<Type>),
    /// A map, by the types of its keys and its values.
    Map(Arc<Type>, Arc<Type>),
    /// The type of types.
    Meta,
    /// A message.
    Message(&'static MessageType),
    /// A text that is one of the names of an enum.
    Enum(&'static EnumType),
    /// `optional_type` and other types that are distinguished by name.
    Opaque(Arc<str>, Arc<[Type]>),
    /// A type parameter of a signature.
    Parameter(Arc<str>),
    /// A type parameter during inference.
    Variable(u32),
}

impl Type {
    /// Returns the type of a list of `element`.
    pub fn list(element: Type) -> Self {
        Self::List(Arc::new(element))
    }

    /// Returns the type of a map from `key` to `value`.
    pub fn map(key: Type, value: Type) -> Self {
        Self::Map(Arc::new(key), Arc::new(value))
    }

    /// Returns the type of an expression that selects a field.
    pub fn of_field(field: &Field) -> Self {
        match field.shape {
            Shape::One(kind) | Shape::Explicit(kind) => Self::of_kind(kind),
            Shape::List(kind) => Self::list(Self::of_kind(kind)),
            Shape::Map(key, value) => Self::map(Self::of_kind(key), Self::of_kind(value)),
        }
    }

    /// Returns the type of a value of a field.
    pub fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::Bool => Self::Bool,
            Kind::Int
            | Kind::Uint
            | Kind::Zigzag
            | Kind::Fixed32
            | Kind::Signed32
            | Kind::Fixed64 => Self::Int,
            Kind::Float | Kind::Double => Self::Double,
            Kind::Text => Self::Text,
            Kind::Bytes => Self::Bytes,
            Kind::Enum(names) => Self::Enum(names),
            Kind::Timestamp => Self::Timestamp,
            Kind::Duration => Self::Duration,
            Kind::Object => Self::map(Self::Text, Self::Dyn),
            Kind::Json => Self::Dyn,
            Kind::Array => Self::list(Self::Dyn),
            Kind::Message(message) => Self::Message(message.get()),
        }
    }

    pub(crate) fn optional(inner: Type) -> Self {
        Self::Opaque(Arc::from(OPTIONAL), Arc::from([inner]))
    }

    /// Returns the type inside of an optional.
    pub(crate) fn as_optional(&self) -> Option<&Type> {
        match self {
            Self::Opaque(name, parameters) if &**name == OPTIONAL => parameters.first(),
            _ => None,
        }
    }

    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b)) => a.same(b),
            (Self::Map(a, b), Self::Map(c, d)) => a.same(c) && b.same(d),
            (Self::Message(a), Self::Message(b)) => std::ptr::eq(*a, *b),
            (Self::Enum(a), Self::Enum(b)) => std::ptr::eq(*a, *b),
            (Self::Opaque(a, x), Self::Opaque(b, y)) => {
                a == b && x.len() == y.len() && x.iter().zip(y.iter()).all(|(x, y)| x.same(y))
            }
            (Self::Parameter(a), Self::Parameter(b)) => a == b,
            (Self::Variable(a), Self::Variable(b)) => a == b,
            _ => self.is_simple() && std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    fn is_simple(&self) -> bool {
        !matches!(
            self,
            Self::List(_)
                | Self::Map(..)
                | Self::Message(_)
                | Self::Enum(_)
                | Self::Opaque(..)
                | Self::Parameter(_)
                | Self::Variable(_)
        )
    }
}

/// Name of the type of optionals.
pub(crate) const OPTIONAL: &str = "optional_type";

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn | Self::Variable(_) => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::Text => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::List(element) => write!(f, "list({element})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Meta => f.write_str("type"),
            Self::Message(message) => f.write_str(message.short_name()),
            Self::Enum(names) => write!(f, "string (a {})", names.short_name()),
            Self::Opaque(name, parameters) => {
                f.write_str(name)?;
                for (index, parameter) in parameters.iter().enumerate() {
                    f.write_str(if index == 0 { "(" } else { ", " })?;
                    write!(f, "{parameter}")?;
                }
                f.write_str(if parameters.is_empty() { "" } else { ")" })
            }
            Self::Parameter(name) => f.write_str(name),
        }
    }
}

/// The inferred types of type variables.
#[derive(Clone, Default)]
pub(crate) struct Inference {
    solved: BTreeMap<u32, Type>,
    next: u32,
}

impl Inference {
    pub(crate) fn fresh(&mut self) -> Type {
        self.next += 1;
        Type::Variable(self.next)
    }

    /// Replaces the type parameters of a signature with fresh variables. `names` holds the variables of one call.
    pub(crate) fn instantiate(&mut self, ty: &Type, names: &mut BTreeMap<Arc<str>, Type>) -> Type {
        match ty {
            Type::Parameter(name) => {
                if let Some(known) = names.get(name) {
                    return known.clone();
                }
                let fresh = self.fresh();
                names.insert(name.clone(), fresh.clone());
                fresh
            }
            Type::List(element) => Type::list(self.instantiate(element, names)),
            Type::Map(key, value) => {
                Type::map(self.instantiate(key, names), self.instantiate(value, names))
            }
            Type::Opaque(name, parameters) => Type::Opaque(
                name.clone(),
                parameters
                    .iter()
                    .map(|parameter| self.instantiate(parameter, names))
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    /// Resolves the outermost part of a type.
    pub(crate) fn shallow(&self, ty: &Type) -> Type {
        let mut current = ty;
        while let Type::Variable(id) = current {
            match self.solved.get(id) {
                Some(next) => current = next,
                None => break,
            }
        }
        current.clone()
    }

    /// Resolves a type completely. Unknown parts become `dyn`.
    pub(crate) fn resolve(&self, ty: &Type) -> Type {
        match self.shallow(ty) {
            Type::Variable(_) | Type::Parameter(_) => Type::Dyn,
            Type::List(element) => Type::list(self.resolve(&element)),
            Type::Map(key, value) => Type::map(self.resolve(&key), self.resolve(&value)),
            Type::Opaque(name, parameters) => Type::Opaque(
                name,
                parameters
                    .iter()
                    .map(|parameter| self.resolve(parameter))
                    .collect(),
            ),
            other => other,
        }
    }

    /// Returns whether a value of type `from` can be used as `to`. If so, keeps what this implies about variables.
    pub(crate) fn assign(&mut self, to: &Type, from: &Type) -> bool {
        let before = self.solved.clone();
        let fits = self.assignable(to, from);
        if !fits {
            self.solved = before;
        }
        fits
    }

    /// Assigns several types at once, like [`Self::assign`].
    pub(crate) fn assign_all(&mut self, to: &[Type], from: &[Type]) -> bool {
        if to.len() != from.len() {
            return false;
        }
        let before = self.solved.clone();
        let fits = from
            .iter()
            .zip(to)
            .all(|(from, to)| self.assignable(from, to));
        if !fits {
            self.solved = before;
        }
        fits
    }

    /// Returns whether two types are the same after resolution.
    pub(crate) fn same(&self, first: &Type, second: &Type) -> bool {
        self.resolve(first).same(&self.resolve(second))
    }

    /// Returns the common type of two elements of a literal.
    pub(crate) fn join(&mut self, previous: &Type, current: &Type) -> Type {
        if self.assign(previous, current) {
            return most_general(previous, current);
        }
        match (self.shallow(previous), self.shallow(current)) {
            (Type::Enum(_), Type::Enum(_)) => Type::Text,
            _ => Type::Dyn,
        }
    }

    fn assignable(&mut self, first: &Type, second: &Type) -> bool {
        if let Type::Variable(id) = second {
            let (valid, known) = self.substitute(first, *id, second);
            if valid {
                return true;
            }
            if known {
                return false;
            }
        }
        if let Type::Variable(id) = first {
            return self.substitute(second, *id, first).0;
        }
        match (first, second) {
            (Type::Dyn, _)
            | (_, Type::Dyn)
            | (Type::Enum(_), Type::Text)
            | (Type::Text, Type::Enum(_)) => true,
            (Type::Null, other) | (other, Type::Null) => matches!(
                other,
                Type::Null | Type::Duration | Type::Timestamp | Type::Opaque(..) | Type::Message(_)
            ),
            (Type::List(a), Type::List(b)) => self.assignable(a, b),
            (Type::Map(a, b), Type::Map(c, d)) => self.assignable(a, c) && self.assignable(b, d),
            (Type::Opaque(a, x), Type::Opaque(b, y)) => {
                a == b
                    && x.len() == y.len()
                    && x.iter().zip(y.iter()).all(|(x, y)| self.assignable(x, y))
            }
            _ => first.same(second),
        }
    }

    /// Binds the variable `id` to `ty`. Returns whether this is consistent, and whether a type was known before.
    fn substitute(&mut self, ty: &Type, id: u32, variable: &Type) -> (bool, bool) {
        if ty.same(variable) {
            return (true, true);
        }
        if let Some(known) = self.solved.get(&id).cloned() {
            if ty.same(&known) {
                return (true, true);
            }
            if !self.assignable(ty, &known) {
                return (false, true);
            }
            let general = most_general(ty, &known);
            if !self.occurs(id, &general) {
                self.solved.insert(id, general);
            }
            return (true, true);
        }
        if self.occurs(id, ty) {
            return (false, false);
        }
        self.solved.insert(id, ty.clone());
        (true, false)
    }

    fn occurs(&self, id: u32, ty: &Type) -> bool {
        match ty {
            Type::Variable(other) => {
                *other == id
                    || self
                        .solved
                        .get(other)
                        .is_some_and(|next| self.occurs(id, next))
            }
            Type::List(element) => self.occurs(id, element),
            Type::Map(key, value) => self.occurs(id, key) || self.occurs(id, value),
            Type::Opaque(_, parameters) => parameters.iter().any(|inner| self.occurs(id, inner)),
            _ => false,
        }
    }
}

fn most_general(first: &Type, second: &Type) -> Type {
    match (first, second) {
        (Type::Enum(a), Type::Enum(b)) if !std::ptr::eq(*a, *b) => Type::Text,
        (Type::Enum(_), Type::Text) => Type::Text,
        // A nullable type is more general than null.
        (Type::Null, other) | (other, Type::Null) => other.clone(),
        _ if less_specific(first, second) => first.clone(),
        _ => second.clone(),
    }
}

fn less_specific(first: &Type, second: &Type) -> bool {
    match (first, second) {
        (Type::Dyn | Type::Variable(_), _) | (Type::Meta, Type::Meta) => true,
        (_, Type::Dyn | Type::Variable(_)) => false,
        (Type::Opaque(a, x), Type::Opaque(b, y)) => {
            a == b && x.len() == y.len() && x.iter().zip(y.iter()).all(|(x, y)| less_specific(x, y))
        }
        (Type::List(a), Type::List(b)) => less_specific(a, b),
        (Type::Map(a, b), Type::Map(c, d)) => less_specific(a, c) && less_specific(b, d),
        _ => first.same(second),
    }
}
