//! Implements the methods of the fake Cluster.

use api::{
    auth_v1::{
        AuthenticateWithAuthenticationTokenRequest, GetAvailableAuthenticatorResponse,
        RegisterDeviceBeginResponse, RegisterDeviceFinishResponse, SessionToken,
    },
    core_v1::{self, CredentialToken, GenerateCredentialTokenRequest, credential_token},
    meta_v1::{DeleteOptions, GetOptions, Metadata, ObjectReference},
    platform_v1::{
        AccessEvent, AccessEventList, ApplyRequest, ApplyResponse, AuditEvent, AuditEventList,
        CreateEnrollmentRequest, DecisionExplanation, Enrollment, EnrollmentList,
        ResetAuthenticatorsResponse, Resource, RevokeEnrollmentRequest, RevokeEnrollmentResponse,
        RotateCredentialRequest, WatchEvent, WatchRequest,
        access_event::Decision,
        apply_response::{self, Action},
        audit_event::Outcome,
        decision_explanation,
        resource::Resource as Body,
        watch_event,
    },
    user_v1::{self, GetStatusResponse, get_status_response},
};
use prost::Message;
use tonic::Code;

use super::{Answer, Call, State};

pub(super) fn answer(state: &mut State, call: &Call) -> Answer {
    let (service, method) = call.method.split_once('/').unwrap();
    let package = service.split('.').next().unwrap();
    if package != "auth" {
        let known = call.access_token == "static" || call.access_token.starts_with("access-");
        if !known || state.rejected_access_tokens.contains(&call.access_token) {
            return Err((Code::Unauthenticated, "Unauthenticated User".to_owned()));
        }
    }
    match (package, method) {
        ("auth", "AuthenticateWithAuthenticationToken") => {
            let request: AuthenticateWithAuthenticationTokenRequest = decode(call);
            if request.authentication_token == "good" {
                one(&session_token(state))
            } else {
                Err((Code::Unauthenticated, "Unauthenticated User".to_owned()))
            }
        }
        ("auth", "AuthenticateWithRefreshToken") => {
            if !call.refresh_token.starts_with("refresh-") {
                return Err((Code::Unauthenticated, "Unauthenticated User".to_owned()));
            }
            state.refreshes += 1;
            one(&session_token(state))
        }
        ("auth", "Logout") => one(&api::auth_v1::LogoutResponse {}),
        ("auth", "RegisterDeviceBegin") => one(&RegisterDeviceBeginResponse {
            uid: "registration".to_owned(),
            ..RegisterDeviceBeginResponse::default()
        }),
        ("auth", "RegisterDeviceFinish") => one(&RegisterDeviceFinishResponse {}),
        ("auth", "GetAvailableAuthenticator") => one(&GetAvailableAuthenticatorResponse::default()),
        ("user", "GetStatus") => one(&status(state)),
        ("user", "ListService") => one(&user_v1::ServiceList::default()),
        ("user", "ListNamespace") => one(&namespaces()),
        ("core", "GenerateCredentialToken") => {
            let request: GenerateCredentialTokenRequest = decode(call);
            credential_token(state, request.credential_ref)
        }
        ("core", _) => resource(state, call, method),
        ("platform", "ResetAuthenticators") => one(&ResetAuthenticatorsResponse {
            deleted_authenticators: 2,
            ended_sessions: 1,
        }),
        ("platform", "RotateCredential") => {
            let request: RotateCredentialRequest = decode(call);
            credential_token(state, request.credential_ref)
        }
        ("platform", "Apply") => one(&apply(state, &decode(call))),
        ("platform", "Watch") => Ok(watch(state, &decode(call))),
        ("platform", "ListAuditEvent") => one(&audit()),
        ("platform", "ListAccessEvent") => one(&access()),
        ("platform", "ExplainDecision") => one(&explanation()),
        ("platform", "CreateEnrollment") => one(&enrollment(&decode(call))),
        ("platform", "ListEnrollment") => one(&EnrollmentList {
            items: vec![Enrollment {
                url: String::new(),
                ..enrollment(&CreateEnrollmentRequest {
                    user_ref: Some(ObjectReference {
                        name: "john".to_owned(),
                        ..ObjectReference::default()
                    }),
                    expires_in: None,
                })
            }],
            ..EnrollmentList::default()
        }),
        ("platform", "RevokeEnrollment") => {
            let request: RevokeEnrollmentRequest = decode(call);
            if request.uid == "gone" {
                let message = "The Enrollment gone does not exist".to_owned();
                return Err((Code::NotFound, message));
            }
            one(&RevokeEnrollmentResponse {
                revoked: if request.uid.is_empty() { 2 } else { 1 },
            })
        }
        _ => Err((Code::Unimplemented, call.method.clone())),
    }
}

