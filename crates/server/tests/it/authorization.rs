//! Authorization of every API method by role. A readable table lists all served methods; a method missing from it fails
//! the test.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use api::core_v1::User;
use axum::{Router, body::Body};
use http::Request;
use http_body_util::BodyExt as _;
use prost_reflect::DescriptorPool;
use server::grpc_router;
use tower::ServiceExt as _;

use crate::cluster::Cluster;

const TABLE: &str = include_str!("authorization.txt");

/// Columns of the table, and the Policy attached to the User of each column.
const ROLES: &[(&str, Option<&str>)] = &[
    ("anonymous", None),
    ("user", Some("")),
    ("read-only", Some("octelium-api-read-only")),
    ("full-access", Some("octelium-api-full-access")),
];

#[tokio::test]
async fn every_method_is_in_the_table_and_decided_as_it_says() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let router = grpc_router(cluster.context.clone()).await.unwrap();

    let mut tokens = Vec::new();
    for (role, policy) in ROLES {
        let Some(policy) = policy else {
            tokens.push(None);
            continue;
        };
        let policies = if policy.is_empty() {
            "[]".to_owned()
        } else {
            format!("[{policy}]")
        };
        let user = format!(
            "{{kind: User, metadata: {{name: {role}}}, spec: {{type: WORKLOAD, authorization: {{policies: {policies}}}}}}}"
        );
        cluster.create::<User>(&root, &user).await.unwrap();
        let credential = format!(
            "{{kind: Credential, metadata: {{name: {role}-token}}, spec: {{type: AUTH_TOKEN, user: {role}}}}}"
        );
        let (_, token) = cluster.issue(&root, &credential).await;
        tokens.push(Some(cluster.access_token(&token).await.unwrap()));
    }

    let mut found = BTreeMap::new();
    for method in served() {
        let mut row = Vec::new();
        for token in &tokens {
            row.push(outcome(router.clone(), &method, token.as_deref()).await);
        }
        found.insert(method, row);
    }
    assert_eq!(
        TABLE,
        render(&found),
        "left: authorization.txt, right: what is served"
    );
}

#[tokio::test]
async fn health_and_reflection_tell_of_every_service() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tonic_reflection::pb::{
        v1::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        },
        v1alpha,
    };
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let router = grpc_router(cluster.context.clone()).await.unwrap();
    let router = router.map_request(|request: Request<tonic::body::Body>| request.map(Body::new));
    let ours: Vec<String> = DescriptorPool::decode(api::reflect::DESCRIPTORS)
        .unwrap()
        .services()
        .map(|service| service.full_name().to_owned())
        .collect();
    let mut health = HealthClient::new(router.clone());
    for service in ours.iter().cloned().chain([String::new()]) {
        let check = HealthCheckRequest { service };
        let serving = health.check(check).await.unwrap().into_inner();
        assert_eq!(serving.status, 1);
    }

    let names = ours.iter().map(String::as_str).chain([
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]);
    let names: std::collections::BTreeSet<String> = names.map(str::to_owned).collect();
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(router.clone());
    let replies = client
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let reply = replies.unwrap().into_inner().message().await.unwrap();
    let Some(MessageResponse::ListServicesResponse(listed)) = reply.unwrap().message_response
    else {
        panic!("no list");
    };
    let listed: std::collections::BTreeSet<_> = listed
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    assert_eq!(listed, names);

    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(router.clone());
    let replies = client
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let reply = replies.unwrap().into_inner().message().await.unwrap();
    let Some(v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(listed)) =
        reply.unwrap().message_response
    else {
        panic!("no list");
    };
    let listed: std::collections::BTreeSet<_> = listed
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    assert_eq!(listed, names);
}

/// Recognizes refusals of the access layer by their marker. All other outcomes come from the method itself.
async fn outcome(router: Router, method: &str, token: Option<&str>) -> &'static str {
    let mut request = Request::post(format!("https://octelium-api.localhost/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(token) = token {
        request = request.header("x-octelium-auth", token);
    }
    // One empty message.
    let request = request.body(Body::from(vec![0; 5])).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    // A stream that stays open was authorized.
    let collected = tokio::time::timeout(Duration::from_millis(300), body.collect()).await;
    let Ok(collected) = collected else {
        return "allowed";
    };
    let trailers = collected.unwrap().trailers().cloned().unwrap_or_default();
    let status = parts
        .headers
        .get("grpc-status")
        .or_else(|| trailers.get("grpc-status"));
    let status = status.map(|status| status.to_str().unwrap().to_owned());
    let is_refused = parts.headers.contains_key("x-octelium-unauthorized");
    match (is_refused, status.as_deref()) {
        (true, Some("16")) => "unauthenticated",
        (true, Some("7")) => "denied",
        (false, Some("12")) => "unimplemented",
        (false, Some(_)) => "allowed",
        other => panic!("{method}: {other:?}"),
    }
}

/// Returns `<package>.<Service>/<Method>` of all served methods.
fn served() -> Vec<String> {
    let mut pool = DescriptorPool::decode(api::reflect::DESCRIPTORS).unwrap();
    for descriptors in [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        pool.decode_file_descriptor_set(descriptors).unwrap();
    }
    pool.services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| format!("{}/{}", method.parent_service().full_name(), method.name()))
        .collect()
}

fn render(rows: &BTreeMap<String, Vec<&'static str>>) -> String {
    let mut table = String::new();
    let names: Vec<&str> = ROLES.iter().map(|(role, _)| *role).collect();
    for (method, cells) in std::iter::once((&"# method".to_owned(), &names)).chain(rows) {
        let mut line = format!("{method:<76}");
        for cell in cells {
            write!(line, " {cell:<15}").unwrap();
        }
        writeln!(table, "{}", line.trim_end()).unwrap();
    }
    table
}
