use api::core_v1::{
    Device, device,
    session::{spec::State, status::AuthenticatorAction},
};
use rstest::rstest;

use super::*;
use crate::credential::Refusal;

fn auth_token() -> Credential {
    some_credential(credential::spec::Type::AuthToken)
}

fn check_session(change: impl FnOnce(&mut Session)) -> Result<(), Refusal> {
    let credential = auth_token();
    let mut session = session_of(&credential);
    change(&mut session);
    check(&session, &some_user(), Some(&credential), None, NOW)
}

fn check_user(change: impl FnOnce(&mut User)) -> Result<(), Refusal> {
    let credential = auth_token();
    let mut user = some_user();
    change(&mut user);
    check(
        &session_of(&credential),
        &user,
        Some(&credential),
        None,
        NOW,
    )
}

fn check_credential(change: impl FnOnce(&mut Credential)) -> Result<(), Refusal> {
    let mut credential = auth_token();
    let session = session_of(&credential);
    change(&mut credential);
    check(&session, &some_user(), Some(&credential), None, NOW)
}

#[test]
fn a_new_session_is_valid() {
    assert_eq!(check_session(|_| ()), Ok(()));
}

#[test]
fn the_session_itself_decides() {
    let refused = |change: fn(&mut Session)| check_session(change).unwrap_err();
    let spec = |session: &mut Session| session.spec.take().unwrap();
    assert_eq!(
        refused(|it| it.spec.as_mut().unwrap().set_state(State::Rejected)),
        Refusal::SessionRejected
    );
    assert_eq!(
        refused(|it| it.spec.as_mut().unwrap().set_state(State::Unknown)),
        Refusal::SessionRejected
    );
    assert_eq!(
        refused(|it| it.spec.as_mut().unwrap().set_state(State::Pending)),
        Refusal::SessionPending
    );
    assert_eq!(
        refused(|it| it.status.as_mut().unwrap().is_locked = true),
        Refusal::SessionLocked
    );
    assert_eq!(
        refused(|it| it.spec.as_mut().unwrap().expires_at = Some(NOW.to_proto())),
        Refusal::SessionExpired
    );
    assert_eq!(
        refused(|it| it.spec.as_mut().unwrap().expires_at = None),
        Refusal::Incomplete
    );
    assert_eq!(refused(|it| it.status = None), Refusal::Incomplete);
    assert_eq!(check_session(|it| drop(spec(it))), Err(Refusal::Incomplete));
}

#[test]
fn e06_a_session_ends_at_its_instant_in_any_year() {
    let credential = auth_token();
    for end in [
        UnixMillis(2_147_483_648_000),
        UnixMillis(253_402_300_799_999),
    ] {
        let mut session = session_of(&credential);
        session.spec.as_mut().unwrap().expires_at = Some(end.to_proto());
        let at = |now| check(&session, &some_user(), Some(&credential), None, now);
        assert_eq!(at(UnixMillis(end.0 - 1)), Ok(()));
        assert_eq!(at(end), Err(Refusal::SessionExpired));
        assert_eq!(at(end.saturating_sub(HOUR * 24)), Ok(()));
        assert_eq!(
            at(end.saturating_add(HOUR * 24)),
            Err(Refusal::SessionExpired)
        );
    }
}

#[test]
fn the_user_decides() {
    let disabled = |it: &mut User| it.spec.as_mut().unwrap().is_disabled = true;
    assert_eq!(check_user(disabled), Err(Refusal::UserDisabled));
    let locked = |it: &mut User| it.status.get_or_insert_default().is_locked = true;
    assert_eq!(check_user(locked), Err(Refusal::UserLocked));
    assert_eq!(
        check_user(|it| it.metadata = Some(metadata(id(11), "robot"))),
        Err(Refusal::WrongUser)
    );
    assert_eq!(check_user(|it| it.metadata = None), Err(Refusal::WrongUser));
}

#[test]
fn w12_the_credential_decides_over_the_sessions_that_it_made() {
    let disabled = |it: &mut Credential| it.spec.as_mut().unwrap().is_disabled = true;
    assert_eq!(check_credential(disabled), Err(Refusal::Disabled));
    let expired = |it: &mut Credential| it.spec.as_mut().unwrap().expires_at = Some(NOW.to_proto());
    assert_eq!(check_credential(expired), Err(Refusal::Expired));
    let rotated = |it: &mut Credential| rotate(it, Rotation::EndSessions, id(2), NOW).unwrap();
    assert_eq!(check_credential(rotated), Err(Refusal::Superseded));
    let created_again = |it: &mut Credential| it.metadata = Some(metadata(id(21), "robot-key"));
    assert_eq!(check_credential(created_again), Err(Refusal::Gone));
    let session = session_of(&auth_token());
    assert_eq!(
        check(&session, &some_user(), None, None, NOW),
        Err(Refusal::Gone)
    );
}

