//! Header fields that upstreams and clients receive.

use api::core_v1::service::spec::config::http::{
    Auth, Cors, Header, Path, Response as ResponseSpec,
    auth::{self, Bearer, Custom, basic, bearer, custom},
    header::{ForwardedMode, Host, KeyValue, host, key_value},
    response::{self, Direct, direct},
};
use rstest::rstest;

use crate::support::{
    Upstream, World,
    client::{get, send},
    service,
    world::ServiceExt,
};

fn field(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        append: false,
        r#type: Some(key_value::Type::Value(value.to_owned())),
    }
}

#[rstest]
#[case(&["Connection: x-identity, close"])]
#[case(&["Connection: X-Identity"])]
#[case(&["Connection: close", "Connection: keep-alive,X-IDENTITY ,authorization"])]
#[case(&["Proxy-Connection: x-identity", "Connection: x-identity,x-identity"])]
#[tokio::test]
async fn c01_connection_cannot_take_away_what_the_gateway_adds(#[case] fields: &[&str]) {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.secret("upstream", "upstream-secret");
    world.serve(&service(&upstream.url()).anonymous().http(|http| {
        http.header = Some(Header {
            add_request_headers: vec![field("X-Identity", "ours")],
            ..Header::default()
        });
        http.auth = Some(bearer_auth("upstream"));
    }));
    let fields: Vec<&str> = fields
        .iter()
        .copied()
        .chain(["X-Identity: forged"])
        .collect();
    assert_eq!(get(world.address, "/", &fields).await.status, 200);
    let seen = upstream.one();
    assert_eq!(seen.header("x-identity"), Some("ours"));
    assert_eq!(seen.header("authorization"), Some("Bearer upstream-secret"));
    assert_eq!(seen.header("connection"), None);
    assert_eq!(seen.header("proxy-connection"), None);
}

#[tokio::test]
async fn c02_c03_identity_fields_of_a_client_never_arrive() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    let fields = [
        "X-Octelium-User: forged",
        "x-octelium-session-uid: forged",
        "X_Octelium_User: forged",
        "X-Octelium_User: forged",
        "x.octelium.user: forged",
        "X-Forwarded-User: forged",
        "X_Forwarded_User: forged",
        "X.Forwarded.User: forged",
        "X-FORWARDED-EMAIL: forged",
        "Remote_User: forged",
        "X-Kept: kept",
    ];
    assert_eq!(get(world.address, "/", &fields).await.status, 200);
    assert_eq!(upstream.one().names(), ["host", "x-kept"]);
}

#[tokio::test]
async fn c02_a_field_with_a_space_before_its_colon_is_refused() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    for field in [
        "X-Octelium-User : forged",
        "X-Octelium-User\u{ff0d}Id: forged",
        ": forged",
    ] {
        let reply = get(world.address, "/", &[field]).await;
        assert_eq!(reply.status, 400, "{field}");
    }
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn c04_what_a_client_says_of_its_connection_does_not_count() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let forged = [
        "X-Forwarded-For: 10.9.9.9",
        "X-Forwarded-Host: evil.example.com",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Uri: /admin",
        "X-Forwarded-Prefix: /admin",
        "X-Forwarded-Port: 1",
        "Forwarded: for=10.9.9.9;host=evil.example.com",
        "X-Original-URL: /admin",
        "X-Rewrite-URL: /admin",
        "X-HTTP-Method-Override: DELETE",
        "X-HTTP-Method: DELETE",
        "X-Method-Override: DELETE",
        "X-Real-IP: 10.9.9.9",
        "True-Client-IP: 10.9.9.9",
    ];
    let mode = |mode: ForwardedMode| {
        service(&upstream.url()).anonymous().http(|http| {
            http.header = Some(Header {
                forwarded_mode: mode.into(),
                ..Header::default()
            });
        })
    };
    for silent in [ForwardedMode::Unset, ForwardedMode::Drop] {
        world.serve(&mode(silent));
        assert_eq!(get(world.address, "/", &forged).await.status, 200);
        assert_eq!(upstream.one().names(), ["host"]);
    }
    world.serve(&mode(ForwardedMode::Transparent));
    assert_eq!(get(world.address, "/", &forged).await.status, 200);
    let seen = upstream.one();
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-host"), Some("app.example.com"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    let forwarded = "for=127.0.0.1;host=\"app.example.com\";proto=https";
    assert_eq!(seen.header("forwarded"), Some(forwarded));
    assert_eq!(seen.names().len(), 5);
    world.serve(&mode(ForwardedMode::Obfuscate));
    assert_eq!(get(world.address, "/", &forged).await.status, 200);
    let seen = upstream.one();
    assert_eq!(seen.header("x-forwarded-for"), None);
    let forwarded = "for=_hidden;host=\"app.example.com\";proto=https";
    assert_eq!(seen.header("forwarded"), Some(forwarded));
}

