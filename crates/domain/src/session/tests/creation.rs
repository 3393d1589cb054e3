use api::{
    core_v1::{cluster_config, session::spec::State},
    meta_v1::duration::Type as Unit,
};
use rstest::rstest;

use super::*;
use crate::{duration, name, rng::SeededRng, scope};

fn seconds(count: u32) -> meta_v1::Duration {
    meta_v1::Duration {
        r#type: Some(Unit::Seconds(count)),
    }
}

fn human() -> User {
    let mut user = some_user();
    user.spec
        .as_mut()
        .unwrap()
        .set_type(user::spec::Type::Human);
    user
}

fn user_with(settings: user::spec::Session) -> User {
    let mut user = some_user();
    user.spec.as_mut().unwrap().session = Some(settings);
    user
}

fn config_with(workload: cluster_config::spec::session::Workload) -> ClusterConfig {
    ClusterConfig {
        spec: Some(cluster_config::Spec {
            session: Some(cluster_config::spec::Session {
                workload: Some(workload),
                human: None,
            }),
            ..cluster_config::Spec::default()
        }),
        ..ClusterConfig::default()
    }
}

#[test]
fn defaults_depend_on_the_type_of_user() {
    let none = ClusterConfig::default();
    let workload = lifetimes(&some_user(), &none, Type::Clientless);
    assert_eq!(workload.session, HOUR * 24 * 90);
    assert_eq!(workload.access_token, HOUR * 4);
    assert_eq!(workload.refresh_token, HOUR * 24 * 14);
    let of_human = lifetimes(&human(), &none, Type::Client);
    assert_eq!(of_human.session, HOUR * 21);
    assert_eq!(of_human.refresh_token, HOUR * 21);
    assert_eq!(max_per_user(&some_user(), &none), 128);
    assert_eq!(max_per_user(&human(), &none), 16);
    assert_eq!(default_state(&human(), &none), State::Active);
}

#[test]
fn a_user_of_unknown_type_gets_the_shorter_defaults() {
    let unknown = lifetimes(&User::default(), &ClusterConfig::default(), Type::Client);
    assert_eq!(unknown.session, HOUR * 21);
}

#[test]
fn w15_short_durations_are_honoured_exactly() {
    let user = user_with(user::spec::Session {
        client_duration: Some(seconds(5)),
        clientless_duration: Some(seconds(6)),
        access_token_duration: Some(seconds(1)),
        refresh_token_duration: Some(seconds(2)),
        ..user::spec::Session::default()
    });
    let config = ClusterConfig::default();
    let expected = Lifetimes {
        session: SECOND * 5,
        access_token: SECOND,
        refresh_token: SECOND * 2,
    };
    assert_eq!(lifetimes(&user, &config, Type::Client), expected);
    assert_eq!(
        lifetimes(&user, &config, Type::Clientless).session,
        SECOND * 6
    );
}

#[test]
fn the_user_decides_before_the_cluster_and_zero_falls_through() {
    let config = config_with(cluster_config::spec::session::Workload {
        access_token_duration: Some(seconds(100)),
        refresh_token_duration: Some(seconds(200)),
        client_duration: Some(seconds(300)),
        max_per_user: 7,
        default_state: State::Pending.into(),
        ..cluster_config::spec::session::Workload::default()
    });
    let user = user_with(user::spec::Session {
        access_token_duration: Some(seconds(10)),
        refresh_token_duration: Some(seconds(0)),
        ..user::spec::Session::default()
    });
    let found = lifetimes(&user, &config, Type::Client);
    assert_eq!(found.access_token, SECOND * 10);
    assert_eq!(found.refresh_token, SECOND * 200);
    assert_eq!(found.session, SECOND * 300);
    assert_eq!(
        lifetimes(&human(), &config, Type::Client).session,
        HOUR * 21
    );
    assert_eq!(max_per_user(&user, &config), 7);
    assert_eq!(default_state(&user, &config), State::Pending);

    let own = user_with(user::spec::Session {
        max_per_user: 1_000_000,
        default_state: State::Active.into(),
        ..user::spec::Session::default()
    });
    assert_eq!(max_per_user(&own, &config), 10_000);
    assert_eq!(default_state(&own, &config), State::Active);
}

#[test]
fn a_refresh_token_lives_at_least_as_long_as_the_access_token() {
    let user = user_with(user::spec::Session {
        access_token_duration: Some(seconds(100)),
        refresh_token_duration: Some(seconds(10)),
        ..user::spec::Session::default()
    });
    let found = lifetimes(&user, &ClusterConfig::default(), Type::Client);
    assert_eq!(found.refresh_token, SECOND * 100);
}

