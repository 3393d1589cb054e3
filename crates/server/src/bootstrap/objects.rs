//! The built-in objects, in the form in which a client would send them.

use std::time::Duration;

use api::{
    core_v1::{
        ClusterConfig, Condition, Credential, InlinePolicy, Namespace, Policy, Region, Service,
        User, condition, credential, policy,
        policy::spec::{Rule, rule::Effect},
        service::{self, spec::Mode},
        session::status::Type as SessionType,
        user,
    },
    meta_v1::Metadata,
    resource::Object as _,
};
use domain::clock::UnixMillis;

use super::ROOT_CREDENTIAL;
use crate::resource::{
    built_in::{API_NAMESPACE, API_SERVICE},
    cluster_config,
    metadata::built_in,
};

const ROOT_LIFETIME: Duration = Duration::from_hours(180 * 24);

const IS_API: &str = r#"ctx.namespace.metadata.name == "octelium-api""#;
const IS_USER_API: &str = r#"ctx.request.grpc.package == "octelium.api.main.user.v1""#;
const IS_READ: &str = r#"ctx.request.grpc.package in ["octelium.api.main.core.v1", "octelium.platform.v1"] && ["Get", "List", "Watch"].exists(prefix, ctx.request.grpc.method.startsWith(prefix))"#;
const IS_HTTP_READ: &str = r#"ctx.request.http.method in ["GET", "HEAD", "OPTIONS"]"#;

pub(super) fn policies() -> Vec<Policy> {
    let policy = |name: &str, description: &str, effect, condition| Policy {
        metadata: Some(Metadata {
            description: description.to_owned(),
            ..system(name)
        }),
        spec: Some(rule(effect, condition)),
        ..Policy::default()
    };
    let read_only = condition::Type::All(condition::All {
        of: [IS_API, IS_READ].map(matches).map(of).into(),
    });
    vec![
        policy(
            "allow-all",
            "Allows every request",
            Effect::Allow,
            condition::Type::MatchAny(true),
        ),
        policy(
            "deny-all",
            "Denies every request",
            Effect::Deny,
            condition::Type::MatchAny(true),
        ),
        policy(
            "octelium-api-full-access",
            "Allows every method of the Cluster's API",
            Effect::Allow,
            matches(IS_API),
        ),
        policy(
            "octelium-api-read-only",
            "Allows the methods of the Cluster's API that change nothing",
            Effect::Allow,
            read_only,
        ),
        policy(
            "http-read-only",
            "Allows the HTTP methods GET, HEAD and OPTIONS",
            Effect::Allow,
            matches(IS_HTTP_READ),
        ),
    ]
}

pub(super) fn region() -> Region {
    Region {
        metadata: Some(system("default")),
        spec: Some(api::core_v1::region::Spec::default()),
        ..Region::default()
    }
}

pub(super) fn cluster_config() -> ClusterConfig {
    ClusterConfig {
        metadata: Some(named(cluster_config::NAME)),
        spec: Some(api::core_v1::cluster_config::Spec::default()),
        ..ClusterConfig::default()
    }
}

pub(super) fn namespaces() -> Vec<Namespace> {
    let namespace = |name, is_user_hidden| Namespace {
        metadata: Some(Metadata {
            is_user_hidden,
            ..system(name)
        }),
        spec: Some(api::core_v1::namespace::Spec::default()),
        ..Namespace::default()
    };
    vec![
        namespace("default", false),
        namespace("octelium", true),
        namespace(API_NAMESPACE, true),
    ]
}

pub(super) fn users() -> Vec<User> {
    let user = |metadata| {
        let mut user = User {
            metadata: Some(metadata),
            ..User::default()
        };
        user.spec_mut().set_type(user::spec::Type::Workload);
        user
    };
    vec![
        user(Metadata {
            description: "The first administrator".to_owned(),
            system_labels: built_in(),
            ..named("root")
        }),
        user(system("octelium")),
    ]
}

pub(super) fn services() -> Vec<Service> {
    let service = |name, mode: Mode, authorization| Service {
        metadata: Some(Metadata {
            is_user_hidden: true,
            ..system(name)
        }),
        spec: Some(service::Spec {
            mode: mode.into(),
            port: 443,
            is_tls: true,
            is_public: true,
            authorization,
            ..service::Spec::default()
        }),
        ..Service::default()
    };
    // Each Session can call the user API. All other calls of the API need a Policy that allows them.
    let everybody = service::spec::Authorization {
        inline_policies: vec![InlinePolicy {
            name: "user-api".to_owned(),
            spec: Some(rule(Effect::Allow, matches(IS_USER_API))),
        }],
        ..service::spec::Authorization::default()
    };
    vec![
        service(API_SERVICE, Mode::Grpc, Some(everybody)),
        service("auth.octelium-api", Mode::Grpc, None),
        service("default.default", Mode::Web, None),
        service("portal.default", Mode::Web, None),
    ]
}

pub(super) fn root_credential(now: UnixMillis) -> Credential {
    let allow_all = InlinePolicy {
        name: "allow-all".to_owned(),
        spec: Some(rule(Effect::Allow, condition::Type::MatchAny(true))),
    };
    Credential {
        metadata: Some(Metadata {
            system_labels: built_in(),
            ..named(ROOT_CREDENTIAL)
        }),
        spec: Some(credential::Spec {
            r#type: credential::spec::Type::AuthToken.into(),
            user: "root".to_owned(),
            session_type: SessionType::Client.into(),
            expires_at: Some(now.saturating_add(ROOT_LIFETIME).to_proto()),
            authorization: Some(credential::spec::Authorization {
                inline_policies: vec![allow_all],
                ..credential::spec::Authorization::default()
            }),
            ..credential::Spec::default()
        }),
        ..Credential::default()
    }
}

fn named(name: &str) -> Metadata {
    Metadata {
        name: name.to_owned(),
        ..Metadata::default()
    }
}

fn system(name: &str) -> Metadata {
    Metadata {
        is_system: true,
        ..named(name)
    }
}

fn rule(effect: Effect, condition: condition::Type) -> policy::Spec {
    policy::Spec {
        rules: vec![Rule {
            effect: effect.into(),
            condition: Some(of(condition)),
            ..Rule::default()
        }],
        ..policy::Spec::default()
    }
}

fn matches(expression: &str) -> condition::Type {
    condition::Type::Match(expression.to_owned())
}

fn of(r#type: condition::Type) -> Condition {
    Condition {
        r#type: Some(r#type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_policies_compile() {
        for policy in policies() {
            ::policy::check_policy(&policy.spec.unwrap()).unwrap();
        }
        for service in services() {
            for inline in service
                .spec
                .unwrap()
                .authorization
                .unwrap_or_default()
                .inline_policies
            {
                ::policy::check_policy(&inline.spec.unwrap()).unwrap();
            }
        }
    }
}
