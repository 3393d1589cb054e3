//! Values during evaluation. Values of `ctx` are borrowed.

use std::{fmt, net::IpAddr, sync::Arc};

use crate::{
    Fields,
    schema::{Kind, MessageType},
};

#[derive(Clone)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Str(&'a str),
    Text(Arc<str>),
    Slice(&'a [u8]),
    Bytes(Arc<[u8]>),
    Timestamp(Instant),
    /// A duration in nanoseconds.
    Duration(i64),
    List(Arc<[Value<'a>]>),
    Map(Arc<Map<'a>>),
    /// An encoded message.
    Message(&'static MessageType, &'a [u8]),
    /// A repeated field of an encoded message.
    Repeated(Repeated<'a>),
    /// A map field of an encoded message.
    Mapped(Repeated<'a>, Kind),
    /// An encoded `google.protobuf.Struct`.
    Object(&'a [u8]),
    Struct(&'a prost_types::Struct),
    StructList(&'a [prost_types::Value]),
    Fields(&'a dyn Fields),
    /// A part of `ctx.request`.
    Request(RequestPart),
    Type(Arc<str>),
    Optional(Option<Arc<Value<'a>>>),
    Ip(IpAddr),
    Cidr(IpAddr, u8),
}

/// A repeated field: the message that contains it, and its number.
#[derive(Clone, Copy)]
pub(crate) struct Repeated<'a> {
    pub(crate) message: &'a [u8],
    pub(crate) number: u32,
    pub(crate) kind: Kind,
}

/// A message of `ctx.request` that is not stored as an encoded message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RequestPart {
    Request,
    Http,
    Grpc,
}

/// A point in time, as Unix time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant {
    pub(crate) seconds: i64,
    /// 0 to 999,999,999
    pub(crate) nanos: u32,
}

/// A map that an expression created. Keys are also indexed in sorted order.
#[derive(Default)]
pub(crate) struct Map<'a> {
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
    pub(crate) fn insert(&mut self, key: Value<'a>, value: Value<'a>) -> bool {
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

    pub(crate) fn get(&self, key: &Value<'_>) -> Option<&Value<'a>> {
        let index = self.index.get(&Key::of(key)?)?;
        self.entries.get(*index).map(|(_, value)| value)
    }

    pub(crate) fn entries(&self) -> &[(Value<'a>, Value<'a>)] {
        &self.entries
    }
}

impl<'a> Value<'a> {
    /// Returns the text of a string.
    #[inline]
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Slice(bytes) => Some(bytes),
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn list(elements: Vec<Value<'a>>) -> Self {
        Self::List(Arc::from(elements))
    }

    pub(crate) fn some(value: Value<'a>) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// Returns the name of the value's type, as `type(x)` does.
    pub(crate) fn type_name(&self) -> &str {
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
            Self::Request(part) => match part {
                RequestPart::Request => "octelium.api.main.core.v1.RequestContext.Request",
                RequestPart::Http => "octelium.api.main.core.v1.RequestContext.Request.HTTP",
                RequestPart::Grpc => "octelium.api.main.core.v1.RequestContext.Request.GRPC",
            },
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
