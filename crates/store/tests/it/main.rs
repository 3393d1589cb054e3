//! One suite, run against every backend.

mod conformance;
mod fixture;
