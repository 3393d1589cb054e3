//! Tests of login, logout and the local state.

use api::{
    auth_v1::{AuthenticateWithAuthenticationTokenRequest, SessionToken},
    config_v1::{State, state::Domain},
};
use prost::Message as _;
use std::time::Duration;
use tonic::Code;

use crate::{
    fake::now,
    program::{World, mode},
};

const LOGIN: &str = "auth.v1.MainService/AuthenticateWithAuthenticationToken";
const REFRESH: &str = "auth.v1.MainService/AuthenticateWithRefreshToken";
const LOGOUT: &str = "auth.v1.MainService/Logout";
const STATUS: &str = "user.v1.MainService/GetStatus";
const DEVICE_BEGIN: &str = "auth.v1.MainService/RegisterDeviceBegin";
const DEVICE_FINISH: &str = "auth.v1.MainService/RegisterDeviceFinish";
const AVAILABLE: &str = "auth.v1.MainService/GetAvailableAuthenticator";

fn state(world: &World) -> State {
    State::decode(std::fs::read(world.state_file()).unwrap().as_slice()).unwrap()
}

/// Saves a login that is `age` seconds old.
fn saved(world: &World, age: i64, expires_in: i64) {
    let entry = Domain {
        session_token: Some(SessionToken {
            access_token: "access-0".to_owned(),
            refresh_token: "refresh-0".to_owned(),
            expires_in,
            refresh_token_expires_in: 86_400,
        }),
        session_token_set_at: Some(prost_types::Timestamp {
            seconds: now() - age,
            nanos: 0,
        }),
    };
    let state = State {
        domain_map: [(world.cluster.domain(), entry)].into(),
    };
    std::fs::create_dir_all(world.state_file().parent().unwrap()).unwrap();
    std::fs::write(world.state_file(), state.encode_to_vec()).unwrap();
}

#[test]
fn a_login_serves_both_programs_and_is_private() {
    let world = World::new();
    let ended = world.octelium("login --auth-token good");
    assert_eq!(
        ended.stderr,
        "You are now authenticated as alice (Alice A.)\n"
    );
    assert_eq!(ended.ok(), "");
    assert_eq!(mode(&world.state_file()), 0o600);
    assert_eq!(mode(world.state_file().parent().unwrap()), 0o700);
    world.ctl("get user").ok();
    let calls = world.cluster.state().calls.clone();
    assert_eq!(calls[1].access_token, "access-1");
    assert!(
        calls[0].user_agent.starts_with("octelium-cli/"),
        "{}",
        calls[0].user_agent
    );
    assert_eq!(
        world.cluster.methods(),
        [LOGIN, STATUS, "core.v1.MainService/ListUser"]
    );
}

#[test]
fn the_token_can_come_from_standard_input_a_file_or_the_environment() {
    let mut world = World::new();
    world
        .run("octeliumctl", &["login", "--auth-token", "-"], "good\n")
        .ok();
    let path = world.write("token", "good\n");
    world.ctl(&format!("login --auth-token-file {path}")).ok();
    world.set("OCTELIUM_AUTH_TOKEN", "good");
    world.ctl("login").ok();
    world
        .ctl(&format!("login --auth-token good --auth-token-file {path}"))
        .failed(2);
    world
        .run("octeliumctl", &["login", "--auth-token", "-"], "\n")
        .failed(1);
}

#[test]
fn a_scope_narrows_the_session() {
    let world = World::new();
    world
        .ctl("login --auth-token good --scope service:*,api:core --scope service:web.default")
        .ok();
    let request: AuthenticateWithAuthenticationTokenRequest = world.cluster.request(LOGIN);
    assert_eq!(
        request.scopes,
        ["service:*", "api:core", "service:web.default"]
    );
    let stderr = world
        .ctl("login --auth-token good --scope everything")
        .failed(2);
    assert!(stderr.contains("everything"), "{stderr}");
}

#[test]
fn a_bad_token_keeps_the_previous_login() {
    let world = World::new();
    world.ctl("login --auth-token good").ok();
    let stderr = world.ctl("login --auth-token bad").failed(4);
    assert!(
        stderr.contains("not accepted") && !stderr.contains("bad"),
        "{stderr}"
    );
    world.ctl("get user").ok();
}

#[test]
fn a_new_login_ends_the_previous_session() {
    let world = World::new();
    world.ctl("login --auth-token good").ok();
    world.ctl("login --auth-token good").ok();
    assert_eq!(
        world.cluster.methods(),
        [LOGIN, STATUS, LOGIN, LOGOUT, STATUS]
    );
    assert_eq!(world.cluster.state().calls[3].refresh_token, "refresh-1");
    let token = state(&world).domain_map[&world.cluster.domain()]
        .session_token
        .clone();
    assert_eq!(token.unwrap().access_token, "access-2");
}

