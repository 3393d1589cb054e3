//! Conditional responses, rate limits, and path changes.

use api::{
    core_v1::{
        Condition,
        service::spec::config::http::{
            Plugin,
            plugin::{
                Direct, Path, Phase, RateLimit, Type,
                direct::{self, body},
                rate_limit::{self, Key, key},
            },
        },
    },
    meta_v1::{Duration, duration},
};

use crate::{
    grpc::grpc_service,
    support::{
        Upstream, World,
        client::{get, get_authorized, send},
        service,
        world::{ServiceExt, TOKEN, matches, rule},
    },
};

fn plugin(name: &str, phase: Phase, condition: &str, r#type: Type) -> Plugin {
    Plugin {
        name: name.to_owned(),
        is_disabled: false,
        phase: phase.into(),
        condition: Some(Condition {
            r#type: Some(matches(condition)),
        }),
        r#type: Some(r#type),
    }
}

fn direct(status_code: i32, text: &str) -> Type {
    Type::Direct(Direct {
        status_code,
        body: Some(direct::Body {
            r#type: Some(body::Type::Inline(text.to_owned())),
        }),
        headers: vec![direct::KeyValue {
            key: "X-By".to_owned(),
            value: "plugin".to_owned(),
        }],
    })
}

fn limit(limit: i64, key: key::Type) -> Type {
    Type::RateLimit(RateLimit {
        limit,
        window: Some(Duration {
            r#type: Some(duration::Type::Hours(1)),
        }),
        key: Some(Key { r#type: Some(key) }),
        headers: vec![rate_limit::KeyValue {
            key: "X-Limit".to_owned(),
            value: limit.to_string(),
        }],
        ..RateLimit::default()
    })
}

#[tokio::test]
async fn an_answer_before_authentication_needs_no_token_and_one_after_it_does() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).http(|http| {
        http.plugins = vec![
            plugin(
                "health",
                Phase::PreAuth,
                r#"ctx.request.http.path == "/health""#,
                direct(200, "fine"),
            ),
            plugin(
                "gone",
                Phase::Unset,
                r#"ctx.request.http.path == "/gone""#,
                direct(410, "gone"),
            ),
        ];
    }));
    let reply = get(world.address, "/health", &[]).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "fine"));
    assert_eq!(reply.header("x-by"), Some("plugin"));
    assert_eq!(get(world.address, "/gone", &[]).await.status, 401);
    let reply = get_authorized(world.address, "/gone", &[]).await;
    assert_eq!((reply.status, reply.body.as_str()), (410, "gone"));
    assert_eq!(upstream.seen(), []);
    assert_eq!(
        get_authorized(world.address, "/else", &[]).await.status,
        200
    );
    upstream.one();
}

#[tokio::test]
async fn c05_the_policy_sees_the_path_that_an_earlier_plugin_set() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let path = |add: &str| {
        Type::Path(Path {
            add_prefix: add.to_owned(),
            remove_prefix: "/old".to_owned(),
        })
    };
    let guarded = service(&upstream.url()).rules(vec![rule(
        "new",
        matches(r#"ctx.request.http.path == "/new/a""#),
        true,
    )]);
    world.serve(&guarded.clone().http(|http| {
        http.plugins = vec![plugin("p", Phase::PreAuth, "true", path("/new"))];
    }));
    assert_eq!(
        get_authorized(world.address, "/old/a?b", &[]).await.status,
        200
    );
    assert_eq!(upstream.one().target, "/new/a?b");
    // After authentication, the Policy has already seen the original path.
    world.serve(&guarded.http(|http| {
        http.plugins = vec![plugin("p", Phase::PostAuth, "true", path("/v2"))];
    }));
    assert_eq!(
        get_authorized(world.address, "/old/a", &[]).await.status,
        403
    );
    assert_eq!(
        get_authorized(world.address, "/new/a", &[]).await.status,
        200
    );
    assert_eq!(upstream.one().target, "/v2/new/a");
}

#[tokio::test]
async fn a_rate_is_that_of_its_key() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let key = key::Type::Eval(r#"ctx.request.http.headers["x-tenant"]"#.to_owned());
    world.serve(&service(&upstream.url()).http(|http| {
        http.plugins = vec![plugin("limit", Phase::PostAuth, "true", limit(2, key))];
    }));
    let ask = async |tenant: &str| get_authorized(world.address, "/", &[tenant]).await;
    for _ in 0..2 {
        assert_eq!(ask("X-Tenant: a").await.status, 200);
    }
    let reply = ask("X-Tenant: a").await;
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (429, "too many requests\n")
    );
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=1800).contains(&wait), "{wait}");
    assert_eq!(reply.header("x-limit"), Some("2"));
    assert_eq!(ask("X-Tenant: b").await.status, 200);
    assert_eq!(upstream.seen().len(), 3);
}

