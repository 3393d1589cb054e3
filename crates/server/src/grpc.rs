//! The gRPC surface: one file a service, each method being extract, use case, convert.

pub mod status;
