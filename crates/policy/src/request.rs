//! The request that Policies decide.

use std::sync::LazyLock;

use cel::{Fields, Host, HostField, Member, Part, Value, schema::MessageType};

use crate::schema;

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

/// Returns the `ctx.request` of an expression.
pub(crate) fn part() -> &'static Part {
    static REQUEST: LazyLock<Part> = LazyLock::new(|| Part {
        message: message("Request"),
        member: |name| {
            Some(match name {
                "ip" => Member::Text(IP),
                "http" => Member::Part(http()),
                "grpc" => Member::Part(grpc()),
                _ => return None,
            })
        },
        presence: None,
    });
    &REQUEST
}

/// Returns the `ctx.request.http`. It is present in every request.
fn http() -> &'static Part {
    static HTTP: LazyLock<Part> = LazyLock::new(|| Part {
        message: message("Request.HTTP"),
        member: |name| {
            Some(match name {
                "method" => Member::Text(METHOD),
                "path" => Member::Text(PATH),
                "uri" => Member::Text(URI),
                "host" => Member::Text(HOST),
                "scheme" => Member::Text(SCHEME),
                "protocol" => Member::Text(PROTOCOL),
                "size" => Member::Value(SIZE),
                "headers" => Member::Fields(HEADERS),
                "queryParams" => Member::Fields(QUERY),
                "body" => Member::Value(BODY),
                "bodyMap" => Member::Value(BODY_MAP),
                _ => return None,
            })
        },
        presence: None,
    });
    &HTTP
}

/// Returns the `ctx.request.grpc`. Its `http` is that of the request.
fn grpc() -> &'static Part {
    static GRPC: LazyLock<Part> = LazyLock::new(|| Part {
        message: message("Request.GRPC"),
        member: |name| {
            Some(match name {
                "http" => Member::Alias(http()),
                "package" => Member::Text(GRPC_PACKAGE),
                "service" => Member::Text(GRPC_SERVICE),
                "serviceFullName" => Member::Text(GRPC_SERVICE_FULL_NAME),
                "method" => Member::Text(GRPC_METHOD),
                "target" => Member::Value(GRPC_TARGET),
                _ => return None,
            })
        },
        presence: Some(IS_GRPC),
    });
    &GRPC
}

/// Returns a message in `RequestContext`.
fn message(name: &str) -> &'static MessageType {
    schema::message(&format!("octelium.api.main.core.v1.RequestContext.{name}"))
}

// Texts.
const IP: HostField = HostField(0);
const METHOD: HostField = HostField(1);
const PATH: HostField = HostField(2);
const URI: HostField = HostField(3);
const HOST: HostField = HostField(4);
const SCHEME: HostField = HostField(5);
const PROTOCOL: HostField = HostField(6);
const GRPC_PACKAGE: HostField = HostField(7);
const GRPC_SERVICE: HostField = HostField(8);
const GRPC_SERVICE_FULL_NAME: HostField = HostField(9);
const GRPC_METHOD: HostField = HostField(10);
// Maps of texts.
const HEADERS: HostField = HostField(11);
const QUERY: HostField = HostField(12);
// Other values.
const SIZE: HostField = HostField(13);
const BODY: HostField = HostField(14);
const BODY_MAP: HostField = HostField(15);
const GRPC_TARGET: HostField = HostField(16);
const IS_GRPC: HostField = HostField(17);

/// Each field is read by the method that its [`Member`] names. A test checks that no field is left out.
impl Host for Request<'_> {
    fn text(&self, field: HostField) -> &str {
        let grpc = self.grpc.as_ref();
        match field {
            IP => self.ip,
            METHOD => self.method,
            PATH => self.path,
            URI => self.uri,
            HOST => self.host,
            SCHEME => self.scheme,
            PROTOCOL => self.protocol,
            GRPC_PACKAGE => grpc.map_or("", |grpc| grpc.package),
            GRPC_SERVICE => grpc.map_or("", |grpc| grpc.service),
            GRPC_SERVICE_FULL_NAME => grpc.map_or("", |grpc| grpc.service_full_name),
            GRPC_METHOD => grpc.map_or("", |grpc| grpc.method),
            _ => "",
        }
    }

    fn fields(&self, field: HostField) -> &dyn Fields {
        match field {
            HEADERS => self.headers,
            QUERY => self.query,
            _ => &NoFields,
        }
    }

    fn value(&self, field: HostField) -> Value<'_> {
        static TARGET: LazyLock<&MessageType> = LazyLock::new(|| message("Request.GRPC.Target"));
        match field {
            SIZE => Value::Int(self.size),
            BODY => Value::Slice(self.body),
            BODY_MAP => match self.body_map {
                Some(object) => Value::Struct(object),
                None => Value::Object(&[]),
            },
            GRPC_TARGET => Value::Message(&TARGET, self.grpc.map_or(&[], |grpc| grpc.target)),
            IS_GRPC => Value::Bool(self.grpc.is_some()),
            _ => Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;

    impl Fields for One {
        fn get(&self, name: &str) -> Option<&str> {
            (name == "a").then_some("b")
        }

        fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
            visit("a", "b");
        }
    }

    /// Asserts that the host reads every field of a part, and returns their names.
    fn read(request: &Request<'_>, part: &Part) -> Vec<String> {
        let mut names = Vec::new();
        for field in &part.message.fields {
            let Some(member) = (part.member)(&field.name) else {
                continue;
            };
            let is_read = match member {
                Member::Part(_) | Member::Alias(_) => true,
                Member::Text(number) => !request.text(number).is_empty(),
                Member::Fields(number) => request.fields(number).get("a") == Some("b"),
                Member::Value(number) => !matches!(request.value(number), Value::Null),
            };
            assert!(is_read, "{}.{}", part.message.name, field.name);
            names.push(field.name.clone());
        }
        names
    }

    #[test]
    fn every_field_of_the_request_is_read() {
        let request = Request {
            ip: "ip",
            method: "method",
            path: "path",
            uri: "uri",
            host: "host",
            scheme: "scheme",
            protocol: "protocol",
            size: 1,
            headers: &One,
            query: &One,
            body: b"body",
            body_map: None,
            grpc: Some(Grpc {
                package: "package",
                service: "service",
                service_full_name: "service_full_name",
                method: "method",
                target: b"target",
            }),
        };
        assert_eq!(read(&request, part()), ["http", "grpc", "ip"]);
        // Every field of the two messages, so a field of the contract that the host does not read is noticed.
        for part in [http(), grpc()] {
            let declared = part.message.fields.iter().map(|field| field.name.clone());
            assert_eq!(read(&request, part), declared.collect::<Vec<_>>());
        }
    }
}
