//! The request that Policies decide.

/// Named values of a request that are read on demand: headers (names in lower case) or query parameters.
pub trait Fields: Sync {
    /// Returns the first value of `name`.
    fn get(&self, name: &str) -> Option<&str>;
    /// Calls `visit` once for each name, with its first value.
    fn each(&self, visit: &mut dyn FnMut(&str, &str));
}

/// A set of [`Fields`] without values.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFields;

impl Fields for NoFields {
    fn get(&self, _name: &str) -> Option<&str> {
        None
    }

    fn each(&self, _visit: &mut dyn FnMut(&str, &str)) {}
}

/// The `ctx.request` of an expression. Values are borrowed and read only if an expression refers to them.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// IP address of the client.
    pub ip: &'a str,
    /// HTTP method.
    pub method: &'a str,
    /// Canonical path, without the query.
    pub path: &'a str,
    /// Path with the query.
    pub uri: &'a str,
    /// Host name, without the port.
    pub host: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Protocol version, such as `HTTP/1.1`.
    pub protocol: &'a str,
    /// Length of the body, in bytes.
    pub size: i64,
    /// Headers, with names in lower case.
    pub headers: &'a dyn Fields,
    /// Query parameters.
    pub query: &'a dyn Fields,
    /// Body, or empty if it was not read.
    pub body: &'a [u8],
    /// Body as a JSON object, if it was read and is one.
    pub body_map: Option<&'a prost_types::Struct>,
    /// gRPC method, if the request is a gRPC call.
    pub grpc: Option<Grpc<'a>>,
}

/// The `ctx.request.grpc` of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grpc<'a> {
    /// Package name, such as `octelium.api.main.core.v1`.
    pub package: &'a str,
    /// Service name without the package, such as `MainService`.
    pub service: &'a str,
    /// Package and service name, such as `octelium.api.main.core.v1.MainService`.
    pub service_full_name: &'a str,
    /// Method name, such as `ListUser`.
    pub method: &'a str,
    /// Encoded `RequestContext.Request.GRPC.Target` of a call to the Cluster's own API, or empty.
    pub target: &'a [u8],
}

impl<'a> Grpc<'a> {
    /// Returns whether `value` is the content type of a gRPC call: `application/grpc` with or without a suffix.
    ///
    /// gRPC-Web is treated as plain HTTP.
    pub fn is_content_type(value: &[u8]) -> bool {
        match value.split_at_checked(b"application/grpc".len()) {
            Some((kind, suffix)) => {
                kind.eq_ignore_ascii_case(b"application/grpc")
                    && matches!(suffix.first(), None | Some(b'+' | b';' | b' '))
            }
            None => false,
        }
    }

    /// Parses `/package.Service/Method`. Returns `None` for any other path.
    pub fn of_path(path: &'a str) -> Option<Self> {
        let (service_full_name, method) = path.strip_prefix('/')?.split_once('/')?;
        let identifiers = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
        };
        let (package, service) = service_full_name
            .rsplit_once('.')
            .unwrap_or(("", service_full_name));
        let whole = !service.is_empty() && !method.is_empty();
        (whole && identifiers(service_full_name) && identifiers(method)).then_some(Self {
            package,
            service,
            service_full_name,
            method,
            target: &[],
        })
    }
}
