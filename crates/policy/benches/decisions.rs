//! Benchmarks of decisions.
#![allow(
    missing_docs,
    clippy::unnecessary_wraps,
    clippy::indexing_slicing,
    reason = "a benchmark, and its builders read best short"
)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use api::{
    core_v1::{
        Condition, Group, Namespace, Policy, Service, Session, User, condition,
        policy::{
            Spec,
            spec::{Rule, rule},
        },
        service, session, user,
    },
    meta_v1::Metadata,
};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use domain::clock::UnixMillis;
use policy::{
    Fields, NoFields, PolicySet, QueryView, Request, Subject, Target, decide, decide_with_shadow,
};

const NOW: UnixMillis = UnixMillis(1_795_316_400_000);

fn named(name: &str) -> Option<Metadata> {
    Some(Metadata {
        name: name.to_owned(),
        uid: "3f9c1c52-6e0e-4d37-9a6b-0d1f3d0c7a11".to_owned(),
        ..Metadata::default()
    })
}

fn subject() -> Subject {
    let user = User {
        metadata: named("alice"),
        spec: Some(user::Spec {
            groups: vec!["dev".to_owned(), "ops".to_owned()],
            email: "alice@example.com".to_owned(),
            r#type: user::spec::Type::Human.into(),
            ..user::Spec::default()
        }),
        ..User::default()
    };
    let groups = ["dev", "ops"].map(|name| Group {
        metadata: named(name),
        ..Group::default()
    });
    let session = Session {
        metadata: named("alice-abc123"),
        status: Some(session::Status {
            r#type: session::status::Type::Client.into(),
            ..session::Status::default()
        }),
        ..Session::default()
    };
    Subject::new(&user, &groups, &session, None)
}

fn target(policies: usize) -> Target {
    let service = Service {
        metadata: named("api.default"),
        spec: Some(service::Spec {
            port: 8080,
            authorization: Some(service::spec::Authorization {
                policies: (0..policies)
                    .map(|index| format!("policy-{index}"))
                    .collect(),
                ..service::spec::Authorization::default()
            }),
            ..service::Spec::default()
        }),
        ..Service::default()
    };
    Target::new(
        &service,
        &Namespace {
            metadata: named("default"),
            ..Namespace::default()
        },
        None,
    )
}

fn request() -> Request<'static> {
    Request {
        ip: "10.1.2.3",
        method: "GET",
        path: "/admin/users",
        uri: "/admin/users?limit=1",
        host: "api.example.com",
        scheme: "https",
        protocol: "HTTP/2.0",
        size: 2_000,
        headers: &NoFields,
        query: &NoFields,
        body: b"",
        body_map: None,
        grpc: None,
    }
}

/// Builds Policies of three rules with one comparison each. The rule number `matching` over all Policies matches.
fn policies(total: usize, matching: Option<usize>) -> PolicySet {
    const COMPARISONS: [(&str, &str, &str); 3] = [
        (
            "ctx.user.spec.email",
            "bob@example.com",
            "alice@example.com",
        ),
        ("ctx.request.http.path", "/other/paths", "/admin/users"),
        ("ctx.session.status.type", "CLIENTLESS", "CLIENT"),
    ];
    PolicySet::new((0..total).map(|index| {
        let rules = COMPARISONS
            .iter()
            .enumerate()
            .map(|(place, (field, wrong, right))| {
                let value = if matching == Some(index * 3 + place) {
                    right
                } else {
                    wrong
                };
                Rule {
                    condition: Some(Condition {
                        r#type: Some(condition::Type::Match(format!("{field} == \"{value}\""))),
                    }),
                    effect: rule::Effect::Allow.into(),
                    ..Rule::default()
                }
            });
        Policy {
            metadata: named(&format!("policy-{index}")),
            spec: Some(Spec {
                rules: rules.collect(),
                ..Spec::default()
            }),
            ..Policy::default()
        }
    }))
}

/// Measures CPU time if the system reports it, because the machine may be busy with other work.
fn on_cpu(mut run: impl FnMut()) -> impl FnMut(u64) -> Duration {
    let spent = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split(' ')
            .next()?
            .parse()
            .ok()
            .map(Duration::from_nanos)
    };
    move |iterations| {
        let (started, before) = (Instant::now(), spent());
        for _ in 0..iterations {
            run();
        }
        match (before, spent()) {
            (Some(before), Some(after)) if after > before => after.saturating_sub(before),
            _ => started.elapsed(),
        }
    }
}

