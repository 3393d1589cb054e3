//! Requests that are described by an administrator instead of received by the gateway.

use std::fmt;

use api::{core_v1, platform_v1::DecisionRequest};

use crate::{Fields, Grpc, QueryView, Request};

/// A request built from a description, with defaults for missing values.
///
/// It is parsed like a received request: header names in any case, and the query and the gRPC method by the same code.
/// Requests that the gateway rejects before it evaluates Policies, such as a path with `..`, are rejected here too if
/// the description shows it.
pub struct Described {
    method: String,
    path: String,
    query: Option<String>,
    uri: String,
    host: String,
    scheme: String,
    protocol: String,
    ip: String,
    size: i64,
    headers: Pairs,
    is_grpc: bool,
    /// Missing values and the defaults used for them.
    assumptions: Vec<String>,
}

/// A Policy read an ambiguous part of the request. The gateway answers such a request with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misread;

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a Policy reads a query parameter that is repeated or malformed; the gateway answers 400",
        )
    }
}

impl std::error::Error for Misread {}

impl Described {
    /// Builds a request to `service` from its description.
    ///
    /// # Errors
    /// Returns a message if the description has values that no accepted request can have.
    pub fn new(request: &DecisionRequest, service: &core_v1::Service) -> Result<Self, String> {
        let mut assumptions = Vec::new();
        let mut or = |given: &str, default: &str, what: &str| {
            if given.is_empty() {
                assumptions.push(format!("no {what} is given: {}", quoted(default)));
                default.to_owned()
            } else {
                given.to_owned()
            }
        };
        let mode = service.spec.as_ref().map(core_v1::service::Spec::mode);
        let speaks_grpc = mode == Some(core_v1::service::spec::Mode::Grpc);
        let method = or(
            &request.method,
            if speaks_grpc { "POST" } else { "GET" },
            "method",
        );
        let path = or(&request.path, "/", "path");
        let host = or(&request.host, "", "host");
        let ip = or(&request.ip, "", "address of the client");
        let scheme = or(&request.scheme, "https", "scheme");
        let protocol = or(&request.protocol, "HTTP/2.0", "protocol");
        if request.headers.is_empty() {
            assumptions.push("no headers are given: the request has none".to_owned());
        }
        if !path.starts_with('/') || path.contains(['?', '#']) {
            return Err("path: it must begin with / and have no query".to_owned());
        }
        if !path
            .bytes()
            .chain(request.query.bytes())
            .all(|byte| byte.is_ascii_graphic())
        {
            return Err("path and query: other characters must be encoded with %".to_owned());
        }
        if request.size < 0 {
            return Err("size: it cannot be negative".to_owned());
        }
        let mut headers = Pairs::default();
        for (name, value) in &request.headers {
            let name = name.to_ascii_lowercase();
            if name.is_empty() || headers.get(&name).is_some() {
                return Err(format!("headers: {name} is given twice, or empty"));
            }
            headers.0.push((name, value.clone()));
        }
        // As in the gateway, only the mode of the Service makes a request a gRPC call; its content type does not.
        if speaks_grpc {
            match headers.get("content-type") {
                None => {
                    assumptions
                        .push("the Service uses gRPC: the request is a gRPC call".to_owned());
                }
                Some(content_type) if Grpc::is_content_type(content_type.as_bytes()) => {}
                Some(_) => {
                    return Err(
                        "content-type: a Service of mode GRPC accepts only gRPC calls".to_owned(),
                    );
                }
            }
        }
        if speaks_grpc && Grpc::of_path(&path).is_none() {
            return Err("path: a gRPC call has the path /package.Service/Method".to_owned());
        }
        let query = (!request.query.is_empty()).then(|| request.query.clone());
        let uri = match &query {
            Some(query) => format!("{path}?{query}"),
            None => path.clone(),
        };
        Ok(Self {
            method,
            path,
            query,
            uri,
            host: host.to_ascii_lowercase(),
            scheme,
            protocol,
            ip,
            size: request.size,
            headers,
            is_grpc: speaks_grpc,
            assumptions,
        })
    }

    /// Returns one line for each missing value, with the default used for it.
    pub fn assumptions(&self) -> &[String] {
        &self.assumptions
    }

    /// Runs `read` with the request as Policies see it.
    ///
    /// # Errors
    /// Returns [`Misread`] if `read` asked for a value that makes the gateway answer 400.
    pub fn with<R>(&self, read: impl FnOnce(&Request<'_>) -> R) -> Result<R, Misread> {
        let query = QueryView::new(self.query.as_deref());
        let call = Grpc::of_path(&self.path).filter(|_| self.is_grpc && self.query.is_none());
        let output = read(&Request {
            ip: &self.ip,
            method: &self.method,
            path: &self.path,
            uri: &self.uri,
            host: &self.host,
            scheme: &self.scheme,
            protocol: &self.protocol,
            size: self.size,
            headers: &self.headers,
            query: &query,
            body: &[],
            body_map: None,
            grpc: call,
        });
        if query.was_misread() {
            Err(Misread)
        } else {
            Ok(output)
        }
    }
}

fn quoted(default: &str) -> String {
    match default {
        "" => "it is empty".to_owned(),
        default => format!("{default} is assumed"),
    }
}

/// Headers, with names in lower case.
#[derive(Default)]
struct Pairs(Vec<(String, String)>);

impl Fields for Pairs {
    fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        pairs
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        for (name, value) in &self.0 {
            visit(name, value);
        }
    }
}
