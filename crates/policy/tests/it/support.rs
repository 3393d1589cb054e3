//! Resources and requests for the tests.

use api::{
    core_v1::{
        self, Condition, Group, InlinePolicy, Namespace, Policy, Service, Session, User, condition,
        policy::{
            Spec,
            spec::{EnforcementRule, Rule, enforcement_rule, rule},
        },
        session::{self, status::authentication},
    },
    meta_v1::Metadata,
};
use domain::clock::UnixMillis;
use policy::{
    Decision, Fields, Grpc, NoFields, PolicySet, Reason, Request, Subject, Target, decide,
};
use prost_types::{Struct, Value, value};

/// 2026-11-22T03:00:00Z, a Sunday.
pub(crate) const NOW: UnixMillis = UnixMillis(1_795_316_400_000);

pub(crate) fn named(name: &str) -> Option<Metadata> {
    Some(Metadata {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        ..Metadata::default()
    })
}

pub(crate) fn text(text: &str) -> Value {
    Value {
        kind: Some(value::Kind::StringValue(text.to_owned())),
    }
}

pub(crate) fn number(number: f64) -> Value {
    Value {
        kind: Some(value::Kind::NumberValue(number)),
    }
}

pub(crate) fn list<const N: usize>(values: [Value; N]) -> Value {
    let values = values.into();
    Value {
        kind: Some(value::Kind::ListValue(prost_types::ListValue { values })),
    }
}

pub(crate) fn object<const N: usize>(entries: [(&str, Value); N]) -> Struct {
    Struct {
        fields: entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    }
}

pub(crate) fn alice() -> User {
    User {
        metadata: Some(Metadata {
            labels: [("team".to_owned(), "red".to_owned())].into(),
            ..named("alice").unwrap()
        }),
        spec: Some(core_v1::user::Spec {
            groups: vec!["dev".to_owned(), "ops".to_owned()],
            email: "alice@example.com".to_owned(),
            r#type: core_v1::user::spec::Type::Human.into(),
            attrs: Some(object([
                ("level", number(3.0)),
                (
                    "nested",
                    Value {
                        kind: Some(value::Kind::StructValue(object([("a", text("b"))]))),
                    },
                ),
            ])),
            ..core_v1::user::Spec::default()
        }),
        ..User::default()
    }
}

pub(crate) fn group(name: &str) -> Group {
    Group {
        metadata: named(name),
        spec: Some(core_v1::group::Spec::default()),
        ..Group::default()
    }
}

pub(crate) fn session() -> Session {
    use authentication::{Info, info};
    let fido = info::authenticator::info::Fido {
        is_hardware: true,
        user_verified: true,
        aaguid: "cb69481e-8ff7-4039-93ec-0a2729a154a8".to_owned(),
        ..info::authenticator::info::Fido::default()
    };
    Session {
        metadata: named("alice-abc123"),
        spec: Some(session::Spec {
            state: session::spec::State::Active.into(),
            expires_at: Some(prost_types::Timestamp {
                seconds: 1_795_400_000,
                nanos: 0,
            }),
            ..session::Spec::default()
        }),
        status: Some(session::Status {
            r#type: session::status::Type::Client.into(),
            total_authentications: 7,
            authentication: Some(session::status::Authentication {
                info: Some(Info {
                    r#type: info::Type::Authenticator.into(),
                    aal: info::Aal::Aal2.into(),
                    details: Some(info::Details::Authenticator(info::Authenticator {
                        info: Some(info::authenticator::Info {
                            r#type: Some(info::authenticator::info::Type::Fido(fido)),
                        }),
                        ..info::Authenticator::default()
                    })),
                    ..Info::default()
                }),
                ..session::status::Authentication::default()
            }),
            ..session::Status::default()
        }),
        ..Session::default()
    }
}

pub(crate) fn service() -> Service {
    Service {
        metadata: named("api.default"),
        spec: Some(core_v1::service::Spec {
            port: 8080,
            is_public: true,
            ..Default::default()
        }),
        ..Service::default()
    }
}

pub(crate) fn namespace() -> Namespace {
    Namespace {
        metadata: named("default"),
        ..Namespace::default()
    }
}

pub(crate) fn subject() -> Subject {
    Subject::new(&alice(), &[group("dev"), group("ops")], &session(), None)
}

/// Fields from pairs of names and values.
pub(crate) struct Pairs(pub Vec<(&'static str, &'static str)>);

impl Fields for Pairs {
    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        for (name, value) in &self.0 {
            visit(name, value);
        }
    }
}

