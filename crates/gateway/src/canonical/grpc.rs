//! Recognition of gRPC calls.

use http::{HeaderMap, header};
use policy::Grpc;

use crate::canonical::Ambiguity;

/// Returns true if the content type is `application/grpc`, with a `+` or `;` suffix or none. gRPC-Web is treated as
/// plain HTTP.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| Grpc::is_content_type(value.as_bytes()))
}

/// Parses `/package.Service/Method`.
pub(crate) fn parse_call<'a>(path: &'a str, query: Option<&str>) -> Result<Grpc<'a>, Ambiguity> {
    let call = Grpc::of_path(path).filter(|_| query.is_none());
    call.ok_or(Ambiguity::GrpcPath)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_call_is_named_by_its_path() {
        let call = parse_call("/octelium.api.main.core.v1.MainService/ListUser", None).unwrap();
        assert_eq!(call.package, "octelium.api.main.core.v1");
        assert_eq!(call.service, "MainService");
        assert_eq!(call.method, "ListUser");
        assert_eq!(parse_call("/Echo/Say", None).unwrap().package, "");
    }

    #[rstest]
    #[case("pkg.Service/Method", None)]
    #[case("/pkg.Service", None)]
    #[case("/pkg.Service/", None)]
    #[case("//Method", None)]
    #[case("/pkg./Method", None)]
    #[case("/pkg.Service/Method/", None)]
    #[case("/pkg.Service/Method/More", None)]
    #[case("/pkg.Service/Method", Some("x=y"))]
    #[case("/pkg.Service/Me%74hod", None)]
    fn c10_other_paths_are_not_grpc_calls(#[case] path: &str, #[case] query: Option<&str>) {
        assert_eq!(parse_call(path, query), Err(Ambiguity::GrpcPath));
    }

    #[rstest]
    #[case("application/grpc", true)]
    #[case("application/grpc+proto", true)]
    #[case("Application/gRPC; x", true)]
    #[case("application/grpc-web", false)]
    #[case("application/grpcx", false)]
    #[case("application/json", false)]
    fn the_content_type_makes_a_call(#[case] content_type: &str, #[case] expected: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        assert_eq!(is_grpc(&headers), expected);
    }
}