#[tokio::test]
async fn c22_our_cookies_stay_ours_in_both_directions() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[
        ("set-cookie", "octelium_auth=planted; Domain=example.com"),
        (
            "set-cookie",
            "__Host-octelium_state=planted; Secure; Path=/",
        ),
        ("set-cookie", "theirs=1; Domain=example.com; Path=/"),
        ("set-cookie", "other=2"),
        ("x-octelium-unauthorized", "true"),
        ("x-octelium-user", "forged"),
        ("alt-svc", "h3=\":443\""),
        ("connection", "x-theirs"),
        ("x-theirs", "hop by hop"),
        ("keep-alive", "timeout=5"),
        ("x-kept", "kept"),
    ])
    .await;
    world.serve(&service(&upstream.url()).anonymous());
    let cookie = "Cookie: octelium_auth=secret; a=b; __Host-octelium_x=secret; OCTELIUM_rt=secret";
    let reply = get(world.address, "/", &[cookie]).await;
    assert_eq!(upstream.one().header("cookie"), Some("a=b"));
    assert_eq!(reply.all("set-cookie"), ["theirs=1; Path=/", "other=2"]);
    for absent in [
        "x-octelium-unauthorized",
        "x-octelium-user",
        "alt-svc",
        "x-theirs",
        "keep-alive",
    ] {
        assert_eq!(reply.header(absent), None, "{absent}");
    }
    assert_eq!(reply.header("x-kept"), Some("kept"));
}

#[tokio::test]
async fn configured_fields_hosts_and_paths_are_applied() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[("server", "theirs"), ("x-removed", "1")]).await;
    let url = format!("{}/base/", upstream.url());
    world.serve(&service(&url).anonymous().http(|http| {
        http.header = Some(Header {
            add_request_headers: vec![
                field("X-Set", "new"),
                KeyValue {
                    append: true,
                    ..field("X-Appended", "two")
                },
            ],
            remove_request_headers: vec!["X-Removed".to_owned()],
            add_response_headers: vec![field("Server", "ours")],
            remove_response_headers: vec!["x-removed".to_owned()],
            host: Some(Host {
                r#type: Some(host::Type::Value("virtual.internal:81".to_owned())),
            }),
            ..Header::default()
        });
        http.path = Some(Path {
            add_prefix: "/v1".to_owned(),
            remove_prefix: "/api".to_owned(),
        });
    }));
    let fields = ["X-Set: old", "X-Appended: one", "X-Removed: 1"];
    let reply = get(world.address, "/api/things?q=1", &fields).await;
    let seen = upstream.one();
    assert_eq!(seen.target, "/base/v1/things?q=1");
    assert_eq!(seen.header("host"), Some("virtual.internal:81"));
    assert_eq!(seen.header("x-set"), Some("new"));
    let appended: Vec<_> = seen
        .headers
        .iter()
        .filter(|(name, _)| name == "x-appended")
        .collect();
    assert_eq!(appended.len(), 2);
    assert_eq!(seen.header("x-removed"), None);
    assert_eq!(reply.all("server"), ["ours"]);
    assert_eq!(reply.header("x-removed"), None);
}

#[tokio::test]
async fn the_host_is_the_upstreams_unless_it_is_preserved() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous());
    get(world.address, "/", &["Host: app.example.com:8443"]).await;
    let address = upstream.address.to_string();
    assert_eq!(upstream.one().header("host"), Some(address.as_str()));
    world.serve(&service(&upstream.url()).anonymous().http(|http| {
        http.header = Some(Header {
            host: Some(Host {
                r#type: Some(host::Type::Preserve(true)),
            }),
            ..Header::default()
        });
    }));
    get(world.address, "/", &["Host: App.Example.com:8443"]).await;
    assert_eq!(upstream.one().header("host"), Some("app.example.com:8443"));
}

fn bearer_auth(secret: &str) -> Auth {
    Auth {
        r#type: Some(auth::Type::Bearer(Bearer {
            r#type: Some(bearer::Type::FromSecret(secret.to_owned())),
        })),
    }
}

