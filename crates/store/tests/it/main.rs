//! One suite, run against every backend, and what is particular to one.

mod conformance;
mod durability;
mod fixture;
mod maintenance;
mod postgres;
mod sealing;
