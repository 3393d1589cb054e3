//! Logout at `OpenID` Connect providers.

use api::core_v1::{
    Session,
    identity_provider::spec::{self, Type},
    session::status::authentication::info::{IdentityProvider, identity_provider::Oidc},
};
use authn::{
    assertion,
    jws::Unverified,
    provider::{ExternalIdentity, LoginError},
};
use aws_lc_rs::digest;
use serde_json::Value;

use super::single_logout::{self, SessionSelector, initial_identity, unknown_sender};
use crate::{
    Caller, Context, Error, authentication::identity::SingleUse, directory::ProviderEntry,
    document::index,
};

/// Path at which providers report the end of a session.
pub(crate) const LOGOUT: &str = "/oidc/backchannel-logout";
const USED_TOKEN: &str = "oidc-logout";
/// Maximum length of a stored claim, in bytes. Longer claims are dropped.
const LONGEST: usize = 256;

/// The logout page of a provider.
pub(crate) struct LogoutPage {
    /// Display name of the provider.
    pub(crate) label: String,
    pub(crate) url: String,
}

/// Extracts the claims of a login that a later logout needs.
pub(crate) fn logout_identifiers(external: &ExternalIdentity) -> Option<Box<Oidc>> {
    let claim = |name: &str| {
        let value = external.claims.get(name).and_then(Value::as_str);
        value
            .filter(|value| value.len() <= LONGEST)
            .map(str::to_owned)
    };
    Some(Box::new(Oidc {
        subject: claim("sub")?,
        session_id: claim("sid").unwrap_or_default(),
    }))
}

/// Ends the Sessions that a logout token names (`OpenID` Connect Back-Channel Logout 1.0 §2.6, 2.7).
///
/// # Errors
/// Returns `Unauthenticated` if the token is not from a known provider or was already used, or `Unavailable` if that
/// cannot be determined.
pub(crate) async fn end_by_token(ctx: &Context, token: &str, caller: &Caller) -> Result<(), Error> {
    let (entry, oidc) = sender(ctx, token)?;
    let relying_party = ctx.providers.relying_party(&oidc.issuer_url, &ctx.clock);
    let read = relying_party.read_logout(&oidc.client_id, token).await;
    let token = read.map_err(|error| match error {
        LoginError::Unavailable(error) => Error::unavailable(error),
        error => {
            tracing::warn!(identity_provider = entry.name(), %error, "logout token refused");
            unknown_sender("logout_token")
        }
    })?;
    let provider = entry.provider.uid;
    let id = digest::digest(&digest::SHA256, token.id.as_bytes());
    let used = SingleUse {
        kind: USED_TOKEN,
        key: [provider.as_bytes().as_slice(), id.as_ref()].concat(),
        expires_at: token.ends_at,
    };
    let (claim, value) = match (&token.session, &token.subject) {
        (Some(session), _) => ("sid", session),
        (None, Some(subject)) => ("sub", subject),
        (None, None) => return Err(unknown_sender("logout_token")),
    };
    let is_selected = |by: &IdentityProvider| {
        by.oidc.as_ref().is_some_and(|oidc| {
            let is_of = |asked: &Option<String>, had: &String| {
                asked.as_ref().is_none_or(|asked| asked == had)
            };
            is_of(&token.subject, &oidc.subject) && is_of(&token.session, &oidc.session_id)
        })
    };
    let selector = SessionSelector {
        index: index::OIDC,
        key: &index::oidc_key(&provider.to_string(), claim, value),
        matches: is_selected,
    };
    single_logout::end_sessions(ctx, &entry, &used, selector, caller).await
}

/// Returns the logout page of the provider that authenticated `session`. Returns `None` for other Sessions, or if the
/// provider has no such page.
pub(crate) async fn logout_page(ctx: &Context, session: &Session) -> Option<LogoutPage> {
    let by = initial_identity(session)?;
    by.oidc.as_ref()?;
    let provider = &by.identity_provider_ref.as_ref()?.uid;
    let entry = ctx.directory.identity_provider("", provider)?;
    let oidc = spec(&entry)?;
    let relying_party = ctx.providers.relying_party(&oidc.issuer_url, &ctx.clock);
    Some(LogoutPage {
        label: entry.label().to_owned(),
        url: relying_party.end_session_url(&oidc.client_id).await?,
    })
}

/// Returns the provider whose issuer the unverified token names.
fn sender(
    ctx: &Context,
    token: &str,
) -> Result<(std::sync::Arc<ProviderEntry>, spec::Oidc), Error> {
    let unverified =
        Unverified::parse_as(token, |_| true).map_err(|_| unknown_sender("logout_token"))?;
    let issuer = assertion::issuer(&unverified).ok_or_else(|| unknown_sender("logout_token"))?;
    ctx.directory
        .identity_providers()
        .into_iter()
        .find_map(|entry| {
            let oidc = spec(&entry)?.clone();
            authn::issuer::is_same(&oidc.issuer_url, issuer).then_some((entry, oidc))
        })
        .ok_or_else(|| unknown_sender("provider_unknown"))
}

fn spec(entry: &ProviderEntry) -> Option<&spec::Oidc> {
    match entry.spec()?.r#type.as_ref()? {
        Type::Oidc(oidc) => Some(oidc),
        _ => None,
    }
}