fn decisions(criterion: &mut Criterion) {
    let (subject, request) = (subject(), request());
    let mut group = criterion.benchmark_group("decision");
    group
        .measurement_time(Duration::from_secs(3))
        .warm_up_time(Duration::from_secs(1));
    for total in [10, 1_000, 10_000] {
        let target = target(10);
        let none = policies(total, None);
        group.bench_with_input(BenchmarkId::new("no match", total), &none, |bench, set| {
            bench.iter_custom(on_cpu(|| {
                black_box(decide(
                    set,
                    Some(&subject),
                    &target,
                    black_box(&request),
                    NOW,
                ));
            }));
        });
        let sets: Vec<PolicySet> = (0..30)
            .step_by(3)
            .map(|place| policies(total, Some(place + place / 3 % 3)))
            .collect();
        let targets: Vec<Target> = sets.iter().map(|_| crate::target(10)).collect();
        let subjects: Vec<Subject> = sets.iter().map(|_| crate::subject()).collect();
        let mut next = 0;
        group.bench_function(BenchmarkId::new("uniform match", total), |bench| {
            bench.iter_custom(on_cpu(|| {
                next = (next + 1) % sets.len();
                let (subject, target) = (&subjects[next], &targets[next]);
                black_box(decide(
                    &sets[next],
                    Some(subject),
                    target,
                    black_box(&request),
                    NOW,
                ));
            }));
        });
        if total > 10 {
            continue;
        }
        let one = Service {
            metadata: named("one.default"),
            ..Service::default()
        };
        let empty = Target::new(&one, &Namespace::default(), None);
        group.bench_function("nothing attached", |bench| {
            bench.iter_custom(on_cpu(|| {
                black_box(decide(
                    &none,
                    Some(&subject),
                    &empty,
                    black_box(&request),
                    NOW,
                ));
            }));
        });
    }
    group.finish();
}

/// Measures a Policy of 100 rules with one comparison each, none of which matches. A hundredth of it is one comparison.
fn comparisons(criterion: &mut Criterion) {
    let (subject, request) = (subject(), request());
    let mut group = criterion.benchmark_group("100 comparisons");
    group
        .measurement_time(Duration::from_secs(3))
        .warm_up_time(Duration::from_secs(1));
    for (name, source) in [
        (
            "text of a resource",
            r#"ctx.user.spec.email == "bob@example.com""#,
        ),
        (
            "text of the request",
            r#"ctx.request.http.path == "/other/paths""#,
        ),
        ("enum", r#"ctx.session.status.type == "CLIENTLESS""#),
        ("bool", "ctx.service.spec.isPublic"),
        ("in", r#"ctx.request.http.method in ["PUT", "POST"]"#),
        (
            "starts with",
            r#"ctx.request.http.path.startsWith("/public")"#,
        ),
        ("number", "ctx.service.spec.port > 9000"),
    ] {
        let rule = Rule {
            condition: Some(Condition {
                r#type: Some(condition::Type::Match(source.to_owned())),
            }),
            effect: rule::Effect::Allow.into(),
            ..Rule::default()
        };
        let set = PolicySet::new([Policy {
            metadata: named("policy-0"),
            spec: Some(Spec {
                rules: vec![rule; 100],
                ..Spec::default()
            }),
            ..Policy::default()
        }]);
        let target = target(1);
        group.bench_function(name, |bench| {
            bench.iter_custom(on_cpu(|| {
                black_box(decide(
                    &set,
                    Some(&subject),
                    &target,
                    black_box(&request),
                    NOW,
                ));
            }));
        });
    }
    group.finish();
}

/// Headers with a linear search.
struct Headers(Vec<(String, String)>);

impl Fields for Headers {
    fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        let found = pairs.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        for (name, value) in &self.0 {
            visit(name, value);
        }
    }
}

/// Measures the cost of request parts that Policies do not read, by size, and of looking for shadow Policies.
fn unread(criterion: &mut Criterion) {
    let subject = subject();
    let (set, target) = (policies(10, None), target(10));
    let mut group = criterion.benchmark_group("unread");
    group
        .measurement_time(Duration::from_secs(3))
        .warm_up_time(Duration::from_secs(1));
    for (name, count) in [("small request", 0), ("large request", 100)] {
        let pairs = (0..count).map(|index| (format!("x-header-{index}"), "v".repeat(60)));
        let headers = Headers(pairs.collect());
        let parameters: Vec<String> = (0..count)
            .map(|index| format!("parameter{index}=%41+{index}"))
            .collect();
        let query = parameters.join("&");
        group.bench_function(name, |bench| {
            bench.iter_custom(on_cpu(|| {
                let query = QueryView::new(black_box(Some(&query)));
                let request = Request {
                    headers: &headers,
                    query: &query,
                    ..request()
                };
                black_box(decide(
                    &set,
                    Some(&subject),
                    &target,
                    black_box(&request),
                    NOW,
                ));
            }));
        });
    }
    let request = request();
    group.bench_function("no shadow Policy attached", |bench| {
        bench.iter_custom(on_cpu(|| {
            black_box(decide_with_shadow(
                &set,
                Some(&subject),
                &target,
                black_box(&request),
                NOW,
            ));
        }));
    });
    group.finish();
}

fn making(criterion: &mut Criterion) {
    criterion.bench_function("subject", |bench| {
        bench.iter_batched(|| (), |()| subject(), BatchSize::SmallInput);
    });
    criterion.bench_function("compile a policy", |bench| bench.iter(|| policies(1, None)));
}

criterion_group!(benches, comparisons, decisions, unread, making);
criterion_main!(benches);
