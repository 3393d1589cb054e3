//! Pure rules of the platform: nothing here does input or output, reads a clock or rolls dice by itself.

pub mod address;
pub mod address_prefix;
pub mod authenticator;
pub mod clock;
pub mod columns;
pub mod configuration;
pub mod credential;
pub mod device;
pub mod duration;
pub mod id;
pub mod kind;
pub mod name;
pub mod rng;
pub mod scope;
pub mod service;
pub mod session;
pub mod token;