fn enrollment(request: &CreateEnrollmentRequest) -> Enrollment {
    let user = request.user_ref.clone().unwrap();
    Enrollment {
        url: format!("https://example.com/enroll#{}.code", user.name),
        user_ref: Some(user),
        uid: "link-1".to_owned(),
        ..Enrollment::default()
    }
}

fn resource(state: &mut State, call: &Call, method: &str) -> Answer {
    let missing =
        |kind: &str, name: &str| (Code::NotFound, format!("The {kind} {name} does not exist"));
    let split = |verb: &str| method.strip_prefix(verb).map(str::to_owned);
    if let Some(kind) = split("Get") {
        let options: GetOptions = decode(call);
        let name = if kind == "ClusterConfig" {
            "default".to_owned()
        } else {
            options.name
        };
        let found = state.objects.get(&(kind.clone(), name.clone()));
        return found
            .map(|resource| vec![resource.encode_object()])
            .ok_or_else(|| missing(&kind, &name));
    }
    if let Some(kind) = split("List") {
        // `common` is the first field of all list options, so any of their types decodes it.
        let options = core_v1::ListSessionOptions::decode(call.body.clone()).unwrap_or_default();
        let page = options.common.unwrap_or_default().page as usize;
        return Ok(vec![state.list(&kind, page)]);
    }
    if let Some(kind) = split("Delete") {
        let options: DeleteOptions = decode(call);
        return match state.objects.remove(&(kind.clone(), options.name.clone())) {
            Some(_) => one(&api::meta_v1::OperationResult {}),
            None => Err(missing(&kind, &options.name)),
        };
    }
    let (verb, kind) = match (split("Create"), split("Update")) {
        (Some(kind), _) => ("create", kind),
        (_, Some(kind)) => ("update", kind),
        _ => return Err((Code::Unimplemented, method.to_owned())),
    };
    let mut sent = Resource::decode_object(&kind, &call.body).unwrap().unwrap();
    let exists = state
        .objects
        .contains_key(&(kind.clone(), sent.name().to_owned()));
    match (verb, exists) {
        ("create", true) => {
            let text = format!("The {kind} {} already exists", sent.name());
            Err((Code::AlreadyExists, text))
        }
        ("update", false) => Err(missing(&kind, sent.name())),
        _ => {
            complete(&mut sent);
            state.insert(sent.clone());
            Ok(vec![sent.encode_object()])
        }
    }
}

/// Sets the metadata that the Cluster adds.
pub(super) fn complete(resource: &mut Resource) {
    let kind = resource.kind().unwrap().to_lowercase();
    let name = resource.name().to_owned();
    if let Some(metadata) = resource.metadata_mut() {
        metadata.uid = format!("uid-of-{kind}-{name}");
        metadata.resource_version = "7".to_owned();
        if metadata.created_at.is_none() {
            metadata.created_at = Some(ago(3 * 86_400 + 3_600));
        }
    }
    resource.stamp();
    match resource.resource.as_mut().unwrap() {
        Body::Secret(secret) => secret.data = None,
        Body::Config(config) => config.data = None,
        Body::Credential(credential) => {
            let user = credential.spec.clone().unwrap_or_default().user;
            let status = credential.status.get_or_insert_default();
            status.user_ref = reference("User", &user);
            status.id = "abcd-efgh".to_owned();
        }
        Body::Service(service) => {
            let (_, namespace) = name.split_once('.').unwrap_or((&name, "default"));
            let status = service.status.get_or_insert_default();
            status.namespace_ref = reference("Namespace", namespace);
        }
        _ => {}
    }
}

pub(crate) fn ago(seconds: i64) -> prost_types::Timestamp {
    let now = domain::clock::Clock::now(&domain::clock::SystemClock).seconds();
    domain::clock::UnixMillis::from_seconds(now - seconds).to_proto()
}

