//! The result of a check.

/// A problem found in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding(pub String);
