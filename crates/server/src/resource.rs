//! Resources: what may be written, what follows from it, and how it is read.
//!
//! A write is planned in a [`draft::Draft`], which overlays the store with what has been staged, and commits as
//! one transaction. A single call plans one step, `apply` many; both go through the same rules, one file a kind.

pub mod codec;
pub mod index;
pub mod load;
