//! Expressions of a Service: header fields, hosts, and the selection of its configuration.

use api::core_v1::{
    Condition,
    service::spec::{
        Config, DynamicConfig,
        config::{
            Upstream as UpstreamSpec,
            http::{
                Header, Path,
                header::{Host, KeyValue, host, key_value},
            },
            upstream,
        },
        dynamic_config::{Rule, rule as choice},
    },
};
use rstest::rstest;

use crate::support::{
    Upstream, World,
    client::{get, get_authorized},
    service,
    world::{ServiceExt, matches, matches_any},
};

fn eval(key: &str, source: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        append: false,
        r#type: Some(key_value::Type::Eval(source.to_owned())),
    }
}

fn request_fields(fields: Vec<KeyValue>) -> Header {
    Header {
        add_request_headers: fields,
        ..Header::default()
    }
}

#[tokio::test]
async fn w40_expressions_of_fields_and_hosts_see_the_caller() {
    let world = World::start().await;
    world.grant_user("alice", &["dev", "ops"]);
    let upstream = Upstream::recording(&[("x-service", "theirs")]).await;
    let append = KeyValue {
        append: true,
        ..eval("X-Trail", r#""via " + ctx.user.metadata.name"#)
    };
    world.serve(&service(&upstream.url()).http(|http| {
        http.header = Some(Header {
            add_response_headers: vec![eval("X-Service", "ctx.service.metadata.name")],
            host: Some(Host {
                r#type: Some(host::Type::Eval(
                    r#"ctx.request.http.headers["x-tenant"] + ".internal:81""#.to_owned(),
                )),
            }),
            ..request_fields(vec![
                eval("X-User", "ctx.user.metadata.name"),
                eval("X-Groups", r#"ctx.user.spec.groups.join(",")"#),
                eval("X-Path", "ctx.request.http.path"),
                append,
            ])
        });
    }));
    let fields = ["X-User: root", "X-Tenant: acme", "X-Trail: client"];
    let reply = get_authorized(world.address, "/a?b=c", &fields).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.all("x-service"), ["app.default"]);
    let seen = upstream.one();
    assert_eq!(seen.all("x-user"), ["alice"]);
    assert_eq!(seen.all("x-groups"), ["dev,ops"]);
    assert_eq!(seen.all("x-path"), ["/a"]);
    assert_eq!(seen.all("x-trail"), ["client", "via alice"]);
    assert_eq!(seen.header("host"), Some("acme.internal:81"));
}

#[rstest]
#[case::no_value(r#"string(int(ctx.request.http.headers["x-number"]))"#)]
#[case::line_break(r#"ctx.request.http.headers["x-number"] + "\r\nX-User: root""#)]
#[tokio::test]
async fn w40_an_expression_that_fails_refuses_the_request(#[case] source: &str) {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let failing = service(&upstream.url()).http(|http| {
        http.header = Some(request_fields(vec![eval("X-Number", source)]));
    });
    world.serve(&failing);
    let reply = get_authorized(world.address, "/", &["X-Number: seven"]).await;
    assert_eq!(reply.status, 403);
    assert_eq!(reply.header("x-octelium-unauthorized"), Some("true"));
    world.serve(&failing.anonymous());
    assert_eq!(
        get(world.address, "/", &["X-Number: seven"]).await.status,
        403
    );
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn w40_a_response_is_not_begun_where_its_fields_cannot_be_computed() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).http(|http| {
        http.header = Some(Header {
            add_response_headers: vec![eval("X-A", r#"string(1 / (size("") + 0))"#)],
            ..Header::default()
        });
    }));
    assert_eq!(get_authorized(world.address, "/", &[]).await.status, 403);
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn w40_an_empty_value_removes_the_field() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous().http(|http| {
        http.header = Some(request_fields(vec![eval(
            "X-User",
            "ctx.user.metadata.name",
        )]));
    }));
    let reply = get(world.address, "/", &["X-User: root"]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(upstream.one().header("x-user"), None);
}

#[tokio::test]
async fn w40_an_invalid_host_refuses_the_request() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous().http(|http| {
        let source = r#"ctx.request.http.headers["x-tenant"]"#.to_owned();
        http.header = Some(Header {
            host: Some(Host {
                r#type: Some(host::Type::Eval(source)),
            }),
            ..Header::default()
        });
    }));
    for host in [
        "X-Other: x",
        "X-Tenant: a b",
        "X-Tenant: root@a",
        "X-Tenant: a/b",
    ] {
        assert_eq!(get(world.address, "/", &[host]).await.status, 403, "{host}");
    }
    assert_eq!(upstream.seen(), []);
    assert_eq!(
        get(world.address, "/", &["X-Tenant: a.b"]).await.status,
        200
    );
    assert_eq!(upstream.one().header("host"), Some("a.b"));
}

