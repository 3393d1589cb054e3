//! Tests of the policy engine through its public surface.

mod checks;
mod context;
mod decisions;
mod hostile;
mod laws;
mod lists;
mod support;
