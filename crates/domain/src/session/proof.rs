//! The time at which the User of a Session proved their identity. It can be earlier than the issue of the tokens.

use std::borrow::Cow;

use api::core_v1::{
    Session, identity_provider,
    session::status::{
        Authentication,
        authentication::info::{self, Details},
    },
};

use super::{authenticator::last_proof, current, refresh};
use crate::clock::UnixMillis;

/// Returns the time at which `authentication` proved the identity of the User. Returns `None` for a refresh, which
/// proves nothing, and for a login at a provider that does not report when it authenticated the person, perhaps long
/// ago.
pub fn proved_at(authentication: &Authentication) -> Option<UnixMillis> {
    let set_at = refresh::set_at(authentication)?;
    let Some(info) = &authentication.info else {
        return Some(set_at);
    };
    match info.r#type() {
        info::Type::RefreshToken => None,
        info::Type::IdentityProvider => match &info.details {
            // A workload proves its identity with the token that it sends.
            Some(Details::IdentityProvider(by))
                if by.r#type() == identity_provider::status::Type::OidcIdentityToken =>
            {
                Some(set_at)
            }
            Some(Details::IdentityProvider(by)) => {
                let at = by.authenticated_at.as_ref();
                at.map(|at| UnixMillis::from_proto(at).min(set_at))
            }
            _ => None,
        },
        info::Type::Unset
        | info::Type::Credential
        | info::Type::Internal
        | info::Type::External
        | info::Type::Authenticator => Some(set_at),
    }
}

/// Returns the Session as Policies see it: the `setAt` of each authentication is the time at which it
/// [proved](proved_at) the identity of the User. If the current authentication is a refresh, its `setAt` is that of the
/// last proof before it. An unknown time is unset, so that no Policy considers it recent.
pub fn as_proved(session: &Session) -> Cow<'_, Session> {
    let Some(status) = &session.status else {
        return Cow::Borrowed(session);
    };
    let is_exact = |authentication: &Authentication| {
        proved_at(authentication) == refresh::set_at(authentication)
    };
    let first = status.authentication.iter();
    let mut all = first
        .chain(&status.initial_authentication)
        .chain(&status.last_authentications);
    if all.all(is_exact) {
        return Cow::Borrowed(session);
    }
    let present = current(session).and_then(|present| {
        if refresh::is_a_refresh(present) {
            let initial = status.initial_authentication.as_ref();
            last_proof(session).or(initial).and_then(proved_at)
        } else {
            proved_at(present)
        }
    });
    let mut shown = session.clone();
    let status = shown.status.get_or_insert_default();
    for authentication in status
        .initial_authentication
        .iter_mut()
        .chain(&mut status.last_authentications)
    {
        authentication.set_at = proved_at(authentication).map(UnixMillis::to_proto);
    }
    if let Some(authentication) = &mut status.authentication {
        authentication.set_at = present.map(UnixMillis::to_proto);
    }
    Cow::Owned(shown)
}

/// Returns the `setAt` of each authentication, in the order of [`set_issue_times`]. Returns `None` if [`as_proved`]
/// changes none of them.
pub fn issue_times(session: &Session) -> Option<Box<[Option<UnixMillis>]>> {
    let Cow::Owned(_) = as_proved(session) else {
        return None;
    };
    let status = session.status.as_ref()?;
    let all = status
        .authentication
        .iter()
        .chain(&status.initial_authentication)
        .chain(&status.last_authentications);
    Some(all.map(refresh::set_at).collect())
}