fn apply(state: &mut State, request: &ApplyRequest) -> ApplyResponse {
    let mut response = ApplyResponse::default();
    for (index, resource) in request.resources.iter().enumerate() {
        let kind = resource.kind().unwrap().to_owned();
        let name = resource.name().to_owned();
        if name.starts_with("bad") {
            response.problems.push(apply_response::Problem {
                index: Some(u32::try_from(index).unwrap()),
                kind,
                name,
                code: Code::InvalidArgument as u32,
                message: "Invalid name".to_owned(),
            });
            continue;
        }
        let before = state.objects.get(&(kind.clone(), name.clone())).cloned();
        let mut after = resource.clone();
        complete(&mut after);
        let action = match &before {
            None => Action::Created,
            Some(before) if spec(before) == spec(&after) && kind != "Secret" => Action::Unchanged,
            Some(_) => Action::Updated,
        };
        let kind_of_warning = resource.kind().unwrap();
        response.results.push(apply_response::Result {
            kind,
            name,
            action: action.into(),
            before,
            after: Some(after),
            warnings: state
                .warnings
                .get(kind_of_warning)
                .cloned()
                .unwrap_or_default(),
        });
    }
    for kind in &request.prune_kinds {
        let kept = |name: &str| {
            let mut wanted = request.resources.iter();
            wanted.any(|r| r.kind() == Some(kind.as_str()) && r.name() == name)
        };
        let of_kind = state.of_kind(kind);
        let deleted: Vec<_> = of_kind
            .iter()
            .filter(|object| !kept(object.name()))
            .collect();
        if deleted.len() == of_kind.len() && !deleted.is_empty() && !request.allow_prune_all {
            response.problems.push(apply_response::Problem {
                code: Code::FailedPrecondition as u32,
                message: format!("every {kind} would be deleted"),
                ..apply_response::Problem::default()
            });
        }
        response
            .results
            .extend(deleted.into_iter().map(|object| apply_response::Result {
                kind: kind.clone(),
                name: object.name().to_owned(),
                action: Action::Deleted.into(),
                before: Some(object.clone()),
                after: None,
                warnings: Vec::new(),
            }));
    }
    if !response.problems.is_empty() {
        response.results.clear();
    } else if !request.dry_run {
        for result in &response.results {
            match &result.after {
                Some(after) => state.insert(after.clone()),
                None => {
                    state
                        .objects
                        .remove(&(result.kind.clone(), result.name.clone()));
                }
            }
        }
    }
    response
}

fn spec(resource: &Resource) -> Option<prost_reflect::Value> {
    resource.dynamic()?.take_field_by_name("spec")
}

fn watch(state: &State, request: &WatchRequest) -> Vec<Vec<u8>> {
    let event = |r#type: watch_event::Type, resource: Option<Resource>, cursor| {
        WatchEvent {
            r#type: r#type.into(),
            resource,
            cursor,
        }
        .encode_to_vec()
    };
    let objects = state.of_kind(&request.kind);
    let mut events: Vec<Vec<u8>> = Vec::new();
    if request.after_cursor == 0 {
        for object in &objects {
            events.push(event(watch_event::Type::Added, Some(object.clone()), 0));
        }
        events.push(event(watch_event::Type::Synced, None, 41));
        events.extend(
            objects
                .first()
                .map(|object| event(watch_event::Type::Modified, Some(object.clone()), 42)),
        );
    }
    events
}

fn access() -> AccessEventList {
    let denied = AccessEvent {
        request_id: "4c1f".to_owned(),
        at: Some(prost_types::Timestamp {
            seconds: 1_800_000_000,
            nanos: 5,
        }),
        decision: Decision::Denied.into(),
        reason: "no Policy allows it".to_owned(),
        user_ref: reference("User", "alice"),
        service_ref: reference("Service", "web.default"),
        session_ref: reference("Session", "alice-x1"),
        ip_address: "192.0.2.7".to_owned(),
        method: "GET".to_owned(),
        host: "web.example.com".to_owned(),
        path: "/a".to_owned(),
        status: 403,
        duration: Some(prost_types::Duration {
            seconds: 0,
            nanos: 1_234_567,
        }),
        count: 1,
        ..AccessEvent::default()
    };
    let left_out = AccessEvent {
        at: denied.at,
        decision: Decision::LeftOut.into(),
        count: 7,
        ..AccessEvent::default()
    };
    AccessEventList {
        items: vec![left_out, denied],
        ..AccessEventList::default()
    }
}

fn audit() -> AuditEventList {
    let event = AuditEvent {
        uid: "5f".to_owned(),
        at: Some(prost_types::Timestamp {
            seconds: 1_800_000_000,
            nanos: 5,
        }),
        r#type: "credential.used".to_owned(),
        outcome: Outcome::Refused.into(),
        reason: "credential_disabled".to_owned(),
        user_ref: reference("User", "microservice1"),
        resource_ref: reference("Credential", "cred01"),
        ip_address: "192.0.2.7".to_owned(),
        count: 12,
        ..AuditEvent::default()
    };
    AuditEventList {
        items: vec![event],
        ..AuditEventList::default()
    }
}

