//! Fuzzes the parser of conditions, and evaluates the accepted ones.
#![no_main]

use std::sync::LazyLock;

use api::core_v1::{
    Condition, InlinePolicy, Namespace, Service, Session, User, condition,
    policy::{
        Spec,
        spec::{Rule, rule},
    },
    service,
};
use domain::clock::UnixMillis;
use libfuzzer_sys::fuzz_target;
use policy::{NoFields, PolicySet, Request, RuleList, Subject, Target, check_condition, decide};

static SUBJECT: LazyLock<Subject> =
    LazyLock::new(|| Subject::new(&User::default(), &[], &Session::default(), None));

fuzz_target!(|source: &str| {
    let condition = Condition { r#type: Some(condition::Type::Match(source.to_owned())) };
    if let Err(problems) = check_condition(RuleList::Policy, &condition) {
        assert!(!problems.is_empty());
        return;
    }
    let rule = Rule {
        condition: Some(condition),
        effect: rule::Effect::Deny.into(),
        ..Rule::default()
    };
    let spec = Spec { rules: vec![rule], ..Spec::default() };
    let service = Service {
        spec: Some(service::Spec {
            authorization: Some(service::spec::Authorization {
                inline_policies: vec![InlinePolicy { name: String::new(), spec: Some(spec) }],
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Service::default()
    };
    let target = Target::new(&service, &Namespace::default(), None);
    let request = Request {
        ip: "192.0.2.1",
        method: "GET",
        path: "/a",
        uri: "/a?b=c",
        host: "example.com",
        scheme: "https",
        protocol: "HTTP/1.1",
        size: 0,
        headers: &NoFields,
        query: &NoFields,
        body: b"",
        body_map: None,
        grpc: None,
    };
    let decision = decide(&PolicySet::default(), Some(&SUBJECT), &target, &request, UnixMillis(0));
    assert!(!decision.allowed);
});
