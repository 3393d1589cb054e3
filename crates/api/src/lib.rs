//! The contract between clients and Cluster: protobuf messages, gRPC services, and the YAML and JSON documents of
//! resources.
//!
//! A resource is one protobuf message end to end: API, stored document and policy context.

pub mod codec;
pub mod document;
mod generated;
pub mod reflect;
pub mod resource;

pub use generated::octelium::{
    api::{
        client::config::v1 as config_v1,
        main::{
            auth::v1 as auth_v1, core::v1 as core_v1, meta::v1 as meta_v1, user::v1 as user_v1,
        },
    },
    platform::v1 as platform_v1,
};
