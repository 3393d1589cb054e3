use api::core_v1::{cluster_config, session, user::spec::Authentication};

use super::*;
use crate::rng::SystemRng;

fn user(state: State) -> User {
    let mut user = User::default();
    user.spec.get_or_insert_default().authentication = Some(Authentication {
        authenticator_default_state: state.into(),
        ..Authentication::default()
    });
    user
}

fn config(state: State) -> ClusterConfig {
    let mut config = ClusterConfig::default();
    config.spec.get_or_insert_default().authenticator = Some(cluster_config::spec::Authenticator {
        default_state: state.into(),
        ..cluster_config::spec::Authenticator::default()
    });
    config
}

fn session(r#type: SessionType, is_browser: bool) -> Session {
    Session {
        status: Some(session::Status {
            r#type: r#type.into(),
            is_browser,
            ..session::Status::default()
        }),
        ..Session::default()
    }
}

fn made(r#type: Type, state: State) -> Authenticator {
    new_authenticator(NewAuthenticator {
        uid: Uid::random(&SystemRng),
        name: new_name(r#type, &SystemRng),
        user: &User::default(),
        r#type,
        display_name: String::new(),
        state,
        now: UnixMillis(1_795_305_600_000),
    })
}

#[test]
fn the_state_of_a_new_one_is_that_of_the_user_then_that_of_the_cluster() {
    let nothing = (user(State::Unknown), config(State::Unknown));
    assert_eq!(default_state(&nothing.0, &nothing.1), State::Active);
    assert_eq!(
        default_state(&nothing.0, &config(State::Pending)),
        State::Pending
    );
    assert_eq!(
        default_state(&user(State::Active), &config(State::Pending)),
        State::Active
    );
}

#[test]
fn w37_unregistered_or_inactive_authenticators_are_ignored() {
    let mut authenticator = made(Type::Totp, State::Active);
    assert!(!is_usable(&authenticator));
    authenticator.status.get_or_insert_default().is_registered = true;
    assert!(is_usable(&authenticator));
    for state in [State::Pending, State::Rejected, State::Unknown] {
        authenticator.spec.get_or_insert_default().set_state(state);
        assert!(!is_usable(&authenticator), "{state:?}");
    }
}

#[test]
fn each_type_has_its_sessions() {
    let browser = session(SessionType::Clientless, true);
    let client = session(SessionType::Client, false);
    let clientless = session(SessionType::Clientless, false);
    for (r#type, in_browser, in_client) in [
        (Type::Fido, true, true),
        (Type::Totp, true, true),
        (Type::Tpm, false, true),
        (Type::Unknown, false, false),
    ] {
        assert_eq!(fits(&browser, r#type), in_browser, "{type:?}");
        assert_eq!(fits(&client, r#type), in_client, "{type:?}");
        assert!(!fits(&clientless, r#type), "{type:?}");
    }
}

#[test]
fn b07_a_pinned_authenticator_is_not_replaced_by_a_weaker_one() {
    let key = made(Type::Fido, State::Active);
    let mut pinned = session(SessionType::Clientless, true);
    pinned
        .status
        .get_or_insert_default()
        .required_authenticator_ref = reference(Kind::Authenticator, key.metadata.as_ref());
    let other = made(Type::Fido, State::Active);
    let code = made(Type::Totp, State::Active);
    assert!(can_replace_pinned(&pinned, &key, Some(Type::Fido)));
    assert!(can_replace_pinned(&pinned, &other, Some(Type::Fido)));
    assert!(!can_replace_pinned(&pinned, &code, Some(Type::Fido)));
    assert!(!can_replace_pinned(&pinned, &other, Some(Type::Tpm)));
    // The Authenticator that the Session is pinned to was deleted.
    assert!(!can_replace_pinned(&pinned, &other, None));
    let free = session(SessionType::Clientless, true);
    assert!(can_replace_pinned(&free, &code, None));
}

#[test]
fn a_name_says_the_type() {
    let name = new_name(Type::Totp, &SystemRng);
    let suffix = name.strip_prefix("totp-").unwrap();
    assert_eq!(suffix.len(), 6);
    assert!(suffix.bytes().all(|byte| byte.is_ascii_lowercase()));
}
