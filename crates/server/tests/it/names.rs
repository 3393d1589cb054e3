//! The lengths of names and uids in requests of the API.

use api::{
    core_v1::{Credential, Group, User, credential, user},
    meta_v1::{GetOptions, Metadata},
    platform_v1::ApplyRequest,
    resource::Object as _,
};
use axum::{Router, body::Body};
use http::Request;
use http_body_util::BodyExt as _;
use prost::Message;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, Value};
use server::{grpc_router, resource::apply::Apply};
use tower::ServiceExt as _;

use crate::replicas::{Backend, Replicas, log_in};

const AUTH: &str = "octelium.api.main.auth.v1.MainService";
const CORE: &str = "octelium.api.main.core.v1.MainService";
const INVALID_ARGUMENT: u16 = 3;
const NOT_FOUND: u16 = 5;
/// The messages in requests that name an object.
const NAMING: [&str; 2] = [
    "octelium.api.main.meta.v1.ObjectReference",
    "octelium.api.main.meta.v1.Metadata",
];
/// The id of a registration that was begun. It is not the uid of an object.
const REGISTRATION: &str = "RegisterDeviceFinish";

struct Administrator {
    replicas: Replicas,
    router: Router,
    access_token: String,
    refresh_token: String,
}

impl Administrator {
    async fn log_in() -> Self {
        let replicas = Replicas::start(Backend::Sqlite, 1).await;
        replicas.workload("admin").await;
        let spec = "authorization: { policies: [allow-all] }";
        let credential = replicas.credential("AUTH_TOKEN", "admin", spec).await;
        let secret = replicas.issue(&credential).await;
        let ctx = replicas.context(0);
        let tokens = log_in(ctx, &secret).await.unwrap();
        let router = grpc_router(ctx.clone()).await.unwrap();
        Self {
            replicas,
            router,
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
        }
    }

    /// Returns the status of a call.
    async fn call(&self, service: &str, method: &str, message: &impl Message) -> u16 {
        let message = message.encode_to_vec();
        let mut body = vec![0];
        body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend(message);
        let token = if service == AUTH {
            ("x-octelium-refresh-token", &self.refresh_token)
        } else {
            ("x-octelium-auth", &self.access_token)
        };
        let request = Request::post(format!("https://octelium-api.localhost/{service}/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header(token.0, token.1)
            .body(Body::from(body))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let collected = body.collect().await.unwrap();
        let trailers = collected.trailers().cloned().unwrap_or_default();
        let status = parts
            .headers
            .get("grpc-status")
            .or_else(|| trailers.get("grpc-status"));
        status.unwrap().to_str().unwrap().parse().unwrap()
    }
}

/// Returns a value that is one byte too long, if the field contains a name or a uid.
fn too_long(field: &str) -> Option<Value> {
    let length = match field {
        "uid" => 37,
        "name" | "namespace" | "user" | "session" | "device" | "service" => 129,
        _ => return None,
    };
    Some(Value::String("a".repeat(length)))
}

/// Returns one message for each name and each uid that it can contain, with the path of the field.
fn messages(descriptor: &MessageDescriptor) -> Vec<(String, DynamicMessage)> {
    let mut messages = Vec::new();
    let single = descriptor
        .fields()
        .filter(|field| !field.is_list() && !field.is_map());
    for field in single {
        let path = field.name();
        match field.kind() {
            Kind::String => {
                if let Some(value) = too_long(path) {
                    let mut message = DynamicMessage::new(descriptor.clone());
                    message.set_field(&field, value);
                    messages.push((path.to_owned(), message));
                }
            }
            Kind::Message(inner) if NAMING.contains(&inner.full_name()) => {
                for name in ["name", "uid"] {
                    let mut nested = DynamicMessage::new(inner.clone());
                    // A reference to any kind needs the kind.
                    nested.set_field_by_name("kind", Value::String("User".to_owned()));
                    nested.set_field_by_name(name, too_long(name).unwrap());
                    let mut message = DynamicMessage::new(descriptor.clone());
                    message.set_field(&field, Value::Message(nested));
                    messages.push((format!("{path}.{name}"), message));
                }
            }
            _ => {}
        }
    }
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_refuses_names_and_uids_that_are_too_long_s02() {
    let administrator = Administrator::log_in().await;
    let mut accepted = Vec::new();
    let mut count = 0;
    let services = api::reflect::pool().services();
    for method in services.flat_map(|service| service.methods().collect::<Vec<_>>()) {
        if method.is_client_streaming() || method.name() == REGISTRATION {
            continue;
        }
        let service = method.parent_service().full_name().to_owned();
        for (path, message) in messages(&method.input()) {
            let status = administrator.call(&service, method.name(), &message).await;
            count += 1;
            if status != INVALID_ARGUMENT {
                accepted.push(format!("{service}/{} {path}: {status}", method.name()));
            }
        }
    }
    assert!(accepted.is_empty(), "{accepted:#?}");
    assert!(count > 100, "{count}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_name_is_looked_up() {
    let administrator = Administrator::log_in().await;
    for (length, expected) in [(128, NOT_FOUND), (129, INVALID_ARGUMENT)] {
        let which = GetOptions {
            name: "a".repeat(length),
            ..GetOptions::default()
        };
        let status = administrator.call(CORE, "GetUser", &which).await;
        assert_eq!(status, expected, "{length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_other_objects_in_a_spec_are_bounded_s02() {
    let administrator = Administrator::log_in().await;
    let long = "a".repeat(100_000);
    let metadata = Some(Metadata {
        name: "one".to_owned(),
        ..Metadata::default()
    });
    let credential = Credential {
        metadata: metadata.clone(),
        spec: Some(credential::Spec {
            r#type: credential::spec::Type::AuthToken.into(),
            user: long.clone(),
            ..credential::Spec::default()
        }),
        ..Credential::default()
    };
    let status = administrator
        .call(CORE, "CreateCredential", &credential)
        .await;
    assert_eq!(status, INVALID_ARGUMENT);
    let user = |groups: Vec<String>, policies: Vec<String>| User {
        metadata: metadata.clone(),
        spec: Some(user::Spec {
            r#type: user::spec::Type::Workload.into(),
            groups,
            authorization: Some(user::spec::Authorization {
                policies,
                ..user::spec::Authorization::default()
            }),
            ..user::Spec::default()
        }),
        ..User::default()
    };
    for user in [user(vec![long.clone()], vec![]), user(vec![], vec![long])] {
        let status = administrator.call(CORE, "CreateUser", &user).await;
        assert_eq!(status, INVALID_ARGUMENT);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_too_long_is_a_problem_of_an_apply_and_not_repeated_s02() {
    let administrator = Administrator::log_in().await;
    let replicas = &administrator.replicas;
    let group = Group {
        metadata: Some(Metadata {
            name: "a".repeat(100_000),
            ..Metadata::default()
        }),
        ..Group::default()
    };
    let request = ApplyRequest {
        resources: vec![group.into_resource()],
        ..ApplyRequest::default()
    };
    let applied = replicas.first().run(&replicas.actor, Apply(request)).await;
    let problems = applied.unwrap().problems;
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].code, u32::from(INVALID_ARGUMENT));
    assert!(problems[0].name.is_empty());
    assert!(problems[0].message.len() < 200, "{}", problems[0].message);
}
