//! Fuzzes the evaluation of conditions. The input selects pieces of expressions, combined so that most are accepted,
//! and the values of the request.
#![no_main]

use std::sync::LazyLock;

use api::{
    core_v1::{
        Condition, Group, InlinePolicy, Namespace, Service, Session, User, condition,
        policy::{
            Spec,
            spec::{Rule, rule},
        },
        service, user,
    },
    meta_v1::Metadata,
};
use domain::clock::UnixMillis;
use libfuzzer_sys::fuzz_target;
use policy::{
    Fields, PolicySet, QueryView, Request, RuleList, Subject, Target, check_condition, decide,
    decide_with_shadow, explain,
};

/// Values of several types, operators and calls. A byte of the input selects one.
const PIECES: [&str; 96] = [
    "ctx.user.spec.email", "ctx.user.spec.groups", "ctx.user.spec.type", "ctx.groups", "ctx.user.metadata.labels",
    "ctx.request.http.path", "ctx.request.http.headers", "ctx.request.http.queryParams", "ctx.request.http.size",
    "ctx.request.http.body", "ctx.request.http.bodyMap", "ctx.request.ip", "ctx.service.spec.port", "ctx.session",
    "ctx.device", "attrs", "attrs.a", "now()", "1", "-1", "2u", "1.5", "9223372036854775807", "''", "'a'", "'HUMAN'",
    "b'a'", "null", "true", "false", "[]", "{}", "[1, 2]", "{'a': 1}", "x", "y", " == ", " != ", " < ", " >= ",
    " in ", " && ", " || ", " + ", " - ", " * ", " / ", " % ", " ? ", " : ", "!", "-", "(", ")", "[", "]", ", ", ".",
    ".all(x, ", ".exists(x, ", ".map(x, ", ".filter(x, ", ".exists_one(x, ", ".transformList(x, y, ",
    ".transformMap(x, y, ", "cel.bind(x, ", "has(ctx.user.spec.email)", "size(", ".size()", ".contains(",
    ".matches(", ".split('')", ".join()", ".format([", "])", ".replace('a', ", ".toUpper()", ".reverse()",
    ".substring(", ".charAt(", ".indexOf(", "string(", "int(", "double(", "timestamp(", "duration('1h')",
    ".getHours('UTC')", "json.parse(", "json.marshal(", "base64.encode(", "net.isIPInRange(", "math.greatest(",
    ".hasAny(", ".min()", "optional.of(", ".orValue(",
];

static POLICIES: LazyLock<PolicySet> = LazyLock::new(PolicySet::default);

struct Headers<'a>(Vec<(&'a str, &'a str)>);

impl Fields for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        for (name, value) in &self.0 {
            visit(name, value);
        }
    }
}

fn expression(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| PIECES[usize::from(*byte) % PIECES.len()]).collect()
}

fn target(condition: &Condition, effect: rule::Effect, is_shadow: bool) -> Target {
    let rule = Rule {
        condition: Some(condition.clone()),
        effect: effect.into(),
        ..Rule::default()
    };
    let spec = Spec { rules: vec![rule], is_shadow, ..Spec::default() };
    let service = Service {
        spec: Some(service::Spec {
            port: 8080,
            authorization: Some(service::spec::Authorization {
                inline_policies: vec![InlinePolicy { name: String::new(), spec: Some(spec) }],
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Service::default()
    };
    Target::new(&service, &Namespace::default(), None)
}

fuzz_target!(|input: (&str, &[u8])| {
    let (text, pieces) = input;
    let source = expression(pieces);
    let condition = Condition { r#type: Some(condition::Type::Match(source)) };
    if check_condition(RuleList::Policy, &condition).is_err() {
        return;
    }
    let user = User {
        metadata: Some(Metadata {
            labels: [("a".to_owned(), text.to_owned())].into(),
            ..Metadata::default()
        }),
        spec: Some(user::Spec {
            email: text.to_owned(),
            groups: text.split(' ').take(20).map(str::to_owned).collect(),
            ..user::Spec::default()
        }),
        ..User::default()
    };
    let subject = Subject::new(&user, &[Group::default()], &Session::default(), None);
    let headers = Headers(text.split('\n').take(20).filter_map(|line| line.split_once(':')).collect());
    let query = QueryView::new(Some(text));
    let request = Request {
        ip: text,
        method: "GET",
        path: text,
        uri: text,
        host: "example.com",
        scheme: "https",
        protocol: "HTTP/1.1",
        size: i64::try_from(text.len()).unwrap_or(0),
        headers: &headers,
        query: &query,
        body: text.as_bytes(),
        body_map: None,
        grpc: None,
    };
    let now = UnixMillis(1_795_316_400_000);
    let decided = |target: &Target| decide(&POLICIES, Some(&subject), target, &request, now);
    // If the expression allows, a DENY rule with it denies too. If it fails, DENY matches and ALLOW does not.
    let allowing = target(&condition, rule::Effect::Allow, false);
    let denying = target(&condition, rule::Effect::Deny, false);
    let (allowed, denied) = (decided(&allowing), decided(&denying));
    assert!(!denied.allowed);
    if allowed.allowed {
        assert!(denied.reason.to_string().starts_with("denied by rule"), "{denied:?}");
    }
    // The decision is deterministic, and the explanation reports the same decision.
    assert_eq!(allowed, decided(&allowing));
    assert_eq!(allowed, explain(&POLICIES, Some(&subject), &allowing, &request, now).decision);
    // Shadow rules do not affect the decision.
    let shadowed = target(&condition, rule::Effect::Allow, true);
    let (decision, would) = decide_with_shadow(&POLICIES, Some(&subject), &shadowed, &request, now);
    assert!(!decision.allowed);
    assert_eq!(would.is_some(), allowed.allowed);
});
