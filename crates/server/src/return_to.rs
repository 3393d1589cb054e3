//! Where a browser goes on to after it has logged in: a URL of a Service that was asked for, signed by the Cluster so
//! that nobody else can send people anywhere through its login page.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{clock::UnixMillis, id::Uid};
use store::StoreError;

use crate::Context;

/// How long a login may take.
pub const LIFETIME: Duration = Duration::from_mins(30);
/// The longest URL that is returned to, in bytes.
pub const LONGEST: usize = 2048;
/// Tells it from everything else that the keys sign.
const PURPOSE: &str = "return-to.2";
const LONGEST_STATE: usize = 64;

/// A place to go on to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// A URL of a Service.
    pub url: String,
    /// By which the browser that was sent from there is known again: base64url, at most 64 characters; empty where no
    /// browser is.
    pub state: String,
}

/// Not, or no longer, a place that this Cluster sent somebody from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReturn {
    /// Changed, made elsewhere, or no such thing.
    #[error("not a signed place to return to")]
    Invalid,
    /// The login took too long.
    #[error("the place to return to has expired")]
    Expired,
    /// It cannot be checked at present.
    #[error("the place to return to cannot be checked at present")]
    Unavailable,
}

/// Signs `url` and the `state` of the browser that was there, for the query of the login page:
/// `key.expiry.state.url.signature`, unreserved characters alone.
///
/// # Errors
/// Where there is no key to sign with. `None` where the URL is too long or is none that can be signed.
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

/// The place that was signed. Whether a Service is still there is for the caller to look at.
///
/// # Errors
/// Where it was not signed by this Cluster, or too long ago.
pub async fn verify(ctx: &Context, text: &str) -> Result<Place, InvalidReturn> {
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
    // The domain may have changed since.
    if is_in_cluster(ctx, &url) {
        Ok(Place {
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

/// `https://<name>.<domain>[:port]/...`, with the port of the Cluster, and nothing that browsers read otherwise.
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
