//! Control plane: use cases, gRPC API, authentication endpoints, OAuth2.

pub mod resource;
