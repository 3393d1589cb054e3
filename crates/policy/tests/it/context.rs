//! Tests of the fields and values of `ctx`.

use rstest::rstest;

use crate::support::{grpc_request, holds, holds_for};

#[rstest]
// Enums are compared by their bare names and behave as text.
#[case(r#"ctx.user.spec.type == "HUMAN""#)]
#[case(r#""HUMAN" == ctx.user.spec.type"#)]
#[case(r#"ctx.user.spec.type != "WORKLOAD""#)]
#[case(r#"ctx.user.spec.type in ["WORKLOAD", "HUMAN"]"#)]
#[case(r#"ctx.user.spec.type.startsWith("HU")"#)]
#[case(r#"ctx.session.status.authentication.info.aal == "AAL2""#)]
#[case(r#"{"HUMAN": true}[ctx.user.spec.type]"#)]
// Unset fields have their default values.
#[case("ctx.session.status.isBrowser == false")]
#[case("!ctx.session.status.isBrowser")]
#[case(r#"ctx.user.spec.info.phone == """#)]
#[case("size(ctx.session.status.scopes) == 0")]
#[case(r#"ctx.device.status.osType == "OS_TYPE_UNKNOWN""#)]
#[case("!has(ctx.device) && has(ctx.session)")]
#[case("!has(ctx.session.status.connection) && has(ctx.session.spec.expiresAt)")]
#[case("!has(ctx.user.spec.info.phone) && has(ctx.user.spec.email)")]
// Every integer has type int and compares with double literals.
#[case("ctx.session.status.totalAuthentications == 7")]
#[case("ctx.session.status.totalAuthentications == 7.0")]
#[case("ctx.session.status.totalAuthentications < 7.5")]
#[case("ctx.service.spec.port == 8080")]
#[case("ctx.request.http.size > 1000")]
#[case("ctx.user.spec.attrs.level == 3")]
#[case("ctx.user.spec.attrs.level >= 2.5")]
// Timestamps.
#[case("ctx.session.spec.expiresAt > now()")]
#[case("timestamp(ctx.session.spec.expiresAt) > now()")]
#[case("ctx.session.spec.expiresAt - now() < duration('48h')")]
#[case("time.isWeekend(now()) && !time.isWeekday(now())")]
#[case(r#"time.isWeekendInTZ(now(), "Europe/Berlin")"#)]
#[case(r#"time.isWeekdayInTZ(now() + duration("22h"), "Asia/Tokyo")"#)]
// A missing key is an empty text in a map of texts and null in a Struct. `has` tests for presence.
#[case(r#"ctx.user.metadata.labels.team == "red""#)]
#[case(r#"ctx.user.metadata.labels["team"] == "red""#)]
#[case(r#"ctx.user.metadata.labels.nothing == """#)]
#[case(r#""team" in ctx.user.metadata.labels && !("x" in ctx.user.metadata.labels)"#)]
#[case("has(ctx.user.metadata.labels.team) && !has(ctx.user.metadata.labels.x)")]
#[case("ctx.user.spec.attrs.nothing == null && !has(ctx.user.spec.attrs.nothing.more)")]
#[case(r#"ctx.user.spec.attrs.nested.a == "b" && has(ctx.user.spec.attrs.nested.a)"#)]
#[case(r#"ctx.request.http.headers["x-env"] == "prod""#)]
#[case(r#"ctx.request.http.headers.accept == "*/*""#)]
#[case(r#"ctx.request.http.headers["x-nothing"] == """#)]
#[case(r#"!("x-nothing" in ctx.request.http.headers) && "x-env" in ctx.request.http.headers"#)]
#[case(r#"ctx.request.http.queryParams.limit == """#)]
#[case(r#"ctx.request.http.headers.exists(name, name.startsWith("x-"))"#)]
#[case("size(ctx.request.http.headers) == 2")]
// The request.
#[case(r#"ctx.request.ip == "10.1.2.3" && net.isIPInRange(ctx.request.ip, "10.0.0.0/8")"#)]
#[case("net.isPrivateIP(ctx.request.ip) && net.isIPv4(ctx.request.ip)")]
#[case(r#"ctx.request.http.method in ["GET", "HEAD"]"#)]
#[case(r#"ctx.request.http.path.startsWith("/admin/")"#)]
#[case(r#"ctx.request.http.path.matches("^/admin/[a-z]+$")"#)]
#[case(r#"ctx.request.http.host.endsWith(".example.com")"#)]
#[case(r#"ctx.request.http.scheme == "https" && ctx.request.http.protocol == "HTTP/2.0""#)]
#[case(r#"ctx.request.http.uri.contains("limit=")"#)]
#[case("ctx.request.http.body == b'body'")]
#[case("ctx.request.http.bodyMap.amount > 12")]
#[case("has(ctx.request.http) && !has(ctx.request.grpc) && !has(ctx.request.ssh)")]
#[case(r#"ctx.request.ssh.connect.user == """#)]
// Groups, and the names of the User's groups.
#[case(r#""dev" in ctx.user.spec.groups && !("hr" in ctx.user.spec.groups)"#)]
#[case(r#"ctx.user.spec.groups.hasAny(["hr", "ops"]) && ctx.user.spec.groups.hasAll(["dev"])"#)]
#[case(r#"ctx.groups.exists(group, group.metadata.name == "ops")"#)]
#[case(r#"ctx.groups.map(group, group.metadata.name) == ["dev", "ops"]"#)]
#[case("size(ctx.groups) == 2 && ctx.groups[1].metadata.uid == 'uid-ops'")]
// Both forms of the details of an authenticator.
#[case("ctx.session.status.authentication.info.authenticator.info.fido.isHardware")]
#[case("ctx.session.status.authentication.info.authenticator.isHardware")]
#[case("ctx.session.status.authentication.info.authenticator.userVerified")]
#[case("!ctx.session.status.authentication.info.authenticator.isSoftware")]
#[case("has(ctx.session.status.authentication.info.authenticator.isHardware)")]
#[case(r#"ctx.session.status.authentication.info.authenticator.aaguid.startsWith("cb69481e")"#)]
#[case("!has(ctx.session.status.authentication.info.credential)")]
// Functions beyond the standard.
#[case("ctx.user.spec.email.toUpper().toLower() == ctx.user.spec.email")]
#[case(r#"json.parse('{"a": [1, 2.5]}').a[1] == 2.5"#)]
#[case(r#"json.marshal({"a": [1, true]}) == '{"a":[1,true]}'"#)]
#[case("json.marshal(ctx.user.spec.attrs.nested) == '{\"a\":\"b\"}'")]
#[case("[3, 1, 2].min() == 1 && [3, 1, 2].max() == 3")]
#[case(r#"base64.decode("YQ==") == b"a""#)]
#[case(r#"cel.bind(mail, ctx.user.spec.email, mail.endsWith("@example.com") && mail != "")"#)]
#[case(r#"ctx.user.spec.email.split("@")[1] == "example.com""#)]
fn holds_for_alice(#[case] source: &str) {
    assert_eq!(holds(source), Ok(true), "{source}");
}

