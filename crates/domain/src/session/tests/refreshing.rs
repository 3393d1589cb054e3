use api::core_v1::session::status::authentication::info;
use proptest::prelude::*;

use super::*;
use crate::credential::Refusal;

#[test]
fn the_present_refresh_token_rotates() {
    let session = some_session();
    assert_eq!(refresh(&session, id(30), at(HOUR * 3)), Ok(Refresh::Rotate));
    let session = refreshed(&session, id(31), at(HOUR * 3));
    assert_eq!(refresh(&session, id(31), at(HOUR * 6)), Ok(Refresh::Rotate));
    let status = session.status.as_ref().unwrap();
    assert_eq!(status.total_authentications, 2);
    assert_eq!(status.last_authentications.len(), 1);
    let present = status.authentication.as_ref().unwrap();
    let initial = status.initial_authentication.as_ref().unwrap();
    assert_eq!(
        present.info.as_ref().unwrap().r#type(),
        info::Type::RefreshToken
    );
    assert_eq!(present.access_token_duration, initial.access_token_duration);
    assert_eq!(
        present.refresh_token_duration,
        initial.refresh_token_duration
    );
    assert_eq!(initial.token_id, id(30).to_string());
}

#[test]
fn w18_a_repeated_refresh_gets_the_same_tokens_for_thirty_seconds() {
    let session = refreshed(&some_session(), id(31), NOW);
    for offset in [Duration::ZERO, SECOND * 29] {
        assert_eq!(refresh(&session, id(30), at(offset)), Ok(Refresh::Remint));
    }
    for offset in [SECOND * 30, HOUR, HOUR * 24 * 365] {
        assert_eq!(refresh(&session, id(30), at(offset)), Ok(Refresh::Reuse));
    }
    let expiry = refresh_token_expiry(&session, None);
    assert_eq!(refresh_token_expiry(&session, None), expiry);
}

#[test]
fn w18_a_token_of_two_refreshes_ago_is_reuse_at_once() {
    let session = refreshed(&refreshed(&some_session(), id(31), NOW), id(32), NOW);
    assert_eq!(refresh(&session, id(30), NOW), Ok(Refresh::Reuse));
    assert_eq!(refresh(&session, id(31), NOW), Ok(Refresh::Remint));
    assert_eq!(refresh(&session, id(99), NOW), Ok(Refresh::Reuse));
}

#[test]
fn w18_tokens_before_a_step_up_are_not_given_again() {
    let mut session = some_session();
    let info = api::core_v1::session::status::authentication::Info {
        r#type: info::Type::Authenticator.into(),
        ..Default::default()
    };
    rotate_tokens(&mut session, id(31), NOW, info);
    // Perhaps a request in flight: the token is refused, but the Session is not revoked yet.
    assert_eq!(
        refresh(&session, id(30), NOW),
        Err(Refusal::TokenSuperseded)
    );
    assert_eq!(
        refresh(&session, id(30), at(SECOND * 30)),
        Ok(Refresh::Reuse)
    );
}

#[test]
fn b08_a_step_up_replaces_the_tokens_of_a_browser() {
    let mut session = some_session();
    session.status.get_or_insert_default().is_browser = true;
    let before = session.status.clone().unwrap_or_default();
    let key = crate::authenticator::new_authenticator(crate::authenticator::NewAuthenticator {
        uid: id(70),
        name: "fido-abcdef".to_owned(),
        user: &some_user(),
        r#type: api::core_v1::authenticator::status::Type::Fido,
        display_name: String::new(),
        state: api::core_v1::authenticator::spec::State::Active,
        now: NOW,
    });
    let info = authenticator_info(&key, mode(&session), None, downstream(None, ""));
    step_up(&mut session, &key, id(31), NOW, info);
    let status = session.status.clone().unwrap_or_default();
    assert_ne!(status.credential_version, before.credential_version);
    assert_eq!(
        status
            .required_authenticator_ref
            .map(|required| required.uid),
        Some(id(70).to_string())
    );
    assert_eq!(
        browser_token(&session, id(30), NOW),
        Ok(BrowserToken::Superseded)
    );
    assert_eq!(
        browser_token(&session, id(31), NOW),
        Ok(BrowserToken::Present)
    );
    assert_eq!(
        browser_token(&session, id(30), at(SECOND * 30)),
        Ok(BrowserToken::Reused)
    );
}

#[test]
fn e06_a_clock_that_jumped_back_does_not_open_the_window_again() {
    let session = refreshed(&some_session(), id(31), NOW);
    assert_eq!(
        refresh(&session, id(30), NOW.saturating_sub(SECOND)),
        Ok(Refresh::Remint)
    );
    assert_eq!(
        refresh(&session, id(30), NOW.saturating_sub(HOUR * 24)),
        Ok(Refresh::Reuse)
    );
}

