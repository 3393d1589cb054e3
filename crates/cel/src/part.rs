//! Messages of `ctx` that the host reads on demand, such as the current request.

use crate::schema::MessageType;

/// Named texts that are read on demand, such as the headers or the query parameters of a request.
pub trait Fields: Sync {
    /// Returns the first value of `name`.
    fn get(&self, name: &str) -> Option<&str>;
    /// Calls `visit` once for each name, with its first value.
    fn each(&self, visit: &mut dyn FnMut(&str, &str));
}

/// A message whose fields the host reads on demand.
///
/// Expressions see it as a message of its type. It is never encoded, and fields that no expression refers to are not
/// read.
pub struct Part {
    /// Type of the message.
    pub message: &'static MessageType,
    /// Returns how to read the field with this name, or `None` if the host never sets the field.
    pub member: fn(&str) -> Option<Member>,
    /// Field that yields as a bool whether the message is set. If `None`, the message is always set.
    pub presence: Option<HostField>,
}

/// The accessor for a field of a [`Part`].
#[derive(Clone, Copy)]
pub enum Member {
    /// Another part.
    Part(&'static Part),
    /// A part that another field yields too. Its JSON is in that field only.
    Alias(&'static Part),
    /// A text. [`Host::text`](crate::Host::text) reads it.
    Text(HostField),
    /// A map of texts. [`Host::fields`](crate::Host::fields) reads it. A missing key has the value `""`.
    Fields(HostField),
    /// Another value. [`Host::value`](crate::Host::value) reads it.
    Value(HostField),
}

/// The number of a field of a host. The host assigns the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostField(pub u16);
