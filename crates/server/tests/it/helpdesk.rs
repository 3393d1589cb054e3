//! The documented recipe for a helpdesk, and the calls that it must not allow.

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
use server::{grpc_router, resource::write::Update};
use tower::ServiceExt as _;

use crate::{
    cluster::parse,
    replicas::{Backend, Replicas, log_in},
};

const PAGE: &str = include_str!("../../../../docs/policy.md");
const CORE: &str = "octelium.api.main.core.v1.MainService";
const PLATFORM: &str = "octelium.platform.v1.MainService";

/// Returns the YAML documents of the recipe.
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

/// Creates a Cluster with the recipe. `robot` is a workload that the helpdesk manages; `deployer` and `admin` are not.
async fn helpdesk() -> Helpdesk {
    let [group, policy, helen] = &recipe()[..] else {
        panic!("the recipe has changed");
    };
    helpdesk_with(group, policy, helen).await
}

async fn helpdesk_with(group: &str, policy: &str, helen: &str) -> Helpdesk {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let cluster = replicas.first();
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
    // A Credential with its own Policies. Its User has none.
    let inline = "authorization: { inlinePolicies: [{ name: all, spec: { rules: [{ effect: ALLOW, condition: { matchAny: true } }] } }] }";
    for power in [
        "authorization: { policies: [octelium-api-full-access] }",
        inline,
    ] {
        let strong = replicas.credential("AUTH_TOKEN", "robot", power).await;
        assert_eq!(helpdesk.generate(strong.reference()).await, 7, "{power}");
    }
    assert_eq!(helpdesk.generate(ObjectReference::default()).await, 7);
    // Two messages. The second names a Credential of another User.
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
async fn a_helpdesk_cannot_make_other_privileged_calls_s11() {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_policies_leaves_its_users_out_s11() {
    let helpdesk = helpdesk().await;
    let replicas = &helpdesk.replicas;
    let own = replicas.credential("AUTH_TOKEN", "robot", "").await;
    assert_eq!(helpdesk.generate(own.reference()).await, 0);
    let group = "{ kind: Group, metadata: { name: helpdesk-workloads }, spec: { authorization: { policies: [allow-all] } } }";
    let update = Update(parse::<Group>(group));
    replicas.first().run(&replicas.actor, update).await.unwrap();
    replicas.settle().await;
    assert_eq!(helpdesk.generate(own.reference()).await, 7);
}

/// Calls that change something but grant no power: they only remove something, or only answer a question.
const HARMLESS: [&str; 10] = [
    "DeleteConfig",
    "DeleteCredential",
    "DeleteGroup",
    "DeleteIdentityProvider",
    "DeleteNamespace",
    "DeleteSecret",
    "DeleteService",
    "DeleteSession",
    "DeleteUser",
    "RevokeEnrollment",
];

#[test]
fn every_call_is_listed_as_dangerous_or_known_as_harmless_s11() {
    let dangerous = dangerous();
    for service in [CORE, PLATFORM] {
        let service = api::reflect::pool().get_service_by_name(service).unwrap();
        for method in service.methods() {
            let name = method.name();
            let reads = ["Get", "List", "Watch", "Explain"]
                .iter()
                .any(|verb| name.starts_with(verb));
            let known = [
                reads,
                HARMLESS.contains(&name),
                dangerous.iter().any(|one| one == name),
            ];
            let count = known.into_iter().filter(|is_so| *is_so).count();
            assert_eq!(count, 1, "{name}");
        }
    }
}

/// Returns the Policy in the documentation of the console.
fn console_recipe() -> &'static str {
    let page = include_str!("../../../../docs/admin-console.md");
    let (_, block) = page.split_once("```yaml\n").unwrap();
    block.split_once("```").unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recipe_for_the_console_grants_no_power_s11() {
    let [group, _, helen] = &recipe()[..] else {
        panic!("the recipe has changed");
    };
    let helpdesk = helpdesk_with(group, console_recipe(), helen).await;
    assert_eq!(helpdesk.call(CORE, "ListUser", &()).await.0, 0);
    let root = helpdesk.replicas.credential("AUTH_TOKEN", "root", "").await;
    for method in dangerous() {
        let service = if PLATFORM_CALLS.contains(&&*method) {
            PLATFORM
        } else {
            CORE
        };
        assert_eq!(
            helpdesk.call(service, &method, &root).await.0,
            7,
            "{method}"
        );
    }
}

const PLATFORM_CALLS: [&str; 4] = [
    "RotateCredential",
    "CreateEnrollment",
    "ResetAuthenticators",
    "Apply",
];

/// Allows helen to create Credentials and Users, and to change Groups, if none of them has Policies.
const POWERLESS: &str = "
kind: Policy
metadata: { name: helpdesk }
spec:
  rules:
    - effect: ALLOW
      condition:
        all:
          of:
            - match: ctx.request.grpc.method in ['CreateCredential', 'CreateUser', 'UpdateUser', 'UpdateGroup', 'UpdateCredential']
            - match: size(ctx.request.grpc.target.policies) == 0
            - match: ctx.request.grpc.target.inlinePolicies == 0
";

#[tokio::test(flavor = "multi_thread")]
async fn a_target_has_the_policies_that_are_sent_s11() {
    let [group, _, helen] = &recipe()[..] else {
        panic!("the recipe has changed");
    };
    let helen = helen.replace(", octelium-api-read-only", "");
    let helpdesk = helpdesk_with(group, POWERLESS, &helen).await;
    let replicas = &helpdesk.replicas;
    let strong = "{ kind: Group, metadata: { name: strong }, spec: { authorization: { policies: [allow-all] } } }";
    replicas
        .first()
        .create::<Group>(&replicas.actor, strong)
        .await
        .unwrap();
    let credential = |name: &str, user: &str, rest: &str| {
        parse::<Credential>(&format!(
            "{{ kind: Credential, metadata: {{ name: {name} }}, spec: {{ type: AUTH_TOKEN, user: {user}{rest} }} }}"
        ))
    };
    let user = |name: &str, rest: &str| {
        parse::<User>(&format!(
            "{{ kind: User, metadata: {{ name: {name} }}, spec: {{ type: WORKLOAD{rest} }} }}"
        ))
    };
    let policies = ", authorization: { policies: [octelium-api-full-access] }";
    let inline = ", authorization: { inlinePolicies: [{ name: all, spec: { rules: [] } }] }";
    let allowed = credential("plain", "robot", "");
    assert_eq!(helpdesk.call(CORE, "CreateCredential", &allowed).await.0, 0);
    for refused in [
        credential("first", "robot", policies),
        credential("second", "robot", inline),
        credential("third", "admin", ""),
    ] {
        let (status, _) = helpdesk.call(CORE, "CreateCredential", &refused).await;
        assert_eq!(status, 7, "{}", refused.name());
    }
    assert_eq!(
        helpdesk.call(CORE, "CreateUser", &user("new", "")).await.0,
        0
    );
    for refused in [
        user("first", policies),
        user("second", inline),
        user("third", ", groups: [strong]"),
    ] {
        let (status, _) = helpdesk.call(CORE, "CreateUser", &refused).await;
        assert_eq!(status, 7, "{}", refused.name());
    }
    assert_eq!(
        helpdesk.call(CORE, "UpdateUser", &user("new", "")).await.0,
        0
    );
    for refused in [
        user("new", policies),
        user("new", ", groups: [strong]"),
        user("admin", ""),
    ] {
        let (status, _) = helpdesk.call(CORE, "UpdateUser", &refused).await;
        assert_eq!(status, 7, "{}", refused.name());
    }
    let group = parse::<Group>(
        "{ kind: Group, metadata: { name: helpdesk-workloads }, spec: { authorization: { policies: [allow-all] } } }",
    );
    assert_eq!(helpdesk.call(CORE, "UpdateGroup", &group).await.0, 7);
}