#[test]
fn a06_a_session_of_the_previous_secret_ends_with_the_overlap() {
    let mut credential = auth_token();
    let session = session_of(&credential);
    rotate(&mut credential, Rotation::Overlap(HOUR), id(2), NOW).unwrap();
    let at_offset = |offset| check(&session, &some_user(), Some(&credential), None, at(offset));
    assert_eq!(at_offset(SECOND * 3_599), Ok(()));
    assert_eq!(at_offset(HOUR), Err(Refusal::Superseded));
    assert_eq!(
        access_token_expiry(&session, Some(&credential), NOW),
        UnixMillis(NOW.0 + 500 + 3_600_000)
    );

    let kept = |it: &mut Credential| rotate(it, Rotation::KeepSessions, id(2), NOW).unwrap();
    assert_eq!(check_credential(kept), Ok(()));
}

#[rstest]
#[case(device::spec::State::Active, false, Ok(()))]
#[case(device::spec::State::Pending, false, Err(Refusal::DeviceInactive))]
#[case(device::spec::State::Rejected, false, Err(Refusal::DeviceInactive))]
#[case(device::spec::State::Active, true, Err(Refusal::DeviceLocked))]
fn the_device_decides(
    #[case] state: device::spec::State,
    #[case] is_locked: bool,
    #[case] expected: Result<(), Refusal>,
) {
    let credential = auth_token();
    let mut session = session_of(&credential);
    session.status.as_mut().unwrap().device_ref = Some(meta_v1::ObjectReference {
        uid: id(70).to_string(),
        ..meta_v1::ObjectReference::default()
    });
    let device = Device {
        metadata: Some(metadata(id(70), "laptop")),
        spec: Some(device::Spec {
            state: state.into(),
            ..device::Spec::default()
        }),
        status: Some(device::Status {
            is_locked,
            ..device::Status::default()
        }),
        ..Device::default()
    };
    let with = |device| check(&session, &some_user(), Some(&credential), device, NOW);
    assert_eq!(with(Some(&device)), expected);
    assert_eq!(with(None), Err(Refusal::DeviceGone));
    let other = Device {
        metadata: Some(metadata(id(71), "laptop")),
        ..device.clone()
    };
    assert_eq!(with(Some(&other)), Err(Refusal::DeviceGone));
}

#[test]
fn a_pending_session_is_valid_but_not_authorized() {
    let credential = auth_token();
    let mut session = session_of(&credential);
    session.spec.as_mut().unwrap().set_state(State::Pending);
    assert_eq!(
        check_ignoring_approval_and_authenticator(
            &session,
            &some_user(),
            Some(&credential),
            None,
            NOW
        ),
        Ok(())
    );

    session.spec.as_mut().unwrap().set_state(State::Active);
    for action in [
        AuthenticatorAction::AuthenticationRequired,
        AuthenticatorAction::RegistrationRequired,
    ] {
        session
            .status
            .as_mut()
            .unwrap()
            .set_authenticator_action(action);
        assert_eq!(
            check_ignoring_approval_and_authenticator(
                &session,
                &some_user(),
                Some(&credential),
                None,
                NOW
            ),
            Ok(())
        );
        let checked = check(&session, &some_user(), Some(&credential), None, NOW);
        assert_eq!(checked, Err(Refusal::AuthenticatorRequired));
    }
}

#[test]
fn an_access_token_is_that_of_its_session_alone() {
    let session = some_session();
    let token = access(id(30), at(HOUR));
    assert_eq!(accepts_access_token(&session, &token, NOW), Ok(()));
    let other_session = Claims {
        subject: id(41),
        ..token.clone()
    };
    assert_eq!(
        accepts_access_token(&session, &other_session, NOW),
        Err(Refusal::WrongToken)
    );
    for token_type in [TokenType::Refresh, TokenType::Credential] {
        let other_type = Claims {
            token_type,
            ..token.clone()
        };
        assert_eq!(
            accepts_access_token(&session, &other_type, NOW),
            Err(Refusal::WrongToken)
        );
    }
    let other_id = access(id(31), at(HOUR));
    assert_eq!(
        accepts_access_token(&session, &other_id, NOW),
        Err(Refusal::TokenSuperseded)
    );
    let other_version = Claims {
        credential_version: 2,
        ..token
    };
    assert_eq!(
        accepts_access_token(&session, &other_version, NOW),
        Err(Refusal::TokenSuperseded)
    );
}