/// Reverts the changes of [`as_proved`], given the result of [`issue_times`].
pub fn set_issue_times(session: &mut Session, times: &[Option<UnixMillis>]) {
    let Some(status) = &mut session.status else {
        return;
    };
    let all = status
        .authentication
        .iter_mut()
        .chain(status.initial_authentication.iter_mut())
        .chain(status.last_authentications.iter_mut());
    for (authentication, time) in all.zip(times) {
        authentication.set_at = time.map(UnixMillis::to_proto);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use api::core_v1::{
        IdentityProvider, User, identity_provider::status::Type as Kind, session::spec::State,
        session::status::Type,
    };

    use super::*;
    use crate::{
        id::Uid,
        rng::SystemRng,
        session::{self, ExternalIdentity, Lifetimes, NewSession},
    };

    const LOGIN: UnixMillis = UnixMillis(1_795_305_600_000);

    fn info(
        kind: Kind,
        authenticated_at: Option<UnixMillis>,
    ) -> api::core_v1::session::status::authentication::Info {
        let mut provider = IdentityProvider::default();
        provider.status.get_or_insert_default().set_type(kind);
        let identity = ExternalIdentity {
            identifier: "1".to_owned(),
            email: String::new(),
            pic_url: String::new(),
            aal: info::Aal::Unset,
            saml: None,
            oidc: None,
            authenticated_at,
            reauthentication_requested: false,
        };
        session::identity_info(&provider, identity, session::downstream(None, ""))
    }

    fn begun(kind: Kind, authenticated_at: Option<UnixMillis>) -> Session {
        session::new_session(NewSession {
            uid: Uid::random(&SystemRng),
            name: "john-abcdef".to_owned(),
            user: &User::default(),
            credential: None,
            session_type: Type::Client,
            is_browser: false,
            scopes: Vec::new(),
            token_id: Uid::random(&SystemRng),
            info: info(kind, authenticated_at),
            lifetimes: Lifetimes {
                session: Duration::from_hours(21),
                access_token: Duration::from_hours(4),
                refresh_token: Duration::from_hours(20),
            },
            state: State::Active,
            now: LOGIN,
        })
    }

    fn shown(session: &Session) -> Option<UnixMillis> {
        let shown = as_proved(session);
        let present = current(&shown).unwrap();
        present.set_at.as_ref().map(UnixMillis::from_proto)
    }

    #[test]
    fn a_login_is_as_old_as_the_authentication_at_the_provider_r5() {
        let before = LOGIN.saturating_sub(Duration::from_secs(55));
        assert_eq!(shown(&begun(Kind::Oidc, Some(before))), Some(before));
        assert_eq!(shown(&begun(Kind::Saml, Some(before))), Some(before));
        // Never later than the login here. Unknown if the provider does not report it.
        let later = LOGIN.saturating_add(Duration::from_secs(55));
        assert_eq!(shown(&begun(Kind::Oidc, Some(later))), Some(LOGIN));
        assert_eq!(shown(&begun(Kind::Oidc, None)), None);
        assert_eq!(shown(&begun(Kind::Github, None)), None);
        assert_eq!(shown(&begun(Kind::OidcIdentityToken, None)), Some(LOGIN));
    }

    #[test]
    fn a_refresh_is_as_old_as_the_proof_before_it_r5() {
        let hour = Duration::from_hours(1);
        let mut session = begun(Kind::Oidc, Some(LOGIN));
        let mut now = LOGIN;
        for _ in 0..40 {
            now = now.saturating_add(hour);
            let refresh = session::refresh_info(session::downstream(None, ""));
            session::rotate_tokens(&mut session, Uid::random(&SystemRng), now, refresh);
            assert_eq!(shown(&session), Some(LOGIN));
        }
        let mut again = as_proved(&session).into_owned();
        set_issue_times(&mut again, &issue_times(&session).unwrap());
        assert_eq!(again, session);
        // Token lifetimes count from the time of issue.
        let present = current(&session).and_then(refresh::set_at);
        assert_eq!(present, Some(now));
        let proof = session::internal_info(session::downstream(None, ""));
        session::settle(&mut session, Uid::random(&SystemRng), now, proof);
        assert_eq!(shown(&session), Some(now));
    }

    #[test]
    fn an_old_authentication_is_not_fresh_r5() {
        let window = Duration::from_mins(10);
        let is_fresh = |authenticated_at| {
            session::is_fresh(&begun(Kind::Oidc, authenticated_at), false, window, LOGIN)
        };
        assert!(is_fresh(Some(LOGIN.saturating_sub(Duration::from_mins(9)))));
        assert!(!is_fresh(Some(
            LOGIN.saturating_sub(Duration::from_mins(10))
        )));
        assert!(is_fresh(None));
        // A replica whose clock is far ahead wrote this Session.
        let session = begun(Kind::Oidc, Some(LOGIN));
        let earlier = LOGIN.saturating_sub(Duration::from_mins(2));
        assert!(!session::is_fresh(&session, false, window, earlier));
    }
}
