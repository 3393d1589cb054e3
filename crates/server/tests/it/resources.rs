//! Resources.

mod bootstrap;
