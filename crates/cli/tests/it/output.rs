//! Tests of tables, lists and single objects.

use api::platform_v1::resource::Resource as Body;

use crate::{
    fake::{State, now},
    program::World,
};

fn cluster() -> World {
    let world = World::logged_in();
    let in_400_days = domain::clock::UnixMillis::from_seconds(now() + 400 * 86_400 + 3_600);
    world.cluster.put(&format!(
        "
kind: User
metadata: {{name: alice, displayName: \"Alice \\e[31mA.\"}}
spec: {{type: HUMAN, email: alice@example.com, groups: [dev, ops], isDisabled: true}}
---
kind: User
metadata: {{name: microservice1}}
spec: {{type: WORKLOAD, authorization: {{policies: [p1], inlinePolicies: [{{spec: {{}}}}]}}}}
---
kind: Service
metadata: {{name: web.default}}
spec: {{mode: HTTP, port: 8080, isPublic: true}}
---
kind: Policy
metadata: {{name: allow-all}}
spec: {{rules: [{{effect: ALLOW, condition: {{matchAny: true}}}}]}}
---
kind: Credential
metadata: {{name: cred01}}
spec: {{type: AUTH_TOKEN, user: microservice1, sessionType: CLIENT, maxAuthentications: 3, expiresAt: {in_400_days}}}
---
kind: Credential
metadata: {{name: cred02}}
spec: {{type: OAUTH2, user: microservice1, sessionType: CLIENTLESS, isDisabled: true, expiresAt: 2020-01-01T00:00:00Z}}
"
    ));
    change(&mut world.cluster.state());
    world
}

fn change(state: &mut State) {
    for object in state.objects.values_mut() {
        if let Some(Body::Credential(credential)) = &mut object.resource
            && let Some(status) = &mut credential.status
        {
            status.version = 1;
            if credential.metadata.as_ref().unwrap().name == "cred01" {
                status.total_authentications = 2;
                status.last_used_at = Some(prost_types::Timestamp {
                    seconds: now() - 5 * 3_600 - 61,
                    nanos: 0,
                });
            }
        }
    }
}

#[test]
fn tables() {
    let world = cluster();
    let show = |line: &str| world.ctl(line).ok();
    insta::assert_snapshot!(show("get user"));
    insta::assert_snapshot!(show("get usr -o wide"));
    insta::assert_snapshot!(show("get svc"));
    insta::assert_snapshot!(show("get pol"));
    insta::assert_snapshot!(show("get cred"));
    insta::assert_snapshot!(show("get creds -o wide"));
    insta::assert_snapshot!(show("get audit"));
    insta::assert_snapshot!(show("get audit -o wide"));
    insta::assert_snapshot!(show("get access --decision denied --since 1h"));
    insta::assert_snapshot!(show("get access -o wide"));
    insta::assert_snapshot!(world.octelium("get namespace").ok());
}

#[test]
fn an_empty_list_is_a_list() {
    let world = World::logged_in();
    for kind in [
        "user", "service", "policy", "idp", "authn", "region", "gw", "device", "session",
    ] {
        let json: serde_json::Value =
            serde_json::from_str(&world.ctl(&format!("get {kind} -o json")).ok()).unwrap();
        assert_eq!(json["items"], serde_json::json!([]), "{kind}");
        assert!(json["kind"].as_str().unwrap().ends_with("List"), "{kind}");
    }
    let ended = world.ctl("get user");
    assert_eq!(ended.stderr, "No Users found\n");
    assert_eq!(ended.ok(), "");
    let json: serde_json::Value =
        serde_json::from_str(&world.octelium("get service -o json").ok()).unwrap();
    assert_eq!(json["items"], serde_json::json!([]));
    assert_eq!(world.octelium("get svc").stderr, "No Services found\n");
}

#[test]
fn lists_in_json_yaml_and_names() {
    let world = cluster();
    let json: serde_json::Value =
        serde_json::from_str(&world.ctl("get users -o json").ok()).unwrap();
    assert_eq!(json["items"][0]["metadata"]["name"], "alice");
    assert_eq!(json["items"][0]["spec"]["type"], "HUMAN");
    let yaml = world.ctl("get users -o yaml").ok();
    assert_eq!(
        api::document::parse("out", yaml.as_bytes()).unwrap().len(),
        2
    );
    assert_eq!(
        world.ctl("get users -o name").ok(),
        "user/alice\nuser/microservice1\n"
    );
    world.ctl("get users -o xml").failed(2);
}

#[test]
fn one_object_is_yaml_that_can_be_applied() {
    let world = cluster();
    let yaml = world.ctl("get service web").ok();
    assert!(
        yaml.starts_with("apiVersion: core/v1\nkind: Service\nmetadata:\n"),
        "{yaml}"
    );
    let read = api::document::parse("out", yaml.as_bytes())
        .unwrap()
        .remove(0)
        .1;
    assert_eq!(Some(read), world.cluster.get("Service", "web.default"));
    assert_eq!(
        world.ctl("get service web.default -o name").ok(),
        "service/web.default\n"
    );
}

#[test]
fn all_pages_are_shown_by_default() {
    let world = cluster();
    world.cluster.state().page_size = 1;
    assert_eq!(world.ctl("get users -o name").ok().lines().count(), 2);
    assert_eq!(
        world.ctl("get users -o name --page 2").ok(),
        "user/microservice1\n"
    );
    let json: serde_json::Value =
        serde_json::from_str(&world.ctl("get users -o json").ok()).unwrap();
    assert_eq!(json["listResponseMeta"]["totalCount"], 2);
    assert_eq!(json["listResponseMeta"].get("hasMore"), None);
}

#[test]
fn create_update_and_delete() {
    let world = World::logged_in();
    let ended = world.ctl("create user --type workload --group dev --policy p1 microservice1");
    assert_eq!(ended.stderr, "User `microservice1` successfully created\n");
    assert_eq!(ended.ok(), "");
    world
        .ctl("create user --type workload microservice1")
        .failed(7);
    world.ctl("create grp dev").ok();
    world.ctl("create ns prod").ok();
    world
        .ctl("create svc --upstream http://127.0.0.1:1 --public -n prod web")
        .ok();
    assert!(world.cluster.get("Service", "web.prod").is_some());
    world.ctl("create secret --value v s1").ok();
    let secret: api::core_v1::Secret = world.cluster.request("core.v1.MainService/CreateSecret");
    assert_eq!(
        secret.data.unwrap().r#type,
        Some(api::core_v1::secret::data::Type::ValueBytes(b"v".to_vec()))
    );
    world
        .run("octeliumctl", &["create", "config", "-f", "-", "c1"], "{}")
        .ok();
    world
        .run("octeliumctl", &["update", "secret", "-f", "-", "s1"], "w")
        .ok();
    world.ctl("create secret s2").failed(2);
    for wrong in [
        "--type github --client-id a",
        "--type saml --client-id a",
        "--type oidc --issuer-url https://a --client-id b --client-secret c --base-url https://a",
        "--type oidc --issuer-url https://a --client-id b --client-secret c --audience d",
        "--type oidc-identity-token --jwks-url https://a",
        "--type oidc-identity-token --issuer-url https://a --issuer b",
    ] {
        world.ctl(&format!("create idp {wrong} p1")).failed(2);
    }
    world.ctl("update user --disable microservice1").ok();
    let user: api::core_v1::User = world.cluster.request("core.v1.MainService/UpdateUser");
    assert!(user.spec.unwrap().is_disabled);
    assert_eq!(user.metadata.unwrap().resource_version, "7");
    world.ctl("update user microservice1").failed(2);
    let ended = world.ctl("del svc web.prod");
    assert_eq!(ended.stderr, "Service `web.prod` successfully deleted\n");
    world.ctl("rm ns prod").ok();
    world.ctl("delete clusterconfig default").failed(2);
}

#[test]
fn a_closed_output_pipe_is_not_an_error() {
    let world = cluster();
    let mut child = world
        .command("octeliumctl", &["get", "user"])
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn names_are_alike_in_both_programs() {
    let world = World::logged_in();
    assert_eq!(world.octelium("get ns -o name").ok(), "namespace/default\n");
}

#[test]
fn lines_paths_and_fields() {
    let world = cluster();
    let lines = world.ctl("get users -o jsonl").ok();
    let objects: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[1]["metadata"]["name"], "microservice1");
    assert_eq!(world.ctl("get groups -o jsonl").ok(), "");
    let one = world.ctl("get user alice -o jsonl").ok();
    assert_eq!(one.lines().count(), 1);

    assert_eq!(
        world
            .ctl("get users -o jsonpath=$.items[*].metadata.name")
            .ok(),
        "alice\nmicroservice1\n"
    );
    assert_eq!(
        world
            .ctl("get user alice -o jsonpath={.spec.groups[-1]}")
            .ok(),
        "ops\n"
    );
    assert_eq!(
        world.ctl("get users -o field=spec.email").ok(),
        "alice@example.com\n\n"
    );
    assert_eq!(
        world.ctl("get user alice -o field=spec.groups").ok(),
        "[\"dev\",\"ops\"]\n"
    );
    // Control characters in an object do not reach the terminal.
    assert_eq!(
        world
            .ctl("get user alice -o field=metadata.displayName")
            .ok(),
        "Alice \u{fffd}[31mA.\n"
    );
    let refused = world.ctl("get users -o jsonpath=a..b").failed(2);
    assert!(refused.contains("is not a path"), "{refused}");
    assert_eq!(
        world.octelium("get ns -o field=metadata.name").ok(),
        "default\n"
    );
    assert_eq!(world.octelium("version -o field=apiVersion").ok(), "v1\n");
}

#[test]
fn pages_are_asked_for_before_or_after_the_kind() {
    let world = cluster();
    let two = "user/alice\nuser/microservice1\n";
    assert_eq!(world.ctl("get --items-per-page 0 users -o name").ok(), two);
    world.cluster.state().page_size = 1;
    for line in [
        "get --page 2 users -o name",
        "get users --page 2 -o name",
        "get --page 2 --items-per-page 5000 users -o name",
    ] {
        assert_eq!(world.ctl(line).ok(), "user/microservice1\n", "{line}");
    }
}

#[test]
fn a_value_may_come_from_standard_input() {
    let world = World::logged_in();
    let arguments = ["create", "secret", "--value", "-", "s1"];
    world.run("octeliumctl", &arguments, "piped").ok();
    let secret: api::core_v1::Secret = world.cluster.request("core.v1.MainService/CreateSecret");
    assert_eq!(
        secret.data.unwrap().r#type,
        Some(api::core_v1::secret::data::Type::ValueBytes(
            b"piped".to_vec()
        ))
    );
    let arguments = ["create", "config", "--value", "-", "c1"];
    world.run("octeliumctl", &arguments, "{}").ok();
    let config: api::core_v1::Config = world.cluster.request("core.v1.MainService/CreateConfig");
    assert_eq!(
        config.data.unwrap().r#type,
        Some(api::core_v1::config::data::Type::ValueBytes(b"{}".to_vec()))
    );
}

#[test]
fn explain_documents_the_writable_fields() {
    let world = World::new();
    insta::assert_snapshot!(world.ctl("explain ns").ok());
    insta::assert_snapshot!(world.ctl("explain user.spec.session").ok());
    let refused = world.ctl("explain user.spec.sesion").failed(2);
    assert!(refused.contains("did you mean session?"), "{refused}");
    let refused = world.ctl("explain usser").failed(2);
    assert!(refused.contains("did you mean user?"), "{refused}");
    let refused = world.ctl("explain user.spec.email.x").failed(2);
    assert!(refused.contains("has no fields"), "{refused}");
}
