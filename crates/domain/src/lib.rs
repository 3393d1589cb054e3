//! Pure rules of the platform: nothing here does input or output, reads a clock or rolls dice by itself.

pub mod clock;
pub mod id;
pub mod kind;
pub mod rng;
