//! What a decision is about.

use api::core_v1;

/// Named values of a request that are read one by one: headers (names in lower case), query parameters.
pub trait Fields: Sync {
    /// The first value of that name.
    fn get(&self, name: &str) -> Option<&str>;
    /// Every name with its first value.
    fn each(&self, visit: &mut dyn FnMut(&str, &str));
}

/// No values at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFields;

impl Fields for NoFields {
    fn get(&self, _name: &str) -> Option<&str> {
        None
    }

    fn each(&self, _visit: &mut dyn FnMut(&str, &str)) {}
}

/// `ctx.request`: borrowed, and read only where a Policy asks for it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Address of the client.
    pub ip: &'a str,
    /// HTTP method.
    pub method: &'a str,
    /// Canonical path, without the query.
    pub path: &'a str,
    /// Path with the query.
    pub uri: &'a str,
    /// Host, without the port.
    pub host: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Such as `HTTP/1.1`.
    pub protocol: &'a str,
    /// Length of the body in bytes.
    pub size: i64,
    /// Headers, names in lower case.
    pub headers: &'a dyn Fields,
    /// Query parameters.
    pub query: &'a dyn Fields,
    /// The body where it was read, otherwise empty.
    pub body: &'a [u8],
    /// The body as JSON object where it was read and is one.
    pub body_map: Option<&'a prost_types::Struct>,
    /// Present for a gRPC call.
    pub grpc: Option<Grpc<'a>>,
}

/// `ctx.request.grpc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grpc<'a> {
    /// Such as `octelium.api.main.core.v1`.
    pub package: &'a str,
    /// Such as `MainService`.
    pub service: &'a str,
    /// Package and service.
    pub service_full_name: &'a str,
    /// Such as `ListUser`.
    pub method: &'a str,
}

/// Who asks: the part of `ctx` and the Policies that a Session brings, made once per change of them.
pub struct Subject {}

impl Subject {
    /// Takes what Policies may read from the resources, which may then change.
    pub fn new(
        _user: &core_v1::User,
        _groups: &[core_v1::Group],
        _session: &core_v1::Session,
        _device: Option<&core_v1::Device>,
    ) -> Self {
        Self {}
    }
}

/// What is asked for: the part of `ctx` and the Policies that a Service brings.
pub struct Target {}

impl Target {
    /// Takes what Policies may read from the resources, which may then change.
    pub fn new(
        _service: &core_v1::Service,
        _namespace: &core_v1::Namespace,
        _cluster: Option<&core_v1::ClusterConfig>,
    ) -> Self {
        Self {}
    }
}
