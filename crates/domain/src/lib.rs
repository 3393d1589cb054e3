//! The rules of the platform as pure functions: no input or output, and time and randomness are parameters.

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
mod reference;
pub mod rng;
pub mod scope;
pub mod service;
pub mod session;
pub mod token;
