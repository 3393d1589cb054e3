//! Values during evaluation. Values of `ctx` are borrowed.

use std::{fmt, net::IpAddr, sync::Arc};

use crate::{
    part::{Fields, Part},
    schema::{Kind, MessageType},
};

/// A value during evaluation. One type can have several representations, such as encoded and decoded messages.
#[derive(Clone)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `uint`
    Uint(u64),
    /// `double`
    Double(f64),
    /// A borrowed string.
    Str(&'a str),
    /// A string that an expression created.
    Text(Arc<str>),
    /// Borrowed bytes.
    Slice(&'a [u8]),
    /// Bytes that an expression created.
    Bytes(Arc<[u8]>),
    /// A timestamp.
    Timestamp(Instant),
    /// A duration in nanoseconds.
    Duration(i64),
    /// A list that an expression created.
    List(Arc<[Value<'a>]>),
    /// A map that an expression created.
    Map(Arc<Map<'a>>),
    /// An encoded message.
    Message(&'static MessageType, &'a [u8]),
    /// A repeated field of an encoded message.
    Repeated(Repeated<'a>),
    /// A map field of an encoded message.
    Mapped(Repeated<'a>, Kind),
    /// An encoded `google.protobuf.Struct`.
    Object(&'a [u8]),
    /// A decoded `google.protobuf.Struct`.
    Struct(&'a prost_types::Struct),
    /// A decoded `google.protobuf.ListValue`.
    StructList(&'a [prost_types::Value]),
    /// A map of texts that the host reads on demand.
    Fields(&'a dyn Fields),
    /// A message that the host reads on demand.
    Part(&'static Part),
    /// A type, by its name.
    Type(Arc<str>),
    /// An optional value.
    Optional(Option<Arc<Value<'a>>>),
    /// An IP address.
    Ip(IpAddr),
    /// A network: its address and the length of its prefix.
    Cidr(IpAddr, u8),
}

/// A repeated field: the message that contains it, its number, and the kind of its elements.
#[derive(Clone, Copy)]
pub struct Repeated<'a> {
    pub(crate) message: &'a [u8],
    pub(crate) number: u32,
    pub(crate) kind: Kind,
}

/// A point in time, as Unix time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    /// Seconds since the Unix epoch.
    pub seconds: i64,
    /// 0 to 999,999,999
    pub nanos: u32,
}

/// A map that an expression created. Entries keep their order of insertion; an index finds them by key.
#[derive(Default)]
pub struct Map<'a> {
    entries: Vec<(Value<'a>, Value<'a>)>,
    index: std::collections::BTreeMap<Key, usize>,
}

/// A map key that equals keys of other numeric types.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Bool(bool),
    Number(i128),
    Text(Box<str>),
}

impl Key {
    fn of(value: &Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Number(i128::from(*value)),
            Value::Uint(value) => Self::Number(i128::from(*value)),
            Value::Double(value) if value.fract() == 0.0 && value.abs() < 1e20 =>
            {
                #[allow(clippy::cast_possible_truncation, reason = "whole and in range")]
                Self::Number(*value as i128)
            }
            other => Self::Text(Box::from(other.as_str()?)),
        })
    }
}

impl<'a> Map<'a> {
    /// Adds an entry. Returns false if the key exists already or has an invalid type.
    pub fn insert(&mut self, key: Value<'a>, value: Value<'a>) -> bool {
        let Some(index) = Key::of(&key) else {
            return false;
        };
        if matches!(key, Value::Double(_)) || self.index.contains_key(&index) {
            return false;
        }
        self.index.insert(index, self.entries.len());
        self.entries.push((key, value));
        true
    }

    /// Returns the value of a key. Numeric keys of different types are equal.
    pub fn get(&self, key: &Value<'_>) -> Option<&Value<'a>> {
        let index = self.index.get(&Key::of(key)?)?;
        self.entries.get(*index).map(|(_, value)| value)
    }

    /// Returns keys and values, in the order of their insertion.
    pub fn entries(&self) -> &[(Value<'a>, Value<'a>)] {
        &self.entries
    }
}

impl<'a> Value<'a> {
    /// Returns the text of a string.
    #[inline]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the content of bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Slice(bytes) => Some(bytes),
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Creates a string.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// Creates a list.
    pub fn list(elements: Vec<Value<'a>>) -> Self {
        Self::List(Arc::from(elements))
    }

    /// Creates an optional that has a value.
    pub fn some(value: Value<'a>) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// Returns the name of the value's type, as `type(x)` does.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Str(_) | Self::Text(_) => "string",
            Self::Slice(_) | Self::Bytes(_) => "bytes",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::List(_) | Self::Repeated(_) | Self::StructList(_) => "list",
            Self::Map(_)
            | Self::Mapped(..)
            | Self::Object(_)
            | Self::Struct(_)
            | Self::Fields(_) => "map",
            Self::Message(message, _) => &message.name,
            Self::Part(part) => &part.message.name,
            Self::Type(_) => "type",
            Self::Optional(_) => "optional_type",
            Self::Ip(_) => "net.IP",
            Self::Cidr(..) => "net.CIDR",
        }
    }
}

impl fmt::Debug for Value<'_> {
    /// Writes only the type, because values are request data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())
    }
}
