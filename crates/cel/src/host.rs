//! The interface between an evaluation and the values that it reads on demand.

use crate::{
    part::{Fields, HostField},
    value::Value,
};

/// Reads the fields of the [`Part`](crate::Part)s of `ctx`, one field a call.
///
/// The evaluation calls only the method that the [`Member`](crate::Member) of the field names.
pub trait Host: Sync {
    /// Returns a text, or `""` if it is not set.
    fn text(&self, field: HostField) -> &str;
    /// Returns a map of texts.
    fn fields(&self, field: HostField) -> &dyn Fields;
    /// Returns any other value, or the default value of the field if it is not set.
    fn value(&self, field: HostField) -> Value<'_>;
}
