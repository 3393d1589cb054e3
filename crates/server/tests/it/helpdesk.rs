//! The documented recipe for a helpdesk, and everything that it must not allow.

use api::{
    core_v1::{
        Credential, GenerateCredentialTokenRequest, Group, Policy, User, credential_token::Type,
    },
    meta_v1::ObjectReference,
    platform_v1::RotateCredentialRequest,
    resource::Object as _,
};
use axum::{Router, body::Body};
use http::Request;
use http_body_util::BodyExt as _;
use prost::Message;
use server::grpc_router;
use tower::ServiceExt as _;

use crate::replicas::{Backend, Replicas, log_in};

const PAGE: &str = include_str!("../../../../docs/policy.md");
const CORE: &str = "octelium.api.main.core.v1.MainService";
const PLATFORM: &str = "octelium.platform.v1.MainService";

/// Returns the YAML documents of the section.
fn recipe() -> Vec<String> {
    let (_, section) = PAGE
        .split_once("### A helpdesk that rotates Credentials of workloads")
        .unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let blocks = section.split("```yaml\n").skip(1);
    let blocks = blocks.map(|block| block.split_once("```").unwrap().0);
    blocks
        .flat_map(|block| block.split("---\n").map(str::to_owned))
        .collect()
}

/// Returns the calls that the page lists as dangerous.
fn dangerous() -> Vec<String> {
    let (_, section) = PAGE
        .split_once("### Calls that grant power over other Users")
        .unwrap();
    let (section, _) = section.split_once("### ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').nth(1).unwrap());
    cells
        .flat_map(|cell| cell.split(','))
        .map(|name| name.trim().trim_matches('`').to_owned())
        .collect()
}

struct Helpdesk {
    replicas: Replicas,
    router: Router,
    token: String,
}

/// Creates a Cluster with the recipe. `robot` is a workload of the helpdesk; `deployer` and `admin` are not.
async fn helpdesk() -> Helpdesk {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let cluster = replicas.first();
    let [group, policy, helen] = &recipe()[..] else {
        panic!("the recipe has changed");
    };
    cluster
        .create::<Group>(&replicas.actor, group)
        .await
        .unwrap();
    cluster
        .create::<Policy>(&replicas.actor, policy)
        .await
        .unwrap();
    cluster
        .create::<User>(&replicas.actor, helen)
        .await
        .unwrap();
    replicas
        .user("robot", "{ type: WORKLOAD, groups: [helpdesk-workloads] }")
        .await;
    replicas.user("deployer", "{ type: WORKLOAD }").await;
    let trusted = "{ type: WORKLOAD, groups: [helpdesk-workloads], authorization: { policies: [allow-all] } }";
    replicas.user("admin", trusted).await;
    let own = replicas.credential("AUTH_TOKEN", "helen", "").await;
    let own = replicas.issue(&own).await;
    let ctx = replicas.context(0);
    let token = log_in(ctx, &own).await.unwrap().access_token;
    let router = grpc_router(ctx.clone()).await.unwrap();
    Helpdesk {
        replicas,
        router,
        token,
    }
}

impl Helpdesk {
    /// Sends a call with a message, and returns status and response message.
    async fn call(&self, service: &str, method: &str, message: &impl Message) -> (u16, Vec<u8>) {
        let message = message.encode_to_vec();
        let mut body = vec![0];
        body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend(message);
        self.send(service, method, body).await
    }

    async fn send(&self, service: &str, method: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
        let request = Request::post(format!("https://octelium-api.localhost/{service}/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-octelium-auth", &self.token)
            .body(Body::from(body))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let collected = body.collect().await.unwrap();
        let trailers = collected.trailers().cloned().unwrap_or_default();
        let status = parts
            .headers
            .get("grpc-status")
            .or_else(|| trailers.get("grpc-status"))
            .unwrap();
        let status = status.to_str().unwrap().parse().unwrap();
        (status, collected.to_bytes().to_vec())
    }

    async fn generate(&self, reference: ObjectReference) -> u16 {
        let request = GenerateCredentialTokenRequest {
            credential_ref: Some(reference),
        };
        self.call(CORE, "GenerateCredentialToken", &request).await.0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helpdesk_rotates_credentials_of_its_workloads_s11() {
    let helpdesk = helpdesk().await;
    let credential = helpdesk
        .replicas
        .credential("AUTH_TOKEN", "robot", "")
        .await;
    let by_name = ObjectReference {
        name: credential.name().to_owned(),
        ..ObjectReference::default()
    };
    let request = GenerateCredentialTokenRequest {
        credential_ref: Some(by_name.clone()),
    };
    let (status, reply) = helpdesk
        .call(CORE, "GenerateCredentialToken", &request)
        .await;
    assert_eq!(status, 0);
    let token = api::core_v1::CredentialToken::decode(&reply[5..]).unwrap();
    let Some(Type::AuthenticationToken(token)) = token.r#type else {
        panic!("{reply:?}");
    };
    let ctx = helpdesk.replicas.context(0);
    assert!(log_in(ctx, &token.authentication_token).await.is_ok());
    assert_eq!(helpdesk.generate(credential.reference()).await, 0);
    let request = RotateCredentialRequest {
        credential_ref: Some(by_name),
        ..RotateCredentialRequest::default()
    };
    let (status, _) = helpdesk.call(PLATFORM, "RotateCredential", &request).await;
    assert_eq!(status, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helpdesk_rotates_no_other_credential_s11() {
    let helpdesk = helpdesk().await;
    let replicas = &helpdesk.replicas;
    let own = replicas.credential("AUTH_TOKEN", "robot", "").await;
    for user in ["root", "deployer", "admin", "helen"] {
        let other: Credential = replicas.credential("AUTH_TOKEN", user, "").await;
        let by_uid = ObjectReference {
            uid: other.uid().to_owned(),
            ..ObjectReference::default()
        };
        let mixed = ObjectReference {
            name: own.name().to_owned(),
            ..by_uid.clone()
        };
        let mixed_back = ObjectReference {
            uid: own.uid().to_owned(),
            ..other.reference()
        };
        for reference in [other.reference(), by_uid, mixed, mixed_back] {
            assert_eq!(helpdesk.generate(reference).await, 7, "{user}");
        }
    }
    assert_eq!(helpdesk.generate(ObjectReference::default()).await, 7);
    // Two messages. The second one names a Credential of another User.
    let other = replicas.credential("AUTH_TOKEN", "root", "").await;
    let mut body = Vec::new();
    for reference in [own.reference(), other.reference()] {
        let message = GenerateCredentialTokenRequest {
            credential_ref: Some(reference),
        };
        let message = message.encode_to_vec();
        body.push(0);
        body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend(message);
    }
    let (status, _) = helpdesk.send(CORE, "GenerateCredentialToken", body).await;
    assert_ne!(status, 0);
    // One message that names both Credentials.
    let message = GenerateCredentialTokenRequest {
        credential_ref: Some(own.reference()),
    };
    let mut message = message.encode_to_vec();
    let second = GenerateCredentialTokenRequest {
        credential_ref: Some(other.reference()),
    };
    message.extend(second.encode_to_vec());
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let (status, _) = helpdesk.send(CORE, "GenerateCredentialToken", body).await;
    assert_ne!(status, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helpdesk_can_make_no_other_call_that_grants_power_s11() {
    let helpdesk = helpdesk().await;
    let calls = dangerous();
    assert!(calls.len() > 25, "{calls:?}");
    let root = helpdesk.replicas.credential("AUTH_TOKEN", "root", "").await;
    for method in calls {
        let is_served = |service: &str| {
            let service = api::reflect::pool().get_service_by_name(service).unwrap();
            service.methods().any(|known| known.name() == method)
        };
        let service = [CORE, PLATFORM]
            .into_iter()
            .find(|service| is_served(service));
        let service = service.unwrap_or_else(|| panic!("there is no {method}"));
        let (status, _) = helpdesk.call(service, &method, &root).await;
        assert_eq!(status, 7, "{method}");
        let (status, _) = helpdesk.call(service, &method, &()).await;
        assert_eq!(status, 7, "{method}");
    }
}