#[test]
fn login_without_a_token_reports_whether_the_user_is_logged_in() {
    let world = World::new();
    let stderr = world.octelium("login").failed(4);
    assert!(
        stderr.contains("not logged in") && stderr.contains("--auth-token -"),
        "{stderr}"
    );
    world.octelium("login --auth-token good").ok();
    let ended = world.octelium("login");
    assert_eq!(
        ended.stderr,
        "You are already authenticated as alice (Alice A.)\n"
    );
}

#[test]
fn logout_ends_the_session_and_forgets_it_even_if_the_cluster_refuses() {
    let world = World::new();
    assert_eq!(world.octelium("logout").stderr, "You are not logged in.\n");
    world.octelium("login --auth-token good").ok();
    world.cluster.refuse(LOGOUT, Code::Internal, "no");
    let ended = world.octelium("logout");
    assert_eq!(ended.stderr, "You are now logged out.\n");
    ended.ok();
    assert!(state(&world).domain_map.is_empty());
    world.octelium("status").failed(4);
}

#[test]
fn the_logout_flag_also_removes_the_entry() {
    let mut world = World::new();
    world.set("OCTELIUM_AUTH_TOKEN", "good");
    world.ctl("get user --logout").ok();
    assert!(state(&world).domain_map.is_empty());
    world.set("OCTELIUM_LOGOUT", "true");
    world.ctl("get user").ok();
    assert!(state(&world).domain_map.is_empty());
    let list = "core.v1.MainService/ListUser";
    assert_eq!(
        world.cluster.methods(),
        [LOGIN, list, LOGOUT, LOGIN, list, LOGOUT]
    );
}

#[test]
fn nothing_is_kept_in_memory_mode() {
    let mut world = World::new();
    world.set("OCTELIUM_AUTH_TOKEN", "good");
    world.ctl("get user --homedir mem").ok();
    assert!(!world.state_file().exists());
}

#[test]
fn a_static_access_token_needs_no_state() {
    let world = World::logged_in();
    world.ctl("get user").ok();
    assert_eq!(world.cluster.state().calls[0].access_token, "static");
    assert!(!world.state_file().exists());
}

#[test]
fn a_token_is_refreshed_before_it_expires() {
    let world = World::new();
    saved(&world, 7_100, 14_400);
    world.ctl("get user").ok();
    assert_eq!(world.cluster.state().refreshes, 0);
    saved(&world, 7_300, 14_400);
    world.ctl("get user").ok();
    let calls = world.cluster.state().calls.clone();
    assert_eq!(calls[1].refresh_token, "refresh-0");
    assert_eq!(calls[2].access_token, "access-1");
    world.ctl("get user").ok();
    assert_eq!(world.cluster.state().refreshes, 1);
}

#[test]
fn a_refresh_that_comes_too_soon_keeps_the_token() {
    let world = World::new();
    saved(&world, 7_300, 14_400);
    world.cluster.refuse(REFRESH, Code::AlreadyExists, "");
    world.ctl("get user").ok();
    assert_eq!(world.cluster.state().calls[1].access_token, "access-0");
}