#[tokio::test]
async fn c08_an_expression_reads_what_the_upstream_reads_or_nothing() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).anonymous().http(|http| {
        let role = r#"ctx.request.http.queryParams["role"]"#;
        http.header = Some(request_fields(vec![eval("X-Role", role)]));
    }));
    let reply = get(world.address, "/?role=user&role=admin", &[]).await;
    assert_eq!(reply.status, 400);
    assert_eq!(upstream.seen(), []);
}

fn named(name: &str, url: &str) -> Config {
    Config {
        name: name.to_owned(),
        upstream: Some(UpstreamSpec {
            r#type: Some(upstream::Type::Url(url.to_owned())),
            ..UpstreamSpec::default()
        }),
        ..Config::default()
    }
}

fn when(condition: api::core_v1::condition::Type, name: &str) -> Rule {
    Rule {
        condition: Some(Condition {
            r#type: Some(condition),
        }),
        r#type: Some(choice::Type::ConfigName(name.to_owned())),
    }
}

fn evaluated(source: &str) -> Rule {
    Rule {
        r#type: Some(choice::Type::Eval(source.to_owned())),
        ..when(matches_any(), "")
    }
}

#[tokio::test]
async fn the_first_rule_that_matches_chooses_the_configuration() {
    let world = World::start().await;
    world.grant_user("alice", &["dev"]);
    let [default, staging, canary] = [
        Upstream::recording(&[]).await,
        Upstream::recording(&[]).await,
        Upstream::recording(&[]).await,
    ];
    let rules = vec![
        when(
            matches(r#"ctx.request.http.headers["x-canary"] == "1""#),
            "canary",
        ),
        when(
            matches(r#""dev" in ctx.user.spec.groups && ctx.request.http.path == "/s""#),
            "staging",
        ),
        when(matches(r#"ctx.request.http.path == "/s""#), "canary"),
    ];
    world.serve(&service(&default.url()).with(|spec| {
        spec.dynamic_config = Some(DynamicConfig {
            configs: vec![
                named("staging", &staging.url()),
                named("canary", &canary.url()),
            ],
            rules,
        });
    }));
    for (target, fields, expected) in [
        ("/", &[][..], &default),
        ("/s", &[], &staging),
        ("/s", &["X-Canary: 1"], &canary),
    ] {
        assert_eq!(
            get_authorized(world.address, target, fields).await.status,
            200
        );
        assert_eq!(expected.one().target, target);
    }
}

#[tokio::test]
async fn a_configuration_has_what_its_parent_has() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let child = Config {
        name: "child".to_owned(),
        parent: "default".to_owned(),
        ..Config::default()
    };
    let default = service(&upstream.url()).http(|http| {
        http.path = Some(Path {
            add_prefix: "/prefix".to_owned(),
            ..Path::default()
        });
    });
    world.serve(&default.clone().with(|spec| {
        spec.dynamic_config = Some(DynamicConfig {
            configs: vec![child.clone()],
            rules: vec![when(matches("true"), "child")],
        });
    }));
    assert_eq!(get_authorized(world.address, "/a", &[]).await.status, 200);
    assert_eq!(upstream.one().target, "/prefix/a");
    let circular = default.with(|spec| {
        spec.dynamic_config = Some(DynamicConfig {
            configs: vec![Config {
                parent: "child".to_owned(),
                ..child
            }],
            rules: vec![when(matches("true"), "child")],
        });
    });
    let problems = world.compile(&circular).err().unwrap().join("; ");
    assert!(
        problems.contains("spec.dynamicConfig.configs[0].parent child is one of its own parents"),
        "{problems}"
    );
}

#[tokio::test]
async fn an_expression_names_the_configuration() {
    let world = World::start().await;
    let [default, other] = [
        Upstream::recording(&[]).await,
        Upstream::recording(&[]).await,
    ];
    world.serve(&service(&default.url()).with(|spec| {
        spec.dynamic_config = Some(DynamicConfig {
            configs: vec![named("other", &other.url())],
            rules: vec![evaluated(r#"ctx.request.http.headers["x-config"]"#)],
        });
    }));
    let ask = |field: &'static str| get_authorized_field(&world, field);
    assert_eq!(ask("X-Config: other").await, 200);
    other.one();
    assert_eq!(ask("X-Config: default").await, 200);
    default.one();
    // If the named configuration does not exist, no other is used.
    assert_eq!(ask("X-Config: third").await, 403);
    assert_eq!(ask("X-None: x").await, 403);
    assert_eq!((default.seen(), other.seen()), (vec![], vec![]));
}

async fn get_authorized_field(world: &World, field: &'static str) -> u16 {
    get_authorized(world.address, "/", &[field]).await.status
}

#[tokio::test]
async fn c13_a_rule_that_cannot_be_evaluated_chooses_nothing() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).with(|spec| {
        spec.dynamic_config = Some(DynamicConfig {
            configs: vec![named("other", &upstream.url())],
            rules: vec![
                when(
                    matches(r#"int(ctx.request.http.headers["x-number"]) > 1"#),
                    "other",
                ),
                when(matches_any(), "other"),
            ],
        });
    }));
    assert_eq!(get_authorized_field(&world, "X-Number: 2").await, 200);
    upstream.one();
    assert_eq!(get_authorized_field(&world, "X-Number: two").await, 403);
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn without_a_default_a_request_needs_a_rule() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service("").with(|spec| {
        spec.config = None;
        spec.dynamic_config = Some(DynamicConfig {
            configs: vec![named("a", &upstream.url())],
            rules: vec![when(
                matches(r#"ctx.request.http.method == "GET" && ctx.request.http.path == "/a""#),
                "a",
            )],
        });
    }));
    assert_eq!(get_authorized(world.address, "/a", &[]).await.status, 200);
    assert_eq!(get_authorized(world.address, "/b", &[]).await.status, 403);
}

#[tokio::test]
async fn a_foreign_authorization_passes_by_the_configuration_that_is_chosen() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let mut passing = service(&upstream.url()).http(|http| {
        http.header = Some(Header {
            authorization_mode:
                api::core_v1::service::spec::config::http::header::AuthorizationMode::Pass.into(),
            ..Header::default()
        });
    });
    let config = passing.spec.take().and_then(|spec| spec.config).unwrap();
    world.serve(&service(&upstream.url()).with(|spec| {
        spec.dynamic_config = Some(DynamicConfig {
            configs: vec![Config {
                name: "passing".to_owned(),
                ..config
            }],
            rules: vec![when(
                matches(r#"ctx.request.http.path == "/pass""#),
                "passing",
            )],
        });
    }));
    let token = format!("X-Octelium-Auth: {}", crate::support::world::TOKEN);
    let fields = [token.as_str(), "Authorization: Basic eDp5"];
    for (target, expected) in [("/pass", Some("Basic eDp5")), ("/", None)] {
        assert_eq!(get(world.address, target, &fields).await.status, 200);
        assert_eq!(upstream.one().header("authorization"), expected);
    }
}

#[tokio::test]
async fn mistakes_are_named_with_their_place() {
    let world = World::start().await;
    let service = service("http://127.0.0.1:1").http(|http| {
        http.header = Some(request_fields(vec![
            eval("X-A", "ctx.user.metadata.nam"),
            eval("X-B", "1 + 1"),
        ]));
    });
    let service = service.with(|spec| {
        let mut broken = spec.config.clone().unwrap();
        broken.name = "broken".to_owned();
        spec.dynamic_config = Some(DynamicConfig {
            configs: vec![named("a", "http://a"), named("a", "ftp://a"), broken],
            rules: vec![
                when(matches("ctx.user.nothing"), "a"),
                when(matches_any(), "nowhere"),
                evaluated("true"),
            ],
        });
    });
    let problems = world.compile(&service).err().unwrap();
    for expected in [
        "spec.config.http.header.addRequestHeaders[0].eval 1:",
        "spec.config.http.header.addRequestHeaders[1].eval 1:1: the expression must return string",
        "spec.dynamicConfig.configs[1].name is also the name of another",
        "spec.dynamicConfig.configs[1].upstream.url",
        "spec.dynamicConfig.configs[2].http.header.addRequestHeaders[0].eval 1:",
        "spec.dynamicConfig.rules[0]",
        "spec.dynamicConfig.rules[1].configName",
        "spec.dynamicConfig.rules[2].eval 1:1: the expression must return string",
    ] {
        assert!(
            problems.iter().any(|problem| problem.starts_with(expected)),
            "{expected}: {problems:#?}"
        );
    }
}
