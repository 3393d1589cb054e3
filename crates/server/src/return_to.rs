//! Signed URLs to which a browser returns after login. The signature prevents open redirects through the login page.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{clock::UnixMillis, id::Uid};
use store::StoreError;

use crate::Context;

/// Maximum duration of a login.
pub const LIFETIME: Duration = Duration::from_mins(30);
/// Maximum length of the URL, in bytes.
pub const LONGEST: usize = 2048;
/// Separates these signatures from all others by the same keys.
const PURPOSE: &str = "return-to.2";
const LONGEST_STATE: usize = 64;

/// A URL to return to after login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnTarget {
    /// URL of a Service.
    pub url: String,
    /// Identifies the browser that was redirected: base64url, at most 64 characters. Empty if the login is not bound
    /// to a browser.
    pub state: String,
}

/// The reason why a text is not a valid place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReturn {
    /// The text was not signed by this Cluster, or was changed.
    #[error("not a signed return address")]
    Invalid,
    /// The login took too long.
    #[error("the return address has expired")]
    Expired,
    /// The signature cannot be checked now.
    #[error("the return address cannot be checked at the moment")]
    Unavailable,
}

/// Signs `url` and the browser's `state` for the query of the login page. The form is
/// `key.expiry.state.url.signature`, in unreserved characters only. Returns `None` if the URL is too long or is not a
/// URL of this Cluster, or if `state` is malformed.
///
/// # Errors
/// Returns an error if no signing key is available.
pub fn sign(ctx: &Context, url: &str, state: &str) -> Result<Option<String>, StoreError> {
    if url.len() > LONGEST || !is_in_cluster(ctx, url) || !is_state(state) {
        return Ok(None);
    }
    let now = ctx.now();
    let signer = ctx.keys.signer(now)?;
    let expires_at = now.saturating_add(LIFETIME).0;
    let body = format!(
        "{}.{expires_at}.{state}.{}",
        signer.id(),
        URL_SAFE_NO_PAD.encode(url)
    );
    let Ok(signature) = signer.sign_text(&format!("{PURPOSE}.{body}")) else {
        return Ok(None);
    };
    Ok(Some(format!(
        "{body}.{}",
        URL_SAFE_NO_PAD.encode(signature)
    )))
}

/// Verifies a signed place. The caller must check that the Service still exists.
///
/// # Errors
/// Returns [`InvalidReturn`] if the text was not signed by this Cluster, has expired, or cannot be checked.
pub async fn verify(ctx: &Context, text: &str) -> Result<ReturnTarget, InvalidReturn> {
    let (body, signature) = text.rsplit_once('.').ok_or(InvalidReturn::Invalid)?;
    let mut parts = body.split('.');
    let (Some(key), Some(expires_at), Some(state), Some(url), None) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return Err(InvalidReturn::Invalid);
    };
    let key: Uid = key.parse().map_err(|_| InvalidReturn::Invalid)?;
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| InvalidReturn::Invalid)?;
    let verifying = ctx
        .keys
        .verifier(key)
        .await
        .map_err(|_| InvalidReturn::Unavailable)?
        .ok_or(InvalidReturn::Invalid)?;
    verifying
        .verify_text(&format!("{PURPOSE}.{body}"), &signature)
        .map_err(|_| InvalidReturn::Invalid)?;
    let expires_at = expires_at.parse().map_err(|_| InvalidReturn::Invalid)?;
    if UnixMillis(expires_at) <= ctx.now() {
        return Err(InvalidReturn::Expired);
    }
    let url = URL_SAFE_NO_PAD
        .decode(url)
        .ok()
        .and_then(|url| String::from_utf8(url).ok())
        .ok_or(InvalidReturn::Invalid)?;
    // The domain may have changed since the signature.
    if is_in_cluster(ctx, &url) {
        Ok(ReturnTarget {
            url,
            state: state.to_owned(),
        })
    } else {
        Err(InvalidReturn::Invalid)
    }
}

fn is_state(state: &str) -> bool {
    state.len() <= LONGEST_STATE
        && state
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Returns whether `url` is `https://<name>.<domain>[:port]/...` with the port of the Cluster, without characters that
/// browsers reinterpret.
fn is_in_cluster(ctx: &Context, url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let after = rest.get(authority.len()..).unwrap_or_default();
    let name = authority
        .strip_suffix(ctx.domain.authority())
        .and_then(|name| name.strip_suffix('.'));
    let is_name = name.is_some_and(|name| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    });
    is_name
        && after.starts_with('/')
        && after
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}