#[test]
fn processes_side_by_side_refresh_once() {
    let world = World::new();
    saved(&world, 7_300, 14_400);
    world.cluster.state().refresh_delay = Duration::from_millis(300);
    let children: Vec<_> = (0..4)
        .map(|_| {
            world
                .command("octeliumctl", &["get", "user"])
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(world.cluster.state().refreshes, 1);
}

#[test]
fn an_ended_session_is_replaced_if_a_token_is_available_and_reported_otherwise() {
    let mut world = World::new();
    saved(&world, 7_300, 14_400);
    world.cluster.refuse(REFRESH, Code::Unauthenticated, "");
    let stderr = world.ctl("get user").failed(4);
    assert!(stderr.contains("has ended"), "{stderr}");
    assert!(state(&world).domain_map.is_empty());

    saved(&world, 10, 14_400);
    world
        .cluster
        .state()
        .rejected_access_tokens
        .push("access-0".to_owned());
    world.cluster.refuse(REFRESH, Code::Unauthenticated, "");
    world.set("OCTELIUM_AUTH_TOKEN", "good");
    world.ctl("get user").ok();
}

#[test]
fn whoami_shows_the_user() {
    let world = World::logged_in();
    let domain = world.cluster.domain();
    assert_eq!(
        world.octelium("whoami").ok(),
        format!(
            "User:         alice\nType:         HUMAN\nDisplay name: Alice A.\nEmail:        alice@example.com\nSession:      alice-x1y2z3 (CLIENT)\nCluster:      {domain}\n"
        )
    );
    assert_eq!(world.octelium("whoami -o name").ok(), "user/alice\n");
    let yaml = world.octelium("status").ok();
    assert!(
        yaml.contains("user:\n") && yaml.contains("type: HUMAN"),
        "{yaml}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&world.octelium("status -o json").ok()).unwrap();
    assert_eq!(json["session"]["status"]["type"], "CLIENT");
}

#[test]
fn a20_a_token_can_be_inspected_without_being_shown() {
    use domain::{clock::UnixMillis, id::Uid, rng::SeededRng, token};
    let rng = SeededRng::new(1);
    let key = token::SigningKey::generate(&rng).unwrap();
    let claims = token::Claims {
        token_type: token::TokenType::Credential,
        key_id: key.verifying_key().id(),
        subject: Uid::random(&rng),
        token_id: Uid::random(&rng),
        expires_at: Some(UnixMillis::from_seconds(1_900_000_000)),
        credential_version: 3,
        audience: Uid::random(&rng),
    };
    let token = key.sign(&claims);
    let world = World::new();
    let stdout = world
        .run(
            "octeliumctl",
            &["token", "inspect", "-", "-o", "json"],
            token.expose(),
        )
        .ok();
    let shown: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(shown["subject"]["kind"], "Credential");
    assert_eq!(shown["subject"]["uid"], claims.subject.to_string());
    assert_eq!(shown["expiresAt"], "2030-03-17T17:46:40Z");
    assert_eq!(shown["isExpired"], false);
    for part in [&token.expose()[8..24], &token.expose()[40..60]] {
        assert!(!stdout.contains(part), "{stdout}");
    }
    let stderr = world
        .run("octeliumctl", &["token", "inspect", "AQxx"], "")
        .failed(1);
    assert!(!stderr.contains("AQxx"), "{stderr}");
    assert!(world.cluster.methods().is_empty(), "offline");
}

#[test]
fn the_machine_of_a_person_is_registered_at_the_login() {
    let mut world = World::new();
    world.set("OCTELIUM_REGISTER_DEVICE", "true");
    let greeting = "You are now authenticated as alice (Alice A.)\n";
    let login = |world: &World| {
        let ended = world.octelium("login --auth-token good");
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let output = ended.stderr.strip_prefix(greeting).map(str::to_owned);
        output.unwrap_or_else(|| panic!("{}", ended.stderr))
    };
    assert_eq!(login(&world), "Device successfully registered\n");
    assert_eq!(
        world.cluster.methods(),
        [LOGIN, STATUS, DEVICE_BEGIN, DEVICE_FINISH, AVAILABLE]
    );
    world
        .cluster
        .refuse(DEVICE_BEGIN, Code::AlreadyExists, "known");
    assert_eq!(login(&world), "Device already registered\n");

    // A failed registration of the machine does not prevent the login.
    world
        .cluster
        .refuse(DEVICE_BEGIN, Code::PermissionDenied, "too many Devices");
    let output = login(&world);
    assert!(
        output.starts_with("warning: ") && output.contains("too many Devices"),
        "{output}"
    );

    world.cluster.state().is_workload = true;
    assert_eq!(login(&world), "");
    assert_eq!(world.cluster.methods().last().unwrap(), STATUS);
}

#[test]
fn the_required_authenticator_is_used_at_login_and_its_failure_does_not_hide_a_refusal() {
    let world = World::new();
    saved(&world, 10_000, 14_400);
    world
        .cluster
        .refuse(REFRESH, Code::PermissionDenied, "the User is disabled");
    let stderr = world.ctl("get user").failed(5);
    assert!(stderr.contains("the User is disabled"), "{stderr}");
    assert_eq!(world.cluster.methods(), [REFRESH]);

    let reason = "AUTHENTICATOR_REQUIRED".to_owned();
    world
        .cluster
        .state()
        .reasons
        .insert(REFRESH.to_owned(), reason);
    world.cluster.refuse(
        REFRESH,
        Code::PermissionDenied,
        "an Authenticator is needed",
    );
    world.cluster.refuse(AVAILABLE, Code::Internal, "broken");
    let stderr = world.ctl("get user").failed(5);
    assert!(
        stderr.contains("an Authenticator is needed") && !stderr.contains("broken"),
        "{stderr}"
    );
    assert_eq!(world.cluster.methods(), [REFRESH, REFRESH, AVAILABLE]);
}