pub(crate) fn request() -> Request<'static> {
    static HEADERS: std::sync::LazyLock<Pairs> =
        std::sync::LazyLock::new(|| Pairs(vec![("x-env", "prod"), ("accept", "*/*")]));
    static BODY: std::sync::LazyLock<Struct> =
        std::sync::LazyLock::new(|| object([("amount", number(12.5))]));
    Request {
        ip: "10.1.2.3",
        method: "GET",
        path: "/admin/users",
        uri: "/admin/users?limit=1",
        host: "api.example.com",
        scheme: "https",
        protocol: "HTTP/2.0",
        size: 2_000,
        headers: &*HEADERS,
        query: &NoFields,
        body: b"body",
        body_map: Some(&BODY),
        grpc: None,
    }
}

pub(crate) fn grpc_request() -> Request<'static> {
    Request {
        grpc: Some(Grpc {
            target: &[],
            package: "octelium.api.main.core.v1",
            service: "MainService",
            service_full_name: "octelium.api.main.core.v1.MainService",
            method: "ListUser",
        }),
        ..request()
    }
}

pub(crate) fn cel(source: &str) -> Condition {
    Condition {
        r#type: Some(condition::Type::Match(source.to_owned())),
    }
}

pub(crate) fn not(source: &str) -> Condition {
    Condition {
        r#type: Some(condition::Type::Not(source.to_owned())),
    }
}

pub(crate) fn any(of: Vec<Condition>) -> Condition {
    Condition {
        r#type: Some(condition::Type::Any(condition::Any { of })),
    }
}

pub(crate) fn all(of: Vec<Condition>) -> Condition {
    Condition {
        r#type: Some(condition::Type::All(condition::All { of })),
    }
}

pub(crate) fn none(of: Vec<Condition>) -> Condition {
    Condition {
        r#type: Some(condition::Type::None(condition::None { of })),
    }
}

pub(crate) fn match_any(value: bool) -> Condition {
    Condition {
        r#type: Some(condition::Type::MatchAny(value)),
    }
}

pub(crate) fn allow(condition: Condition) -> Rule {
    Rule {
        condition: Some(condition),
        effect: rule::Effect::Allow.into(),
        ..Rule::default()
    }
}

pub(crate) fn deny(condition: Condition) -> Rule {
    Rule {
        condition: Some(condition),
        effect: rule::Effect::Deny.into(),
        ..Rule::default()
    }
}

pub(crate) fn prioritised(rule: Rule, priority: i32) -> Rule {
    Rule { priority, ..rule }
}

pub(crate) fn enforce(condition: Condition) -> EnforcementRule {
    EnforcementRule {
        condition: Some(condition),
        effect: enforcement_rule::Effect::Enforce.into(),
    }
}

pub(crate) fn ignore(condition: Condition) -> EnforcementRule {
    EnforcementRule {
        condition: Some(condition),
        effect: enforcement_rule::Effect::Ignore.into(),
    }
}

pub(crate) fn rules(rules: Vec<Rule>) -> Spec {
    Spec {
        rules,
        ..Spec::default()
    }
}

pub(crate) fn policy(name: &str, spec: Spec) -> Policy {
    Policy {
        metadata: named(name),
        spec: Some(spec),
        ..Policy::default()
    }
}

pub(crate) fn inline(spec: Spec) -> InlinePolicy {
    InlinePolicy {
        name: String::new(),
        spec: Some(spec),
    }
}

/// Builds a Service that attaches these Policies.
pub(crate) fn target(policies: &[&str], inline_policies: Vec<Spec>) -> Target {
    let mut service = service();
    service.spec.as_mut().unwrap().authorization = Some(core_v1::service::spec::Authorization {
        policies: policies.iter().map(|name| (*name).to_owned()).collect(),
        inline_policies: inline_policies.into_iter().map(inline).collect(),
        ..Default::default()
    });
    Target::new(&service, &namespace(), None)
}

/// Decides the test User's request by rules attached to the Service.
pub(crate) fn decided(spec: Spec) -> Decision {
    decide(
        &PolicySet::default(),
        Some(&subject()),
        &target(&[], vec![spec]),
        &request(),
        NOW,
    )
}

/// Evaluates an expression for the test User's request.
pub(crate) fn holds(source: &str) -> Result<bool, String> {
    holds_for(source, &request())
}

pub(crate) fn holds_for(source: &str, request: &Request<'_>) -> Result<bool, String> {
    let condition = cel(source);
    if let Err(problems) = policy::check_condition(policy::RuleList::Policy, &condition) {
        panic!("{source}: {}", problems[0]);
    }
    let target = target(&[], vec![rules(vec![deny(condition)])]);
    let decision = decide(
        &PolicySet::default(),
        Some(&subject()),
        &target,
        request,
        NOW,
    );
    match decision.reason {
        Reason::Rule { error: None, .. } => Ok(true),
        Reason::Rule {
            error: Some(error), ..
        } => Err(error),
        _ => Ok(false),
    }
}
