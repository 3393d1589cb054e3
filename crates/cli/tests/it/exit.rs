//! Tests of exit codes and errors.

use tonic::Code;

use crate::program::World;

#[test]
fn exit_codes_are_those_of_the_manual() {
    let world = World::logged_in();
    for (code, expected) in [
        (Code::InvalidArgument, 1),
        (Code::FailedPrecondition, 1),
        (Code::Internal, 1),
        (Code::Unauthenticated, 4),
        (Code::PermissionDenied, 5),
        (Code::NotFound, 6),
        (Code::AlreadyExists, 7),
        (Code::OutOfRange, 7),
        (Code::DeadlineExceeded, 8),
    ] {
        world
            .cluster
            .refuse("core.v1.MainService/DeleteUser", code, "because");
        let stderr = world.ctl("delete user alice").failed(expected);
        assert!(stderr.starts_with("error: because ("), "{stderr}");
    }
    let too_large = "Error, decoded message length too large: found 9 bytes";
    world.cluster.refuse(
        "core.v1.MainService/DeleteUser",
        Code::OutOfRange,
        too_large,
    );
    world.ctl("delete user alice").failed(1);
    world.ctl("delete user alice").failed(6);
    world.ctl("get nothing").failed(2);
    world.ctl("frobnicate").failed(2);
    world.ctl("get user --namespace x").failed(2);
}

#[test]
fn errors_in_json_mode_are_json() {
    let world = World::logged_in();
    let ended = world.ctl("get user nobody -o json");
    assert_eq!(ended.stdout, "");
    let error: serde_json::Value = serde_json::from_str(&ended.failed(6)).unwrap();
    assert_eq!(error["error"]["code"], "NotFound");
    // The code is in its own field and not in the message.
    assert_eq!(error["error"]["message"], "The User nobody does not exist");
    world
        .cluster
        .refuse("core.v1.MainService/ListUser", Code::PermissionDenied, "no");
    let error: serde_json::Value =
        serde_json::from_str(&world.ctl("get user -o json").failed(5)).unwrap();
    assert_eq!(error["error"].get("hint"), None, "the rule says it all");
    world.cluster.refuse(
        "core.v1.MainService/ListUser",
        Code::PermissionDenied,
        "Octelium: Unauthorized",
    );
    let error: serde_json::Value =
        serde_json::from_str(&world.ctl("get user -o json").failed(5)).unwrap();
    assert!(error["error"]["hint"].as_str().unwrap().contains("whoami"));
}

#[test]
fn only_safe_calls_are_retried_if_the_cluster_is_unavailable() {
    let world = World::logged_in();
    let list = "core.v1.MainService/ListUser";
    world.cluster.refuse(list, Code::Unavailable, "wait");
    world.ctl("get user").ok();
    assert_eq!(world.cluster.methods(), [list, list]);

    let create = "core.v1.MainService/CreateGroup";
    world.cluster.refuse(create, Code::Unavailable, "wait");
    world.ctl("create group dev").failed(8);
    assert_eq!(world.cluster.methods(), [list, list, create]);
}

#[test]
fn connection_failures_name_the_address_and_give_a_hint() {
    let mut world = World::logged_in();
    world.set("OCTELIUM_API_ENDPOINT", "127.0.0.1:1");
    let stderr = world.ctl("get user").failed(8);
    let domain = world.cluster.domain();
    assert_eq!(
        stderr,
        format!(
            "error: cannot reach octelium-api.{domain} (at 127.0.0.1:1): 127.0.0.1:1: Connection refused (os error 111)\n\
             hint: check that octeliumd is running and that the port is correct: --domain takes `host:port`\n"
        )
    );
}

#[test]
fn a_certificate_of_an_unknown_authority_is_refused_by_default() {
    let mut world = World::logged_in();
    let other = World::new();
    world.set(
        "OCTELIUM_CA_CERT",
        &other.cluster.ca_path().to_string_lossy(),
    );
    let stderr = world.ctl("get user").failed(8);
    assert!(
        stderr.contains("invalid peer certificate") && stderr.contains("OCTELIUM_CA_CERT"),
        "{stderr}"
    );
    // Only the exact value `true` counts.
    world.set("OCTELIUM_INSECURE_TLS", "1");
    world.ctl("get user").failed(8);
    world.set("OCTELIUM_INSECURE_TLS", "true");
    let ended = world.ctl("get user");
    assert!(ended.stderr.contains("not verified"), "{}", ended.stderr);
    ended.ok();
}

#[test]
fn the_system_store_can_be_replaced_by_ssl_cert_file() {
    let mut world = World::logged_in();
    let ca = world.cluster.ca_path().to_string_lossy().into_owned();
    world.set("OCTELIUM_CA_CERT", "");
    world.set("SSL_CERT_FILE", &ca);
    world.ctl("get user").ok();
}

#[test]
fn a_missing_domain_is_a_usage_error() {
    let mut world = World::logged_in();
    world.set("OCTELIUM_DOMAIN", "");
    let stderr = world.ctl("get user").failed(2);
    assert!(
        stderr.contains("--domain flag or the OCTELIUM_DOMAIN"),
        "{stderr}"
    );
    world.ctl("get user --domain https://example.com").failed(2);
}

#[test]
fn unsupported_features_are_reported() {
    let world = World::new();
    let mut socket = World::logged_in();
    socket.set("OCTELIUM_AUTH_PROXY_SOCKET", "/tmp/x.sock");
    let stderr = socket.ctl("get user").failed(2);
    assert!(stderr.contains("not supported yet"), "{stderr}");
    let stderr = world.octelium("login --assertion gitlab").failed(2);
    assert!(stderr.contains("unknown assertion type"), "{stderr}");
}

#[test]
fn help_and_completion_go_to_standard_output() {
    let world = World::new();
    for (program, word) in [("octeliumctl", "apply"), ("octelium", "status")] {
        for shell in ["bash", "zsh", "fish"] {
            let script = world.run(program, &["completion", shell], "").ok();
            assert!(script.contains(word), "{program} {shell}");
        }
        let help = world.run(program, &["--help"], "").ok();
        assert!(help.contains("Example:"), "{help}");
    }
}
