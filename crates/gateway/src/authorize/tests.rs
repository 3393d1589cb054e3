//! Explanations agree with decisions.

use std::collections::BTreeMap;

use api::{
    core_v1::{
        Condition, InlinePolicy, Namespace, Service, Session, User, condition,
        policy::{
            Spec,
            spec::{Rule, rule},
        },
        service,
    },
    platform_v1::DecisionRequest,
};
use http::{Version, header};
use policy::{Described, PolicySet, Target, decide, explain_request};
use proptest::prelude::*;

use super::*;
use crate::{
    canonical::{Canonical, Length},
    inbound::ReceivedRequest,
};

const CONDITIONS: [&str; 12] = [
    "ctx.request.http.path.startsWith('/admin')",
    "ctx.request.http.method in ['GET', 'HEAD']",
    "ctx.request.http.headers['x-team'] == 'red'",
    "ctx.request.http.headers.exists(name, name == 'x-env')",
    "ctx.request.http.queryParams['role'] == 'admin'",
    "ctx.request.http.queryParams.role.contains(' ')",
    "ctx.request.http.uri.contains('?')",
    "ctx.request.http.host == 'app.example.com'",
    "net.isIPInRange(ctx.request.ip, '192.0.2.0/24')",
    "ctx.request.http.scheme == 'https' && ctx.request.http.protocol == 'HTTP/2.0'",
    "has(ctx.request.grpc) && ctx.request.grpc.method == 'Say'",
    "ctx.request.http.size > 100",
];

fn target(conditions: &[(usize, bool, i32)]) -> Target {
    let rules = conditions.iter().map(|(index, allows, priority)| Rule {
        condition: Some(Condition {
            r#type: Some(condition::Type::Match(CONDITIONS[*index].to_owned())),
        }),
        effect: if *allows {
            rule::Effect::Allow.into()
        } else {
            rule::Effect::Deny.into()
        },
        priority: *priority,
        ..Rule::default()
    });
    let spec = Spec {
        rules: rules.collect(),
        ..Spec::default()
    };
    let service = Service {
        spec: Some(service::Spec {
            authorization: Some(service::spec::Authorization {
                inline_policies: vec![InlinePolicy {
                    name: String::new(),
                    spec: Some(spec),
                }],
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Service::default()
    };
    Target::new(&service, &Namespace::default(), None)
}

proptest! {
    #[test]
    fn an_explanation_agrees_with_the_decision_on_the_same_request(
        conditions in prop::collection::vec((0..CONDITIONS.len(), any::<bool>(), -4..=4), 0..8),
        method in prop::sample::select(vec!["GET", "POST", "HEAD"]),
        path in prop::sample::select(vec!["/", "/admin", "/admin/users", "/demo.Echo/Say", "/a%20b"]),
        query in prop::sample::select(vec![
            "", "role=admin", "role=user&a=1", "role=a+b", "role=admin&role=user", "role=%ff", "a;role=admin",
        ]),
        headers in prop::collection::btree_map(
            prop::sample::select(vec!["X-Team", "x-env", "content-type", "accept"]),
            prop::sample::select(vec!["red", "prod", "application/grpc", "text/plain"]),
            0..4,
        ),
        size in prop::sample::select(vec![0_u64, 50, 5_000]),
        ip in prop::sample::select(vec!["192.0.2.7", "198.51.100.1", "2001:db8::1"]),
    ) {
        let target = target(&conditions);
        let subject = Subject::new(&User::default(), &[], &Session::default(), None);
        let policies = PolicySet::default();
        let now = domain::clock::UnixMillis(1_795_305_600_000);

        let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let mut request = http::Request::builder()
            .method(method)
            .version(Version::HTTP_2)
            .uri(format!("https://App.example.com{uri}"));
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.header(header::HOST, "app.example.com").body(()).unwrap().into_parts();
        let mut parts = parts;
        let host = Canonical::take_host(&mut parts).unwrap();
        let canonical = Canonical::read(parts, host, Length::Exact(size), Mode::Http).unwrap();
        let seen = LazyRequest::new(ReceivedRequest {
            request: &canonical,
            client: ip.parse().unwrap(),
            body: &[],
            body_map: None,
        });
        let request = seen.request();
        let decision = decide(&policies, Some(&subject), &target, &request, now);

        let description = DecisionRequest {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
            ip: ip.to_owned(),
            host: "app.example.com".to_owned(),
            size: i64::try_from(size).unwrap(),
            ..DecisionRequest::default()
        };
        let described = Described::new(&description, &Service::default()).unwrap();
        match explain_request(&policies, Some(&subject), &target, &described, now) {
            Ok(answer) => {
                prop_assert!(seen.check().is_ok());
                prop_assert_eq!(answer.allowed, decision.allowed);
                prop_assert_eq!(answer.reason, decision.reason.to_string());
            }
            Err(_) => prop_assert!(seen.check().is_err()),
        }
    }
}
