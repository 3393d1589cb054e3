//! Ambiguous requests.

use percent_encoding::percent_decode_str;
use rstest::rstest;

use crate::support::{
    Upstream, World,
    client::{get, get_authorized, send},
    service,
    world::{HOST, ServiceExt, TOKEN, matches, rule},
};

#[rstest]
#[case("/public/../admin")]
#[case("/%2e%2e/admin")]
#[case("/..;/admin")]
#[case("/a%2fb")]
#[case("/a%5cb")]
#[case("/a\\b")]
#[case("/a;b=c")]
#[case("//admin")]
#[case("/a/.")]
#[case("/a%00")]
#[case("/%252e%252e/admin")]
#[case("/%c0%ae%c0%ae/admin")]
#[tokio::test]
async fn c05_ambiguous_paths_are_refused_before_authentication(#[case] path: &str) {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let reply = get(world.address, path, &[]).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    assert!(reply.header("x-request-id").is_some());
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn c06_c07_a_policy_on_a_path_sees_the_path_of_the_upstream() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).rules(vec![rule(
        "public",
        matches(r#"ctx.request.http.path.startsWith("/public/")"#),
        true,
    )]));
    assert_eq!(
        get_authorized(world.address, "/public/a?b=c#d", &[])
            .await
            .status,
        200
    );
    assert_eq!(upstream.one().target, "/public/a?b=c");
    for target in [
        "/admin?/public/",
        "/admin?x=/public/",
        "/admin#/public/",
        "/Public/a",
    ] {
        let reply = get_authorized(world.address, target, &[]).await;
        assert_eq!(reply.status, 403, "{target}");
    }
    for target in [
        "/public//admin",
        "/public/..;/admin",
        "//public/a",
        "/public;x/a",
    ] {
        let reply = get_authorized(world.address, target, &[]).await;
        assert_eq!(reply.status, 400, "{target}");
    }
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn c08_repeated_values_mean_the_same_to_policy_and_upstream_or_are_refused() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).rules(vec![
        rule(
            "no-admin",
            matches(r#"ctx.request.http.headers["x-role"] == "admin""#),
            false,
        ),
        rule(
            "role",
            matches(r#"ctx.request.http.queryParams["role"] == "user""#),
            true,
        ),
    ]));
    let target = "/?role=user&other=1&other=2";
    assert_eq!(get_authorized(world.address, target, &[]).await.status, 200);
    assert_eq!(upstream.one().target, target);

    let fields = ["X-Role: admin", "X-Role: user"];
    assert_eq!(
        get_authorized(world.address, "/?role=user", &fields)
            .await
            .status,
        200
    );
    let seen = upstream.one();
    let roles: Vec<_> = seen
        .headers
        .iter()
        .filter(|(name, _)| name == "x-role")
        .collect();
    assert_eq!(roles, [&("x-role".to_owned(), "admin, user".to_owned())]);

    for query in [
        "role=user&role=admin",
        "role=user&%72ole=admin",
        "role=user;role=admin",
    ] {
        let reply = get_authorized(world.address, &format!("/?{query}"), &[]).await;
        assert_eq!(reply.status, 400, "{query}");
    }
    for fields in [
        ["X-Octelium-Auth: a", "X-Octelium-Auth: b"],
        ["Origin: a", "Origin: b"],
    ] {
        assert_eq!(
            get_authorized(world.address, "/?role=user", &fields)
                .await
                .status,
            400
        );
    }
    assert_eq!(upstream.seen(), []);
}

#[rstest]
#[case(&["Host: APP.example.com"], 200)]
#[case(&["Host: app.example.com:8443"], 200)]
#[case(&["Host: app.example.com."], 400)]
#[case(&["Host: app.example.com", "Host: app.example.com"], 400)]
#[case(&["Host: app.example.com", "Host: other.example.com"], 400)]
#[case(&["Host: user@app.example.com"], 400)]
#[case(&["Host: "], 400)]
#[case(&["Host: other.example.com"], 404)]
#[tokio::test]
async fn c09_one_host_routes(#[case] hosts: &[&str], #[case] status: u16) {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    assert_eq!(get(world.address, "/", hosts).await.status, status);
}

#[tokio::test]
async fn c09_an_absolute_target_must_agree_with_the_host() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let same = format!("http://{HOST}/x");
    assert_eq!(get(world.address, &same, &[]).await.status, 200);
    assert_eq!(upstream.one().target, "/x");
    let other = get(world.address, "http://other.example.com/x", &[]).await;
    assert_eq!(other.status, 400);
    let ftp = get(world.address, &format!("ftp://{HOST}/x"), &[]).await;
    assert_eq!(ftp.status, 400);
}

