//! Tests the commands on the manual's page about Credentials, exactly as written there.

use api::core_v1::{Credential, credential::spec::Type, session::status::Type as SessionType};
use api::platform_v1::{CreateEnrollmentRequest, RotateCredentialRequest};

use crate::program::World;

fn created(world: &World) -> api::core_v1::credential::Spec {
    let credential: Credential = world
        .cluster
        .request("core.v1.MainService/CreateCredential");
    credential.spec.unwrap()
}

#[test]
fn authentication_tokens() {
    let world = World::logged_in();
    let ended = world.ctl("create credential --user microservice1 cred01");
    assert_eq!(ended.stderr, "Credential cred01 successfully created\n");
    assert_eq!(ended.ok(), "Authentication Token: AQ-cred01\n");
    let spec = created(&world);
    assert_eq!(spec.r#type(), Type::AuthToken);
    assert_eq!(spec.user, "microservice1");
    assert_eq!(spec.session_type(), SessionType::Client);
    assert_eq!((spec.max_authentications, spec.expires_at), (0, None));

    let stdout = world.ctl("create cred --user microservice1").ok();
    let name = stdout
        .strip_prefix("Authentication Token: AQ-microservice1-auth-token-")
        .unwrap();
    assert_eq!(name.trim_end().len(), 4);
}

#[test]
fn lists_are_repeated_or_separated_by_commas_g9() {
    let world = World::logged_in();
    for (name, flags) in [
        ("cred01", "--policy a,b --policy c"),
        ("cred02", "--policy a --policy b,c"),
    ] {
        let line = format!("create cred --user microservice1 {flags} {name}");
        world.ctl(&line).ok();
        assert_eq!(
            created(&world).authorization.unwrap().policies,
            ["a", "b", "c"]
        );
    }
    world
        .ctl("create user --type workload --group g1,g2 --policy a,b microservice2")
        .ok();
    let user: api::core_v1::User = world.cluster.request("core.v1.MainService/CreateUser");
    let spec = user.spec.unwrap();
    assert_eq!(spec.groups, ["g1", "g2"]);
    assert_eq!(spec.authorization.unwrap().policies, ["a", "b"]);
}

#[test]
fn links_of_an_enrollment() {
    let world = World::logged_in();
    let link = world
        .ctl("create enrollment --user john --expire-in 2days")
        .ok();
    assert_eq!(link, "https://example.com/enroll#john.code\n");
    let request: CreateEnrollmentRequest = world
        .cluster
        .request("platform.v1.MainService/CreateEnrollment");
    let lifetime = domain::duration::from_proto(&request.expires_in.unwrap()).unwrap();
    let two_days = std::time::Duration::from_hours(48);
    assert!(two_days.abs_diff(lifetime) < std::time::Duration::from_mins(1));
    let table = world.ctl("get enrollment").ok();
    assert!(table.contains("link-1"), "{table}");
    assert!(table.contains("john"), "{table}");
    assert_eq!(world.ctl("get enrollment -o name").ok(), "link-1\n");
    world.ctl("delete enrollment link-1 link-2").ok();
    world.ctl("delete enrollment gone").failed(6);
    world.ctl("delete enrollment --user john --all").ok();
    world.ctl("delete enrollment --user john").failed(2);
    world.ctl("create enrollment").failed(2);
    world
        .ctl("create enrollment --user john --expire-in x")
        .failed(2);
}

#[test]
fn session_types() {
    let world = World::logged_in();
    world
        .ctl("create credential --user microservice1 --session-type client cred01")
        .ok();
    assert_eq!(created(&world).session_type(), SessionType::Client);
    world
        .ctl("create credential --user microservice2 --session-type clientless cred02")
        .ok();
    assert_eq!(created(&world).session_type(), SessionType::Clientless);
}

#[test]
fn oauth2_clients() {
    let world = World::logged_in();
    let stdout = world
        .ctl("create cred --type oauth2 --user microservice1 cred02")
        .ok();
    assert_eq!(stdout, "Client ID: spxg-cdyx\nClient Secret: AQ-cred02\n");
    let spec = created(&world);
    assert_eq!(spec.r#type(), Type::Oauth2);
    assert_eq!(spec.session_type(), SessionType::Clientless);
    world
        .ctl("create cred --type oauth2 --session-type client --user microservice1 cred03")
        .failed(2);
}

#[test]
fn access_tokens() {
    let world = World::logged_in();
    let stdout = world
        .ctl("create cred --type access-token --user microservice1 cred02")
        .ok();
    assert_eq!(stdout, "Access Token: AQ-cred02\n");
    assert_eq!(created(&world).r#type(), Type::AccessToken);
}

#[test]
fn one_time_credentials() {
    let world = World::logged_in();
    world.ctl("create cred --user usr1 --one-time cred01").ok();
    assert_eq!(created(&world).max_authentications, 1);
    world
        .ctl("create cred --user usr1 --max-authn 5 cred02")
        .ok();
    assert_eq!(created(&world).max_authentications, 5);
}

#[test]
fn expiration() {
    let world = World::logged_in();
    for (index, (text, seconds)) in [
        ("2days", 2 * 86_400),
        ("600seconds", 600),
        ("45minutes", 45 * 60),
        ("7hour", 7 * 3600),
        ("3days", 3 * 86_400),
        ("2weeks", 14 * 86_400),
    ]
    .into_iter()
    .enumerate()
    {
        world
            .ctl(&format!(
                "create cred --user usr1 --expire-in {text} cred0{index}"
            ))
            .ok();
        let left = created(&world).expires_at.unwrap().seconds - crate::fake::now();
        assert!((left - seconds).abs() < 60, "{text}: {left}");
    }
    world
        .ctl("create cred --user usr1 --expire-in 6months cred10")
        .ok();
    let stderr = world
        .ctl("create cred --user usr1 --expire-in 5fortnights cred11")
        .failed(2);
    assert!(
        stderr.contains("fortnights") && stderr.contains("600seconds"),
        "{stderr}"
    );
}

#[test]
fn policies() {
    let world = World::logged_in();
    world
        .ctl("create cred --user usr1 --policy policy1 cred01")
        .ok();
    assert_eq!(created(&world).authorization.unwrap().policies, ["policy1"]);
    world
        .ctl("create cred --user usr1 --policy policy1 --policy policy2 cred02")
        .ok();
    assert_eq!(
        created(&world).authorization.unwrap().policies,
        ["policy1", "policy2"]
    );
}

#[test]
fn rotation() {
    let world = World::logged_in();
    world.ctl("create cred --user usr1 cred01").ok();
    let ended = world.ctl("create cred --rotate cred01");
    assert_eq!(ended.stderr, "Credential cred01 successfully rotated\n");
    assert_eq!(ended.ok(), "Authentication Token: AQ-cred01\n");
    let last = world.cluster.methods().pop().unwrap();
    assert_eq!(last, "core.v1.MainService/GenerateCredentialToken");

    world
        .ctl("create cred --rotate --keep-sessions cred01")
        .ok();
    let request: RotateCredentialRequest = world
        .cluster
        .request("platform.v1.MainService/RotateCredential");
    assert!(request.keep_sessions && request.overlap.is_none());

    world.ctl("create cred --rotate --overlap 24h cred01").ok();
    let request: RotateCredentialRequest = world
        .cluster
        .request("platform.v1.MainService/RotateCredential");
    let overlap = domain::duration::from_proto(&request.overlap.unwrap()).unwrap();
    assert_eq!(overlap.as_secs(), 86_400);

    world
        .ctl("create cred --rotate --keep-sessions --overlap 24h cred01")
        .failed(2);
    world
        .ctl("create cred --rotate --user usr1 cred01")
        .failed(2);
    world.ctl("create cred --rotate").failed(2);
    world.ctl("create cred --rotate cred09").failed(6);
}

#[test]
fn the_reply_can_be_printed_as_json() {
    let world = World::logged_in();
    let ended = world.ctl("create cred --type oauth2 --user microservice1 cred02 -o json");
    assert_eq!(ended.stderr, "");
    let value: serde_json::Value = serde_json::from_str(&ended.ok()).unwrap();
    assert_eq!(value["oauth2Credentials"]["clientID"], "spxg-cdyx");
    assert_eq!(value["oauth2Credentials"]["clientSecret"], "AQ-cred02");
}

#[test]
fn a_credential_without_a_secret_is_not_lost() {
    let world = World::logged_in();
    world.cluster.refuse(
        "core.v1.MainService/GenerateCredentialToken",
        tonic::Code::PermissionDenied,
        "no",
    );
    let stderr = world.ctl("create cred --user usr1 cred01").failed(5);
    assert!(
        stderr.contains("octeliumctl create cred --rotate cred01"),
        "{stderr}"
    );
}

#[test]
fn the_secret_is_shown_in_every_form_or_nothing_is_done() {
    let world = World::logged_in();
    let stdout = world
        .ctl("create cred --user microservice1 -o table cred01")
        .ok();
    assert_eq!(stdout, "Authentication Token: AQ-cred01\n");
    let field =
        "create cred --user microservice1 cred02 -o field=authenticationToken.authenticationToken";
    assert_eq!(world.ctl(field).ok(), "AQ-cred02\n");
    let calls = world.cluster.methods().len();
    let refused = world
        .ctl("create cred --user microservice1 -o name cred03")
        .failed(2);
    assert!(refused.contains("shown once"), "{refused}");
    world.ctl("create cred --rotate -o name cred01").failed(2);
    assert_eq!(world.cluster.methods().len(), calls);
    world
        .ctl("create cred --type OAUTH2 --user microservice1 cred04")
        .ok();
    assert_eq!(created(&world).r#type(), Type::Oauth2);
}