#[tokio::test]
async fn the_gateway_proves_itself_to_upstreams_from_secrets() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.secret("password", "open sesame\n");
    let basic = auth::Type::Basic(auth::Basic {
        username: "Aladdin".to_owned(),
        password: Some(basic::Password {
            r#type: Some(basic::password::Type::FromSecret("password".to_owned())),
        }),
    });
    let custom = auth::Type::Custom(Custom {
        header: "X-API-Key".to_owned(),
        value: Some(custom::Value {
            r#type: Some(custom::value::Type::FromSecret("password".to_owned())),
        }),
    });
    for (auth, name, value) in [
        (
            bearer_auth("password").r#type.unwrap(),
            "authorization",
            "Bearer open sesame",
        ),
        (basic, "authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQo="),
        (custom, "x-api-key", "open sesame"),
    ] {
        world.serve(&service(&upstream.url()).anonymous().http(|http| {
            http.auth = Some(Auth { r#type: Some(auth) });
        }));
        let fields = ["Authorization: Basic Zm9yZ2Vk", "X-API-Key: forged"];
        assert_eq!(get(world.address, "/", &fields).await.status, 200);
        let seen = upstream.one();
        let values: Vec<_> = seen
            .headers
            .iter()
            .filter(|(header, _)| header == name)
            .collect();
        assert_eq!(values, [&(name.to_owned(), value.to_owned())]);
    }
}

#[tokio::test]
async fn unsupported_configurations_do_not_compile() {
    let world = World::start().await;
    let problems = |service| world.compile(&service).err().unwrap_or_default().join("\n");
    let base = || service("http://127.0.0.1:1");
    let missing = base().http(|http| http.auth = Some(bearer_auth("missing")));
    assert!(problems(missing).contains("Secret missing, which does not exist"));
    for name in [
        "Host",
        "Content-Length",
        "Connection",
        "X-Octelium-User",
        "bad name",
    ] {
        let reserved = base().http(|http| {
            http.header = Some(Header {
                add_request_headers: vec![field(name, "x")],
                ..Header::default()
            });
        });
        assert!(
            problems(reserved).contains("addRequestHeaders[0].key"),
            "{name}"
        );
    }
    let mode = base().with(|spec| spec.mode = api::core_v1::service::spec::Mode::Ssh.into());
    assert!(problems(mode).contains("spec.mode SSH"));
    assert!(problems(service("ftp://x")).contains("spec.config.upstream.url"));
}

#[tokio::test]
async fn a_preflight_is_answered_without_a_token() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[("access-control-allow-origin", "*")]).await;
    world.serve(&service(&upstream.url()).anonymous().http(|http| {
        http.cors = Some(Cors {
            allow_origin_string_match: vec!["https://web.example.org".to_owned()],
            allow_methods: "GET, PUT".to_owned(),
            allow_headers: "authorization".to_owned(),
            expose_headers: "x-total".to_owned(),
            max_age: "600".to_owned(),
            allow_credentials: true,
            ..Cors::default()
        });
    }));
    let ask = |origin: &'static str| async move {
        let fields = [origin, "Access-Control-Request-Method: PUT"];
        send(world.address, "OPTIONS", "/", &fields, "").await
    };
    let allowed = ask("Origin: https://web.example.org").await;
    assert_eq!(allowed.status, 204);
    let origin = allowed.header("access-control-allow-origin");
    assert_eq!(origin, Some("https://web.example.org"));
    assert_eq!(
        allowed.header("access-control-allow-methods"),
        Some("GET, PUT")
    );
    assert_eq!(allowed.header("access-control-max-age"), Some("600"));
    let refused = ask("Origin: https://evil.example.org").await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.header("access-control-allow-origin"), None);
    assert_eq!(upstream.seen(), []);

    let reply = get(world.address, "/", &["Origin: https://web.example.org"]).await;
    assert_eq!(
        reply.all("access-control-allow-origin"),
        ["https://web.example.org"]
    );
    assert_eq!(
        reply.header("access-control-expose-headers"),
        Some("x-total")
    );
    let reply = get(world.address, "/", &["Origin: https://evil.example.org"]).await;
    assert_eq!(reply.all("access-control-allow-origin"), Vec::<&str>::new());
}

#[tokio::test]
async fn a_direct_response_needs_no_upstream() {
    let world = World::start().await;
    world.serve(&service("http://127.0.0.1:1").anonymous().http(|http| {
        http.response = Some(ResponseSpec {
            r#type: Some(response::Type::Direct(Direct {
                status_code: 203,
                content_type: "text/html".to_owned(),
                r#type: Some(direct::Type::Inline("<p>hi".to_owned())),
            })),
        });
    }));
    let reply = get(world.address, "/", &[]).await;
    assert_eq!((reply.status, reply.body.as_str()), (203, "<p>hi"));
    assert_eq!(reply.header("content-type"), Some("text/html"));
}