#[tokio::test]
async fn a_rate_of_sessions_and_users_counts_only_what_is_allowed() {
    for key in [key::Type::PerSession(true), key::Type::PerUser(true)] {
        let world = World::start().await;
        let upstream = Upstream::recording(&[]).await;
        world.serve(
            &service(&upstream.url())
                .rules(vec![rule(
                    "a",
                    matches(r#"ctx.request.http.path == "/a""#),
                    true,
                )])
                .http(|http| {
                    http.plugins = vec![plugin("limit", Phase::PostAuth, "true", limit(1, key))];
                }),
        );
        assert_eq!(get_authorized(world.address, "/b", &[]).await.status, 403);
        assert_eq!(get_authorized(world.address, "/a", &[]).await.status, 200);
        assert_eq!(get_authorized(world.address, "/a", &[]).await.status, 429);
    }
}

/// A rate limit of one request per hour, without condition and key.
fn bare_limit(phase: Phase) -> Plugin {
    Plugin {
        name: "bare".to_owned(),
        phase: phase.into(),
        r#type: Some(Type::RateLimit(RateLimit {
            limit: 1,
            window: Some(Duration {
                r#type: Some(duration::Type::Hours(1)),
            }),
            ..RateLimit::default()
        })),
        ..Plugin::default()
    }
}

#[tokio::test]
async fn a_plugin_without_condition_applies_and_a_rate_without_key_is_per_session_g6() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    world.serve(&service(&upstream.url()).http(|http| {
        http.plugins = vec![bare_limit(Phase::Unset)];
    }));
    assert_eq!(get_authorized(world.address, "/", &[]).await.status, 200);
    assert_eq!(get_authorized(world.address, "/", &[]).await.status, 429);
    // The Session is unknown before authentication.
    let early = service(&upstream.url()).http(|http| {
        http.plugins = vec![bare_limit(Phase::PreAuth)];
    });
    let problems = world.compile(&early).err().unwrap();
    assert!(
        problems[0].starts_with("spec.config.http.plugins[0].rateLimit.key"),
        "{problems:?}"
    );
}

#[tokio::test]
async fn a_grpc_call_over_its_rate_gets_a_grpc_response() {
    let world = World::start().await;
    world.serve(&grpc_service("http://127.0.0.1:1").http(|http| {
        let key = key::Type::PerUser(true);
        http.plugins = vec![plugin("limit", Phase::PostAuth, "true", limit(1, key))];
    }));
    let token = format!("X-Octelium-Auth: {TOKEN}");
    let fields = [token.as_str(), "Content-Type: application/grpc"];
    let call = async || send(world.address, "POST", "/pkg.v1.Echo/Say", &fields, "").await;
    assert_eq!(call().await.header("grpc-status"), Some("14"));
    assert_eq!(call().await.header("grpc-status"), Some("8"));
}

#[tokio::test]
async fn c13_a_plugin_that_cannot_be_evaluated_lets_nothing_pass() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let number = r#"int(ctx.request.http.headers["x-number"]) > 0"#;
    for plugin in [
        plugin("p", Phase::PreAuth, number, direct(200, "x")),
        plugin("p", Phase::PostAuth, number, direct(200, "x")),
        plugin(
            "p",
            Phase::PostAuth,
            "true",
            limit(
                9,
                key::Type::Eval("string(1 / size(ctx.request.http.path) / 0)".to_owned()),
            ),
        ),
    ] {
        world.serve(&service(&upstream.url()).http(|http| http.plugins = vec![plugin]));
        let reply = get_authorized(world.address, "/", &["X-Number: x"]).await;
        assert_eq!(reply.status, 403);
    }
    assert_eq!(upstream.seen(), []);
}

#[tokio::test]
async fn c20_c21_plugins_that_ask_others_or_keep_answers_are_refused() {
    use api::core_v1::service::spec::config::http::plugin::{Cache, ExtProc, Lua};
    let world = World::start().await;
    for refused in [
        Type::Cache(Cache::default()),
        Type::ExtProc(ExtProc::default()),
        Type::Lua(Lua::default()),
    ] {
        let service = service("http://127.0.0.1:1").http(|http| {
            http.plugins = vec![plugin("p", Phase::PostAuth, "true", refused)];
        });
        let problems = world.compile(&service).err().unwrap();
        assert!(
            problems[0].starts_with("spec.config.http.plugins[0] "),
            "{problems:?}"
        );
    }
}

#[tokio::test]
async fn a_disabled_plugin_does_nothing_and_a_wrong_one_does_not_compile() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let off = Plugin {
        is_disabled: true,
        ..plugin("off", Phase::PreAuth, "true", direct(410, "gone"))
    };
    world.serve(&service(&upstream.url()).http(|http| http.plugins = vec![off]));
    assert_eq!(get_authorized(world.address, "/", &[]).await.status, 200);
    let wrong = [
        plugin("a", Phase::PreAuth, "1", direct(200, "")),
        plugin("b", Phase::PreAuth, "true", direct(99, "")),
        plugin(
            "c",
            Phase::PreAuth,
            "true",
            limit(1, key::Type::PerUser(true)),
        ),
        plugin(
            "d",
            Phase::PostAuth,
            "true",
            limit(0, key::Type::PerUser(true)),
        ),
        Plugin {
            r#type: None,
            ..plugin("e", Phase::PostAuth, "true", direct(200, ""))
        },
    ];
    let count = wrong.len();
    let service = service(&upstream.url()).http(|http| http.plugins = wrong.to_vec());
    let problems = world.compile(&service).err().unwrap();
    for index in 0..count {
        let path = format!("spec.config.http.plugins[{index}]");
        assert!(
            problems.iter().any(|problem| problem.starts_with(&path)),
            "{path}: {problems:?}"
        );
    }
}