#[test]
fn a_new_session_has_everything_that_clients_read() {
    let session = some_session();
    assert_eq!(session.api_version, "core/v1");
    assert_eq!(session.kind, "Session");
    assert_eq!(
        session.metadata.as_ref().unwrap().created_at,
        Some(NOW.to_proto())
    );
    let spec = session.spec.as_ref().unwrap();
    assert_eq!(spec.state(), State::Active);
    assert_eq!(spec.expires_at, Some(at(HOUR * 24 * 90).to_proto()));
    let status = session.status.as_ref().unwrap();
    assert_eq!(status.user_ref.as_ref().unwrap().name, "robot");
    assert_eq!(status.credential_ref.as_ref().unwrap().name, "robot-key");
    assert_eq!(status.r#type(), Type::Client);
    assert_eq!(status.credential_version, 1);
    assert_eq!(status.total_authentications, 1);
    assert_eq!(status.authentication, status.initial_authentication);
    let authentication = status.authentication.as_ref().unwrap();
    assert_eq!(authentication.token_id, id(30).to_string());
    assert_eq!(
        duration::from_proto(&authentication.access_token_duration.unwrap()),
        Some(HOUR * 4)
    );
    let client = authentication
        .info
        .as_ref()
        .unwrap()
        .downstream
        .as_ref()
        .unwrap();
    assert_eq!(client.client_version, "1.2.3");
}

#[test]
fn scopes_are_those_that_were_asked_for() {
    let scopes = scope::parse(&["service:nginx".to_owned()]).unwrap();
    let credential = some_credential(credential::spec::Type::AuthToken);
    let user = some_user();
    let session = new_session(NewSession {
        uid: id(40),
        name: "robot-abcdef".to_owned(),
        user: &user,
        credential: None,
        session_type: Type::Clientless,
        is_browser: true,
        scopes: scopes.clone(),
        token_id: id(30),
        info: credential_info(&credential, downstream(None, "")),
        lifetimes: lifetimes(&user, &ClusterConfig::default(), Type::Clientless),
        state: State::Pending,
        now: NOW,
    });
    let status = session.status.unwrap();
    assert_eq!(status.scopes, scopes);
    assert_eq!(status.credential_ref, None);
    assert_eq!(status.credential_version, 0);
    assert!(status.is_browser);
}

#[rstest]
#[case("robot")]
#[case(&"a".repeat(40))]
#[case(&format!("{}-{}", "a".repeat(32), "b".repeat(7)))]
fn a_session_can_be_fetched_by_its_name(#[case] user: &str) {
    let found = new_name(user, &SeededRng::new(3));
    assert_eq!(name::check(&found, 1), Ok(()), "{found}");
    assert!(found.starts_with(&user[..5]));
}

#[rstest]
#[case(
    credential::spec::Type::AuthToken,
    "octelium-cli/1.0 grpc-go/1.85",
    Type::Client
)]
#[case(
    credential::spec::Type::AuthToken,
    "grpc-python/1.80",
    Type::Clientless
)]
#[case(credential::spec::Type::AuthToken, "", Type::Clientless)]
#[case(credential::spec::Type::Oauth2, "octelium-cli/1.0", Type::Clientless)]
#[case(
    credential::spec::Type::AccessToken,
    "octelium-cli/1.0",
    Type::Clientless
)]
fn the_client_decides_the_type_of_session_where_the_credential_does_not(
    #[case] credential_type: credential::spec::Type,
    #[case] user_agent: &str,
    #[case] expected: Type,
) {
    let mut credential = some_credential(credential_type);
    assert_eq!(session_type(&credential, user_agent), expected);
    for wanted in [Type::Client, Type::Clientless] {
        credential.spec.as_mut().unwrap().set_session_type(wanted);
        assert_eq!(session_type(&credential, user_agent), wanted);
    }
}

#[rstest]
#[case("octelium-cli/0.30.0 grpc-go/1.82.1", "0.30.0")]
#[case("octelium-cli/0.30.0", "0.30.0")]
#[case("octelium-cli/ grpc-go/1.82.1", "")]
#[case("octelium-cli/", "")]
#[case("octelium-cli grpc-go/1.82.1", "")]
#[case("octelium-client/1.0 x", "")]
#[case("grpc-go/1.82.1", "")]
fn the_version_of_a_library_is_not_that_of_the_client_g7(
    #[case] user_agent: &str,
    #[case] version: &str,
) {
    assert_eq!(downstream(None, user_agent).client_version, version);
}

#[test]
fn an_absurdly_long_user_agent_is_not_recorded() {
    let recorded = downstream(
        Some([127, 0, 0, 1].into()),
        &format!("octelium-cli/{}", "1".repeat(300)),
    );
    assert_eq!(recorded.ip_address, "127.0.0.1");
    assert_eq!(recorded.user_agent, "");
    assert_eq!(recorded.client_version, "");
}

#[test]
fn w19_policies_of_the_credential_act_as_they_are_now() {
    let mut credential = some_credential(credential::spec::Type::AuthToken);
    let mut session = session_of(&credential);
    assert_eq!(session.spec.as_ref().unwrap().authorization, None);
    session.spec.as_mut().unwrap().authorization =
        Some(api::core_v1::session::spec::Authorization {
            policies: vec!["own".to_owned()],
            inline_policies: Vec::new(),
        });
    for policy in ["first", "second"] {
        credential.spec.as_mut().unwrap().authorization = Some(credential::spec::Authorization {
            policies: vec![policy.to_owned(), "own".to_owned()],
            inline_policies: vec![api::core_v1::InlinePolicy::default()],
        });
        let seen = under_credential(&session, &credential)
            .spec
            .unwrap()
            .authorization
            .unwrap();
        assert_eq!(seen.policies, ["own", policy]);
        assert_eq!(seen.inline_policies.len(), 1);
    }
}
