//! Decides by the local clock whether the saved tokens are still valid.

use api::config_v1::state::Domain;
use domain::clock::UnixMillis;
use secrecy::SecretString;

/// The state of the saved tokens.
pub(super) enum TokenState {
    /// The access token is valid.
    Fresh(SecretString),
    /// The access token is due for a refresh, and the refresh token is valid.
    Due(SecretString),
    /// No token is valid. The User must log in.
    LoginRequired,
}

/// Returns the state of a saved entry.
///
/// An access token is due for a refresh after half of its lifetime. If the lifetime is shorter than an hour, it is due
/// ten minutes before it expires or after half of the lifetime, whichever is later. A lifetime of 0 never expires.
pub(super) fn token_state(entry: &Domain, now: UnixMillis) -> TokenState {
    let Some(token) = &entry.session_token else {
        return TokenState::LoginRequired;
    };
    let set_at = entry
        .session_token_set_at
        .as_ref()
        .map_or(0, |time| UnixMillis::from_proto(time).seconds());
    let age = now.seconds().saturating_sub(set_at);
    if token.refresh_token.is_empty() || age >= token.refresh_token_expires_in {
        return TokenState::LoginRequired;
    }
    let access_token = SecretString::from(token.access_token.as_str());
    let life = token.expires_in;
    let gap = if life < 3600 {
        (life / 2).min(600)
    } else {
        life / 2
    };
    // A negative age means that the clock was set back. Such a token must not stay valid forever.
    if life > 0 && (age > life - gap || age < 0) {
        TokenState::Due(access_token)
    } else {
        TokenState::Fresh(access_token)
    }
}

#[cfg(test)]
mod tests {
    use api::auth_v1::SessionToken;

    use super::*;

    fn at(age: i64, expires_in: i64, refresh_token_expires_in: i64) -> &'static str {
        let entry = Domain {
            session_token: Some(SessionToken {
                access_token: "a".to_owned(),
                refresh_token: "r".to_owned(),
                expires_in,
                refresh_token_expires_in,
            }),
            session_token_set_at: Some(UnixMillis::from_seconds(1_000_000).to_proto()),
        };
        match token_state(&entry, UnixMillis::from_seconds(1_000_000 + age)) {
            TokenState::Fresh(_) => "fresh",
            TokenState::Due(_) => "due",
            TokenState::LoginRequired => "gone",
        }
    }

    #[test]
    fn tokens_are_refreshed_before_they_expire() {
        let day = 86_400;
        assert_eq!(at(7200, 4 * 3600, day), "fresh");
        assert_eq!(at(7201, 4 * 3600, day), "due");
        assert_eq!(at(1200, 1800, day), "fresh");
        assert_eq!(at(1201, 1800, day), "due");
        assert_eq!(at(30, 60, day), "fresh");
        assert_eq!(at(31, 60, day), "due");
        assert_eq!(at(day - 1, 0, day), "fresh");
    }

    #[test]
    fn without_a_refresh_token_a_login_is_required() {
        assert_eq!(at(100, 3600, 100), "gone");
        assert_eq!(at(0, 3600, 0), "gone");
        assert_eq!(at(-5, 3600, 86_400), "due");
        assert!(matches!(
            token_state(&Domain::default(), UnixMillis(0)),
            TokenState::LoginRequired
        ));
    }
}