#[test]
fn w15_an_access_token_ends_with_the_lifetime_of_its_session_to_the_millisecond() {
    let session = some_session();
    let expires_at = access_token_expiry(&session, None, NOW);
    assert_eq!(expires_at, UnixMillis(NOW.0 + 4 * 3_600_000 + 500));
    let token = access(id(30), expires_at);
    let end = at(HOUR * 4);
    assert_eq!(
        accepts_access_token(&session, &token, UnixMillis(end.0 - 1)),
        Ok(())
    );
    assert_eq!(
        accepts_access_token(&session, &token, end),
        Err(Refusal::TokenExpired)
    );
}

#[test]
fn no_token_outlives_its_session_or_its_credential() {
    let mut credential = auth_token();
    let mut session = session_of(&credential);
    session.spec.as_mut().unwrap().expires_at = Some(at(MINUTE * 2).to_proto());
    let whole = |offset: Duration| UnixMillis::from_seconds(at(offset).seconds() + 1);
    assert_eq!(
        access_token_expiry(&session, Some(&credential), NOW),
        whole(MINUTE * 2)
    );
    assert_eq!(
        refresh_token_expiry(&session, Some(&credential)),
        whole(MINUTE * 2)
    );
    credential.spec.as_mut().unwrap().expires_at = Some(at(MINUTE).to_proto());
    assert_eq!(
        access_token_expiry(&session, Some(&credential), NOW),
        whole(MINUTE)
    );
    assert_eq!(
        refresh_token_expiry(&session, Some(&credential)),
        whole(MINUTE)
    );
}

#[test]
fn the_access_token_before_a_refresh_lives_a_minute_on() {
    let session = refreshed(&some_session(), id(31), at(HOUR));
    let old = access(id(30), at(HOUR * 4));
    for (offset, expected) in [
        (HOUR, Ok(())),
        (HOUR + SECOND * 59, Ok(())),
        (HOUR + SECOND * 60, Err(Refusal::TokenSuperseded)),
        (HOUR * 3, Err(Refusal::TokenSuperseded)),
    ] {
        assert_eq!(accepts_access_token(&session, &old, at(offset)), expected);
        let new = access(id(31), at(HOUR * 5));
        assert_eq!(accepts_access_token(&session, &new, at(offset)), Ok(()));
    }
    let twice = refreshed(&session, id(32), at(HOUR));
    assert_eq!(
        accepts_access_token(&twice, &old, at(HOUR)),
        Err(Refusal::TokenSuperseded)
    );
}

#[test]
fn e06_the_access_token_before_a_refresh_does_not_come_back_with_the_clock() {
    let session = refreshed(&some_session(), id(31), at(HOUR * 24));
    let old = access(id(30), at(HOUR * 48));
    let accepted = accepts_access_token(&session, &old, NOW);
    assert_eq!(accepted, Err(Refusal::TokenSuperseded));
}

#[test]
fn w11_replicas_of_an_oauth2_client_hold_tokens_side_by_side() {
    let session = session_of(&some_credential(credential::spec::Type::Oauth2));
    assert!(is_shared(&session));
    for replica in 80..90 {
        let token = access(id(replica), at(HOUR));
        assert_eq!(accepts_access_token(&session, &token, NOW), Ok(()));
        assert_eq!(
            accepts_access_token(&session, &token, at(HOUR)),
            Err(Refusal::TokenExpired)
        );
        let endless = Claims {
            expires_at: None,
            ..token.clone()
        };
        assert_eq!(
            accepts_access_token(&session, &endless, NOW),
            Err(Refusal::WrongToken)
        );
        let other_version = Claims {
            credential_version: 2,
            ..token
        };
        assert_eq!(
            accepts_access_token(&session, &other_version, NOW),
            Err(Refusal::TokenSuperseded)
        );
    }
    assert!(!is_shared(&some_session()));
    assert!(!is_shared(&Session::default()));
}