fn credential_token(state: &State, reference: Option<ObjectReference>) -> Answer {
    use credential_token::{AccessToken, AuthenticationToken, OAuth2Credentials, Type};
    let name = reference.unwrap_or_default().name;
    let key = ("Credential".to_owned(), name.clone());
    let Some(Body::Credential(credential)) = state
        .objects
        .get(&key)
        .and_then(|object| object.resource.clone())
    else {
        return Err((
            Code::NotFound,
            format!("The Credential {name} does not exist"),
        ));
    };
    let token = format!("AQ-{name}");
    let r#type = match credential.spec.unwrap_or_default().r#type() {
        core_v1::credential::spec::Type::Oauth2 => Type::Oauth2Credentials(OAuth2Credentials {
            client_id: "spxg-cdyx".to_owned(),
            client_secret: token,
        }),
        core_v1::credential::spec::Type::AccessToken => Type::AccessToken(AccessToken {
            access_token: token,
        }),
        _ => Type::AuthenticationToken(AuthenticationToken {
            authentication_token: token,
        }),
    };
    one(&CredentialToken {
        r#type: Some(r#type),
    })
}

fn session_token(state: &mut State) -> SessionToken {
    state.sessions += 1;
    SessionToken {
        access_token: format!("access-{}", state.sessions),
        refresh_token: format!("refresh-{}", state.sessions),
        expires_in: state.expires_in,
        refresh_token_expires_in: 86_400,
    }
}

fn status(state: &State) -> GetStatusResponse {
    use get_status_response::user::spec::Type;
    let user_type = if state.is_workload {
        Type::Workload
    } else {
        Type::Human
    };
    let metadata = |name: &str, display_name: &str| {
        Some(Metadata {
            name: name.to_owned(),
            display_name: display_name.to_owned(),
            ..Metadata::default()
        })
    };
    GetStatusResponse {
        domain: "localhost".to_owned(),
        cluster: None,
        user: Some(get_status_response::User {
            metadata: metadata("alice", "Alice A."),
            spec: Some(get_status_response::user::Spec {
                email: "alice@example.com".to_owned(),
                r#type: user_type.into(),
            }),
            status: None,
        }),
        session: Some(get_status_response::Session {
            metadata: metadata("alice-x1y2z3", ""),
            spec: None,
            status: Some(get_status_response::session::Status {
                r#type: get_status_response::session::status::Type::Client.into(),
                is_connected: false,
            }),
        }),
    }
}

fn namespaces() -> user_v1::NamespaceList {
    user_v1::NamespaceList {
        items: vec![user_v1::Namespace {
            metadata: Some(Metadata {
                name: "default".to_owned(),
                description: "The default Namespace".to_owned(),
                ..Metadata::default()
            }),
            ..user_v1::Namespace::default()
        }],
        ..user_v1::NamespaceList::default()
    }
}

fn reference(kind: &str, name: &str) -> Option<ObjectReference> {
    Some(ObjectReference {
        kind: kind.to_owned(),
        name: name.to_owned(),
        ..ObjectReference::default()
    })
}

fn decode<M: Message + Default>(call: &Call) -> M {
    M::decode(call.body.clone()).unwrap()
}

fn one<M: Message>(message: &M) -> Answer {
    Ok(vec![message.encode_to_vec()])
}

fn explanation() -> DecisionExplanation {
    DecisionExplanation {
        allowed: false,
        reason: "denied by rule rules[1] of Policy readers".to_owned(),
        policy: "readers".to_owned(),
        rule: "rules[1]".to_owned(),
        steps: vec![decision_explanation::Step {
            policy: "readers".to_owned(),
            rule: "rules[1]".to_owned(),
            effect: core_v1::policy::spec::rule::Effect::Deny.into(),
            priority: -1,
            outcome: decision_explanation::Outcome::Matched.into(),
            error: String::new(),
        }],
        attachments: vec![decision_explanation::Attachment {
            owner: "Service web.default".to_owned(),
            policies: vec!["readers".to_owned()],
        }],
        assumptions: vec!["no Session is given".to_owned()],
        shadow: Some(decision_explanation::Shadow {
            allowed: true,
            reason: "allowed by rule rules[0] of Policy trial".to_owned(),
            steps: Vec::new(),
        }),
        step_up: Some(decision_explanation::StepUp {
            description: "with a passkey or security key, within the last 5 minutes".to_owned(),
            acr_values: vec!["phr".to_owned()],
            max_age: None,
            authenticators: vec!["fido-abcdef".to_owned()],
        }),
    }
}