#[tokio::test]
async fn c09_a_host_is_matched_by_policies_without_case_and_port() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let condition = matches(r#"ctx.request.http.host == "app.example.com""#);
    world.serve(&service(&upstream.url()).rules(vec![rule("host", condition, true)]));
    let reply = get_authorized(world.address, "/", &["Host: App.Example.Com:8443"]).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn c11_no_request_is_treated_as_a_health_probe() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()));
    for target in [
        "/healthz",
        "/readyz",
        "/ping",
        "/.well-known/health",
        "/metrics",
    ] {
        for agent in ["kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0"] {
            let fields = [format!("User-Agent: {agent}")];
            let reply = get(world.address, target, &[&fields[0]]).await;
            assert_eq!(reply.status, 401);
        }
    }
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn unserved_methods_and_expectations_are_refused() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    assert_eq!(send(world.address, "TRACE", "/", &[], "").await.status, 405);
    let connect =
        format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\nConnection: close\r\n\r\n");
    let answer = crate::support::raw(world.address, connect.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 405"));
    let expectation = get(world.address, "/", &["Expect: something"]).await;
    assert_eq!(expectation.status, 417);
    assert_eq!(upstream.seen(), []);
}

/// Policies see exactly the bytes that the upstream receives.
#[tokio::test]
async fn policy_and_upstream_see_the_same_bytes() {
    let world = World::start().await;
    let (upstream, heads) = Upstream::verbatim().await;
    let targets = [
        "/",
        "/a/b/",
        "/caf%C3%A9/%E2%82%AC?x=%zz&y=a+b",
        "/A%20b/~user/(x)*!'?q=1&q=2;3&%71",
        "/100%25?",
        "/x?a=b?c=/../d//e",
        "/%41%2d%2D?%41",
        "/.well-known/a..b/...?",
    ];
    let fields = [
        "X-Plain: value",
        "X-Spaces:   a  b   ",
        "x-Case-Of-Name: Case Of Value",
        "X-Twice: one",
        "X-Twice: two",
        "X-Utf8: caf\u{e9}",
        "Cookie: a=b; octelium_auth=secret; c=d",
        "X_Under: dropped",
        "X-Octelium-User: dropped",
        "Connection: X-Named",
        "X-Named: dropped",
        "Accept: */*",
    ];
    for target in targets {
        // First all requests pass, to record what the upstream receives.
        world.serve(&service(&upstream.url()));
        assert_eq!(
            get_authorized(world.address, target, &fields).await.status,
            200
        );
        let head = String::from_utf8(heads.lock().unwrap().pop().unwrap()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let received = lines.next().unwrap().split(' ').nth(1).unwrap();
        assert_eq!(received, target);
        // Then only a request that a Policy sees as exactly that passes.
        let (path, query) = received.split_at(received.find('?').unwrap_or(received.len()));
        let path = percent_decode_str(path).decode_utf8().unwrap();
        let uri = format!("{path}{query}");
        let mut conditions = vec![
            format!("ctx.request.http.uri == {uri:?}"),
            format!("ctx.request.http.path == {path:?}"),
            r#"ctx.request.http.method == "GET""#.to_owned(),
        ];
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            if name != "host" {
                conditions.push(format!("ctx.request.http.headers[{name:?}] == {value:?}"));
            }
        }
        for absent in [
            "x_under",
            "x-octelium-user",
            "x-named",
            "authorization",
            "connection",
        ] {
            conditions.push(format!("!({absent:?} in ctx.request.http.headers)"));
        }
        let same = matches(&conditions.join(" && "));
        world.serve(&service(&upstream.url()).rules(vec![rule("same", same, true)]));
        let reply = get_authorized(world.address, target, &fields).await;
        assert_eq!(reply.status, 200, "{conditions:#?}");
        let again = String::from_utf8(heads.lock().unwrap().pop().unwrap()).unwrap();
        assert_eq!(head, again);
    }
    assert!(!TOKEN.is_empty());
}

#[tokio::test]
async fn an_escape_hides_no_path_from_a_policy_c05() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let deny = r#"ctx.request.http.path.startsWith("/admin") || ctx.request.http.uri.contains("/caf\u00e9")"#;
    world.serve(&service(&upstream.url()).rules(vec![
        rule("admin", matches(deny), false),
        rule("all", matches("true"), true),
    ]));
    for target in [
        "/admin/x",
        "/%61dmin/x",
        "/adm%69n/x",
        "/%41dmin",
        "/caf%C3%A9",
        "/caf%c3%a9?q",
    ] {
        let expected = if target == "/%41dmin" { 200 } else { 403 };
        let reply = get_authorized(world.address, target, &[]).await;
        assert_eq!(reply.status, expected, "{target}");
    }
    // It is sent on as it was.
    assert_eq!(upstream.one().target, "/%41dmin");
    assert_eq!(upstream.seen(), []);
}

#[rstest]
#[case("delete")]
#[case("Get")]
#[case("trace")]
#[tokio::test]
async fn a_method_in_lower_case_is_refused_c05(#[case] method: &str) {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let reply = send(world.address, method, "/", &[], "").await;
    assert_eq!(reply.status, 405, "{}", reply.body);
    assert_eq!(upstream.seen(), []);
}
