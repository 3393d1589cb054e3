//! Tests of the commands that administrators use for Authenticators.

use api::platform_v1::ResetAuthenticatorsRequest;

use crate::program::World;

const RESET: &str = "platform.v1.MainService/ResetAuthenticators";

const TWO: &str = "
kind: Authenticator
metadata: { name: totp-aaaaaa }
spec: { state: ACTIVE, displayName: phone }
status:
  type: TOTP
  isRegistered: true
  successfulAuthentications: 3
  failedAuthentications: 1
  totalAuthenticationAttempts: 4
  userRef: { name: john }
---
kind: Authenticator
metadata: { name: fido-bbbbbb }
spec: { state: PENDING }
status: { type: FIDO, description: YubiKey, userRef: { name: john } }
";

#[test]
fn a_list_shows_how_often_each_was_right() {
    let world = World::logged_in();
    world.cluster.put(TWO);
    let table = world.ctl("get authn").ok();
    let words = |line: usize| -> Vec<String> {
        let line = table.lines().nth(line).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(
        words(0),
        [
            "NAME",
            "USER",
            "TYPE",
            "STATE",
            "REGISTERED",
            "AUTHENTICATIONS",
            "AGE"
        ]
    );
    assert_eq!(
        words(1)[..6],
        ["fido-bbbbbb", "john", "FIDO", "PENDING", "-", "0/0"]
    );
    assert_eq!(
        words(2)[..6],
        ["totp-aaaaaa", "john", "TOTP", "ACTIVE", "True", "3/4"]
    );
    let wide = world.ctl("get authn -o wide").ok();
    let header = wide.lines().next().unwrap();
    assert_eq!(header.matches("DISPLAY NAME").count(), 1, "{header}");
    assert!(wide.contains("YubiKey") && wide.contains("phone"), "{wide}");
}

#[test]
fn deleting_all_of_a_user_requires_confirmation() {
    let world = World::logged_in();
    world.cluster.put(TWO);
    let refused = world.ctl("delete authn --user john --all").failed(2);
    assert!(
        refused.contains("totp-aaaaaa") && refused.contains("nothing was changed"),
        "{refused}"
    );
    assert!(!world.cluster.methods().contains(&RESET.to_owned()));

    let ended = world.ctl("delete authn --user john --all --yes");
    assert_eq!(
        ended.stderr,
        "2 Authenticators of User `john` successfully deleted; 1 Session ended\n"
    );
    assert_eq!(ended.ok(), "");
    let request: ResetAuthenticatorsRequest = world.cluster.request(RESET);
    assert_eq!(request.user_ref.unwrap().name, "john");
}

#[test]
fn deleting_all_needs_explicit_flags() {
    let world = World::logged_in();
    for line in [
        "delete authn",
        "delete authn --all",
        "delete authn --user john",
        "delete authn --user john --all totp-aaaaaa",
        "delete authn totp-aaaaaa --yes",
        "delete user --user john --all",
    ] {
        world.ctl(line).failed(2);
    }
    assert_eq!(world.cluster.methods(), Vec::<String>::new());
}
