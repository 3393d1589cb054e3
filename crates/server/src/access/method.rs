//! The API method of a request.

use std::{collections::BTreeSet, sync::LazyLock};

use prost_reflect::MethodDescriptor;

use crate::budget::{ANONYMOUS_MESSAGE, MESSAGE, PLATFORM_MESSAGE, Shape};

/// Full names of the methods with a streaming response.
static STREAMING: LazyLock<BTreeSet<String>> =
    LazyLock::new(|| methods(MethodDescriptor::is_server_streaming));

/// Full names of the methods with a streaming request.
static CLIENT_STREAMING: LazyLock<BTreeSet<String>> =
    LazyLock::new(|| methods(MethodDescriptor::is_client_streaming));

fn methods(is_wanted: fn(&MethodDescriptor) -> bool) -> BTreeSet<String> {
    let methods = api::reflect::pool()
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>());
    methods
        .filter(is_wanted)
        .map(|method| method.full_name().to_owned())
        .collect()
}

/// The parts of a path `/<package>.<Service>/<Method>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Method<'a> {
    pub(super) package: &'a str,
    pub(super) service: &'a str,
    pub(super) service_full_name: &'a str,
    pub(super) name: &'a str,
}

impl<'a> Method<'a> {
    /// Parses a path. Returns `None` if it does not have exactly this form.
    pub(super) fn parse(path: &'a str) -> Option<Self> {
        let (service_full_name, name) = path.strip_prefix('/')?.split_once('/')?;
        let (package, service) = service_full_name.rsplit_once('.')?;
        let is_name = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let is_valid = package.split('.').all(is_name) && is_name(service) && is_name(name);
        is_valid.then_some(Self {
            package,
            service,
            service_full_name,
            name,
        })
    }

    /// Returns whether the method needs no authentication. A login precedes any token, and health and reflection are
    /// public.
    pub(super) fn is_anonymous(self) -> bool {
        matches!(
            self.service_full_name,
            "octelium.api.main.auth.v1.MainService"
                | "grpc.health.v1.Health"
                | "grpc.reflection.v1.ServerReflection"
                | "grpc.reflection.v1alpha.ServerReflection"
        )
    }

    /// Returns whether an unauthenticated caller can keep the response open without a time limit.
    pub(super) fn is_endless(self) -> bool {
        match self.service_full_name {
            "grpc.health.v1.Health" => self.name == "Watch",
            "grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection" => {
                true
            }
            _ => false,
        }
    }

    /// Returns whether the method is defined in the contract.
    pub(super) fn is_known(self) -> bool {
        let service = api::reflect::pool().get_service_by_name(self.service_full_name);
        service.is_some_and(|service| service.methods().any(|method| method.name() == self.name))
    }

    /// Returns whether the response is a stream. A stream can outlive its authorization.
    pub(super) fn is_streaming(self) -> bool {
        STREAMING.contains(&self.full_name())
    }

    /// Returns the maximum size of a message in bytes, and the shape of the request body.
    pub(super) fn body(self) -> (usize, Shape) {
        let most = match self.service_full_name {
            _ if self.is_anonymous() => ANONYMOUS_MESSAGE,
            "octelium.platform.v1.MainService" => PLATFORM_MESSAGE,
            _ => MESSAGE,
        };
        let is_stream = matches!(
            self.service_full_name,
            "grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection"
        ) || self.is_client_streaming();
        let shape = if is_stream {
            Shape::Messages
        } else {
            Shape::Message
        };
        (most, shape)
    }

    /// Returns whether the request is a stream.
    pub(super) fn is_client_streaming(self) -> bool {
        CLIENT_STREAMING.contains(&self.full_name())
    }

    fn full_name(self) -> String {
        format!("{}.{}", self.service_full_name, self.name)
    }

