//! The token of a browser Session at the pages of the Cluster. It is rotated while pages are in use, so that reuse of a
//! copied token is detected.

use api::core_v1::Session;

use super::{current, is_browser, lifetimes, refresh};
use crate::{clock::UnixMillis, credential::Refusal, id::Uid};

/// The state of a token that a browser sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrowserToken {
    /// The current token.
    Present,
    /// The current token, which is due for rotation: see [`rotate_tokens`](super::rotate_tokens).
    Due,
    /// The previous token, just after its rotation: another page was loading, or the response was lost. Send the
    /// browser the current token again.
    Replaced,
    /// The previous token, just after an Authenticator raised the Session: perhaps another page was loading. It is
    /// invalid and is not exchanged for the current token.
    Superseded,
    /// A token that was replaced long ago, so there is a copy of it. Revoke the Session.
    Reused,
}

/// Classifies `token_id`, which was sealed for a browser of `session`. The caller must first check the Session with
/// [`check_ignoring_approval_and_authenticator`](super::check_ignoring_approval_and_authenticator).
///
/// # Errors
/// Returns [`Refusal::WrongToken`] if this is not a browser Session, and [`Refusal::TokenExpired`] if it was unused for
/// too long.
pub fn browser_token(
    session: &Session,
    token_id: Uid,
    now: UnixMillis,
) -> Result<BrowserToken, Refusal> {
    if !is_browser(session) {
        return Err(Refusal::WrongToken);
    }
    let authentication = current(session).ok_or(Refusal::Incomplete)?;
    let token_id = token_id.to_string();
    if authentication.token_id != token_id {
        let previous = session
            .status
            .as_ref()
            .and_then(|status| status.last_authentications.first());
        let is_previous = previous.is_some_and(|previous| previous.token_id == token_id);
        let is_recent = refresh::is_recent(authentication, refresh::REPEAT_WINDOW, now);
        return Ok(
            match (
                is_previous && is_recent,
                refresh::is_a_refresh(authentication),
            ) {
                (true, true) => BrowserToken::Replaced,
                (true, false) => BrowserToken::Superseded,
                (false, _) => BrowserToken::Reused,
            },
        );
    }
    let end = lifetimes::refresh_token_end(session).ok_or(Refusal::Incomplete)?;
    if now >= end {
        return Err(Refusal::TokenExpired);
    }
    let set_at = refresh::set_at(authentication).ok_or(Refusal::Incomplete)?;
    let lifetime = lifetimes::access_token_duration(session).ok_or(Refusal::Incomplete)?;
    let is_past_half = now >= set_at.saturating_add(lifetime / 2);
    Ok(if is_past_half {
        BrowserToken::Due
    } else {
        BrowserToken::Present
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use api::core_v1::{User, session::spec::State, session::status::Type};

    use super::*;
    use crate::{
        rng::SystemRng,
        session::{self, Lifetimes, NewSession},
    };

    const START: UnixMillis = UnixMillis(1_795_305_600_000);

    fn uid() -> Uid {
        Uid::random(&SystemRng)
    }

    fn begun(is_browser: bool, token_id: Uid) -> Session {
        session::new_session(NewSession {
            uid: uid(),
            name: "john-abcdef".to_owned(),
            user: &User::default(),
            credential: None,
            session_type: Type::Clientless,
            is_browser,
            scopes: Vec::new(),
            token_id,
            info: session::internal_info(session::downstream(None, "")),
            lifetimes: Lifetimes {
                session: Duration::from_hours(21),
                access_token: Duration::from_hours(4),
                refresh_token: Duration::from_hours(20),
            },
            state: State::Active,
            now: START,
        })
    }

    fn at(seconds: u64) -> UnixMillis {
        START.saturating_add(Duration::from_secs(seconds))
    }

    #[test]
    fn a_browser_gets_a_new_token_after_half_of_its_time() {
        let token = uid();
        let session = begun(true, token);
        assert_eq!(
            browser_token(&session, token, at(7199)),
            Ok(BrowserToken::Present)
        );
        assert_eq!(
            browser_token(&session, token, at(7200)),
            Ok(BrowserToken::Due)
        );
        assert_eq!(
            browser_token(&session, token, at(20 * 3600)),
            Err(Refusal::TokenExpired)
        );
    }

    #[test]
    fn w43_the_previous_token_works_briefly_and_a_copy_is_detected() {
        let (old, new) = (uid(), uid());
        let mut session = begun(true, old);
        let info = session::refresh_info(session::downstream(None, ""));
        session::rotate_tokens(&mut session, new, at(7200), info);
        assert_eq!(
            browser_token(&session, new, at(7201)),
            Ok(BrowserToken::Present)
        );
        assert_eq!(
            browser_token(&session, old, at(7229)),
            Ok(BrowserToken::Replaced)
        );
        assert_eq!(
            browser_token(&session, old, at(7230)),
            Ok(BrowserToken::Reused)
        );
        assert_eq!(
            browser_token(&session, uid(), at(7201)),
            Ok(BrowserToken::Reused)
        );
    }

    #[test]
    fn a_session_of_a_program_has_no_browser() {
        let token = uid();
        assert_eq!(
            browser_token(&begun(false, token), token, START),
            Err(Refusal::WrongToken)
        );
    }
}