#[test]
fn a_refresh_token_ends_with_its_lifetime() {
    let session = some_session();
    let end = at(HOUR * 24 * 14);
    assert_eq!(
        refresh(&session, id(30), UnixMillis(end.0 - 1)),
        Ok(Refresh::Rotate)
    );
    assert_eq!(refresh(&session, id(30), end), Err(Refusal::TokenExpired));
}

#[test]
fn six_refreshes_in_the_first_half_of_an_access_token_are_too_many() {
    let mut session = some_session();
    for number in 0..5 {
        let now = at(SECOND * 10 * number);
        assert_eq!(
            refresh(&session, id(30 + u8::try_from(number).unwrap()), now),
            Ok(Refresh::Rotate)
        );
        session = refreshed(&session, id(31 + u8::try_from(number).unwrap()), now);
    }
    assert_eq!(refresh(&session, id(35), at(MINUTE)), Ok(Refresh::TooSoon));
    // Allowed again after half of the token lifetime, or after an hour.
    assert_eq!(
        refresh(&session, id(35), at(HOUR + MINUTE)),
        Ok(Refresh::Rotate)
    );
    assert_eq!(refresh(&session, id(35), at(HOUR * 3)), Ok(Refresh::Rotate));
}

#[test]
fn w15_short_access_tokens_can_always_be_refreshed_in_time() {
    let mut session = some_session();
    let status = session.status.as_mut().unwrap();
    for authentication in [
        &mut status.authentication,
        &mut status.initial_authentication,
    ] {
        let authentication = authentication.as_mut().unwrap();
        authentication.access_token_duration = Some(crate::duration::to_proto(SECOND));
    }
    let mut now = NOW;
    for number in 30..100 {
        now = now.saturating_add(SECOND / 2);
        assert_eq!(refresh(&session, id(number), now), Ok(Refresh::Rotate));
        session = refreshed(&session, id(number + 1), now);
    }
}

#[test]
fn sessions_without_refresh_tokens_are_not_refreshed() {
    for r#type in [
        credential::spec::Type::Oauth2,
        credential::spec::Type::AccessToken,
    ] {
        let session = session_of(&some_credential(r#type));
        assert_eq!(refresh(&session, id(30), NOW), Err(Refusal::NotRefreshable));
    }
    let mut browser = some_session();
    browser.status.as_mut().unwrap().is_browser = true;
    assert_eq!(refresh(&browser, id(30), NOW), Err(Refusal::NotRefreshable));
    let mut pinned = some_session();
    pinned.status.as_mut().unwrap().required_authenticator_ref =
        Some(meta_v1::ObjectReference::default());
    assert_eq!(
        refresh(&pinned, id(30), NOW),
        Err(Refusal::AuthenticatorRequired)
    );
}

#[test]
fn w24_an_incomplete_session_is_refused_and_can_be_given_tokens() {
    assert_eq!(
        refresh(&Session::default(), id(30), NOW),
        Err(Refusal::Incomplete)
    );
    let session = refreshed(&Session::default(), id(31), NOW);
    assert_eq!(refresh(&session, id(31), NOW), Err(Refusal::Incomplete));
}

#[test]
fn a_hundred_authentications_are_remembered() {
    let mut session = some_session();
    for number in 0..150 {
        session = refreshed(&session, id(number), NOW);
    }
    let status = session.status.unwrap();
    assert_eq!(status.last_authentications.len(), 100);
    assert_eq!(status.last_authentications[0].token_id, id(148).to_string());
    assert_eq!(status.total_authentications, 151);
}

proptest! {
    #[test]
    fn w18_only_the_last_two_tokens_are_ever_answered(
        steps in prop::collection::vec((0_u64..100_000, 0_u8..20), 1..20),
    ) {
        let mut session = some_session();
        let mut now = NOW;
        let mut ids = vec![id(30)];
        for (number, (wait, presented)) in (31..).zip(steps) {
            now = now.saturating_add(Duration::from_secs(wait));
            session = refreshed(&session, id(number), now);
            ids.push(id(number));
            let age = usize::from(presented).min(ids.len() - 1);
            let decision = refresh(&session, ids[ids.len() - 1 - age], now);
            match age {
                0 => prop_assert!(matches!(decision, Ok(Refresh::Rotate | Refresh::TooSoon))),
                1 => prop_assert_eq!(decision, Ok(Refresh::Remint)),
                _ => prop_assert_eq!(decision, Ok(Refresh::Reuse)),
            }
        }
    }
}