    /// Returns the package name used in scopes: `core` for `octelium.api.main.core.v1`.
    pub(super) fn short_package(self) -> &'a str {
        let inner = self
            .package
            .strip_prefix("octelium.api.main.")
            .or_else(|| self.package.strip_prefix("octelium."));
        inner
            .and_then(|inner| inner.strip_suffix(".v1"))
            .unwrap_or(self.package)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_exactly_two_parts_of_plain_names() {
        let method = Method::parse("/octelium.api.main.core.v1.MainService/GetUser").unwrap();
        assert_eq!(method.package, "octelium.api.main.core.v1");
        assert_eq!((method.service, method.name), ("MainService", "GetUser"));
        assert_eq!(method.short_package(), "core");
        let ours = Method::parse("/octelium.platform.v1.MainService/Apply").unwrap();
        assert_eq!(ours.short_package(), "platform");
        for path in [
            "",
            "/",
            "octelium.api.main.core.v1.MainService/GetUser",
            "/octelium.api.main.core.v1.MainService/",
            "/octelium.api.main.core.v1.MainService/GetUser/",
            "//octelium.api.main.core.v1.MainService/GetUser",
            "/octelium.api.main.auth.v1.MainService/../octelium.api.main.core.v1.MainService/GetUser",
            "/octelium.api.main.core.v1.MainService/Get%55ser",
            "/octelium..core.v1.MainService/GetUser",
            "/MainService/GetUser",
        ] {
            assert_eq!(Method::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_reply_is_a_stream_where_the_contract_says_so() {
        let is_streaming = |path| Method::parse(path).unwrap().is_streaming();
        assert!(is_streaming("/octelium.platform.v1.MainService/Watch"));
        assert!(is_streaming(
            "/octelium.api.main.user.v1.MainService/Connect"
        ));
        let connect = Method::parse("/octelium.api.main.user.v1.MainService/Connect").unwrap();
        let watch = Method::parse("/octelium.platform.v1.MainService/Watch").unwrap();
        assert!(connect.is_client_streaming() && !watch.is_client_streaming());
        assert!(!is_streaming("/octelium.platform.v1.MainService/Apply"));
        let is_known = |path| Method::parse(path).unwrap().is_known();
        assert!(is_known("/octelium.platform.v1.MainService/Apply"));
        assert!(!is_known("/octelium.platform.v1.MainService/ApplyX"));
        assert!(!is_known("/octelium.platform.v1.Service/Apply"));
        assert!(!is_streaming(
            "/octelium.api.main.core.v1.MainService/DeleteCredential"
        ));
    }

    #[test]
    fn anonymous_messages_are_small_s02() {
        let body = |path| Method::parse(path).unwrap().body();
        let small = (64 * 1024, Shape::Message);
        assert_eq!(body("/octelium.api.main.auth.v1.MainService/Logout"), small);
        assert_eq!(body("/grpc.health.v1.Health/Watch"), small);
        assert_eq!(
            body("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
            (64 * 1024, Shape::Messages)
        );
        assert_eq!(
            body("/octelium.api.main.user.v1.MainService/Connect"),
            (MESSAGE, Shape::Messages)
        );
        assert_eq!(
            body("/octelium.platform.v1.MainService/Apply"),
            (PLATFORM_MESSAGE, Shape::Message)
        );
    }

    #[test]
    fn only_login_and_what_is_public_is_anonymous() {
        let is_anonymous = |path| Method::parse(path).unwrap().is_anonymous();
        assert!(is_anonymous(
            "/octelium.api.main.auth.v1.MainService/Logout"
        ));
        assert!(is_anonymous("/grpc.health.v1.Health/Check"));
        assert!(!is_anonymous(
            "/octelium.api.main.core.v1.MainService/GetUser"
        ));
        assert!(!is_anonymous(
            "/octelium.api.main.user.v1.MainService/GetStatus"
        ));
        assert!(!is_anonymous("/octelium.platform.v1.MainService/Apply"));
        assert!(!is_anonymous(
            "/octelium.api.main.auth.v1.MainServiceX/Logout"
        ));
    }
}