#[rstest]
#[case(r#"ctx.request.grpc.method == "ListUser""#)]
#[case(r#"ctx.request.grpc.package == "octelium.api.main.core.v1""#)]
#[case(r#"ctx.request.grpc.serviceFullName.endsWith("MainService")"#)]
#[case("has(ctx.request.grpc) && has(ctx.request.http)")]
#[case(r#"ctx.request.http.path == "/admin/users" && ctx.request.grpc.http.method == "GET""#)]
fn holds_for_a_grpc_call(#[case] source: &str) {
    assert_eq!(holds_for(source, &grpc_request()), Ok(true), "{source}");
}

#[rstest]
#[case("ip('::ffff:c0a8:1') == ip('192.168.0.1') && ip('::ffff:c0a8:1').family() == 4")]
#[case("cidr('192.168.0.0/24').containsIP('::ffff:c0a8:1')")]
#[case("cidr('192.168.0.0/24').containsIP(ip('::ffff:c0a8:1'))")]
#[case("cidr('::ffff:c0a8:0/120').containsIP('192.168.0.1')")]
#[case("cidr('::ffff:c0a8:0/120') == cidr('192.168.0.0/24')")]
#[case("cidr('::ffff:c0a8:0/120').containsCIDR('192.168.0.0/25')")]
#[case("ip('::ffff:7f00:1').isLoopback() && !ip.isCanonical('::ffff:7f00:1')")]
#[case(
    "!cidr('::/0').containsIP('::ffff:c0a8:1') && cidr('0.0.0.0/0').containsIP('::ffff:c0a8:1')"
)]
#[case("net.isIPInRange('::ffff:192.168.0.1', '192.168.0.0/24')")]
#[case("net.isIPInRange('::ffff:c0a8:1', '192.168.0.0/24')")]
#[case("net.isIPInRange('192.168.0.1', '::ffff:192.168.0.0/120')")]
#[case("net.isPrivateIP('::ffff:10.0.0.1') && net.isIP('::ffff:10.0.0.1')")]
#[case("!isIP('::ffff:192.168.0.1') && !isCIDR('::ffff:192.168.0.1/120') && isIP('::ffff:c0a8:1')")]
#[case("ip('::1.2.3.4').family() == 6")]
fn an_ipv4_mapped_address_is_the_ipv4_address_g13(#[case] source: &str) {
    assert_eq!(holds(source), Ok(true), "{source}");
}

#[rstest]
#[case("ip('::ffff:192.168.0.1').family() == 4")]
#[case("cidr('::ffff:192.168.0.1/24').prefixLength() == 24")]
#[case("cidr('192.168.0.0/24').containsIP('::ffff:192.168.0.1')")]
#[case("cidr('192.168.0.0/24').containsCIDR('::ffff:192.168.0.0/120')")]
#[case("ip.isCanonical('::ffff:192.168.0.1')")]
fn dotted_ipv4_mapped_addresses_are_errors_g13(#[case] source: &str) {
    let error = holds(source).unwrap_err();
    assert!(error.contains("IPv4-mapped"), "{source}: {error}");
}

#[rstest]
#[case(r#"json.parse('{"role": "user", "role": "admin"}').role == "admin""#)]
#[case(r#"json.parse('{"a": {"b": 1, "\\u0062": 2}}').a.b == 2"#)]
#[case(r#"json.parse('{"$serde_json::private::RawValue": "{}"}') == {}"#)]
fn ambiguous_json_never_satisfies_a_condition_c25(#[case] source: &str) {
    assert_ne!(holds(source), Ok(true), "{source}");
}

#[test]
fn errors_name_what_failed_and_no_values() {
    let error = holds("ctx.user.spec.groups[9] == 'x'").unwrap_err();
    assert_eq!(error, "index out of bounds");
    let error = holds("int(ctx.user.spec.email) == 1").unwrap_err();
    assert!(!error.contains("alice"), "{error}");
}
