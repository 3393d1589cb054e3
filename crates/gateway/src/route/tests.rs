//! Services that compile, and those that do not.
