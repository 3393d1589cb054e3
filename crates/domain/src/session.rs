//! Sessions: creation, lifetimes, refresh and validity checks, as pure functions. The caller reads the Session and
//! writes the changed one by compare-and-set.

mod authenticator;
mod browser;
mod check;
mod create;
mod lifetimes;
mod proof;
mod refresh;

pub use authenticator::{
    action, authenticator_info, is_fresh, last_proof, mode, pin, settle, step_up,
};
pub use browser::{BrowserToken, browser_token};
pub use check::{
    accepts_access_token, access_token_ends_at, check, check_ignoring_approval_and_authenticator,
};
pub use create::{
    ClientOrigin, ExternalIdentity, NewSession, credential_info, downstream, identity_info,
    internal_info, new_name, new_session, refresh_info, session_type, session_type_of,
    under_credential,
};
pub use lifetimes::{
    Lifetimes, MOST_PER_USER, access_token_expiry, browser_access_expiry, browser_renewal_from,
    default_state, is_over, lifetimes, max_per_user, refresh_token_expiry,
};
pub use proof::{as_proved, issue_times, proved_at, set_issue_times};
pub use refresh::{Refresh, refresh, rotate_tokens};

use api::core_v1::{
    Session, credential,
    session::status::{Authentication, authentication::info::Details},
};

/// Returns whether the Session is shared by any number of replicas of an OAuth2 client, each with its own access token.
/// The Session does not store the ids of these tokens. A record of its id revokes a single token.
pub fn is_shared(session: &Session) -> bool {
    credential_type(session) == Some(credential::spec::Type::Oauth2)
}

/// Returns whether this is a browser Session: its tokens are in cookies, each of which is bound to one host.
pub fn is_browser(session: &Session) -> bool {
    session
        .status
        .as_ref()
        .is_some_and(|status| status.is_browser)
}

/// Returns the type of the Credential that created the Session.
fn credential_type(session: &Session) -> Option<credential::spec::Type> {
    let status = session.status.as_ref()?;
    match &status
        .initial_authentication
        .as_ref()?
        .info
        .as_ref()?
        .details
    {
        Some(Details::Credential(credential)) => Some(credential.r#type()),
        _ => None,
    }
}

/// Returns the authentication for which the current tokens were issued.
pub fn current(session: &Session) -> Option<&Authentication> {
    session.status.as_ref()?.authentication.as_ref()
}

#[cfg(test)]
mod tests;
