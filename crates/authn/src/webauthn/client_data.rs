//! Client data of a ceremony, created by the browser (`CollectedClientData`, §5.8.1).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{
    Expected,
    error::{Refusal, Result},
};

const LARGEST: usize = 8 * 1024;
const WHAT: &str = "the client data";

/// Type of a ceremony.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ceremony {
    /// Creation of a credential.
    Registration,
    /// Use of a credential.
    Authentication,
}

/// Policy for ceremonies in a frame of another site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Embedding<'a> {
    /// Only pages of the relying party itself.
    Refused,
    /// Also frames in pages of one of these origins.
    Within(&'a [&'a str]),
}

/// Validates the client data of a ceremony (§7.1 steps 6 to 11, §7.2 steps 10 to 15).
pub(super) fn check(bytes: &[u8], ceremony: Ceremony, expected: &Expected<'_>) -> Result<()> {
    if bytes.len() > LARGEST {
        return Err(Refusal::Malformed(WHAT));
    }
    let data = strict_json::object(bytes).map_err(|_| Refusal::Malformed(WHAT))?;
    let text = |name: &str| data.get(name).and_then(Value::as_str);
    let wanted = match ceremony {
        Ceremony::Registration => "webauthn.create",
        Ceremony::Authentication => "webauthn.get",
    };
    if text("type") != Some(wanted) {
        return Err(Refusal::Ceremony);
    }
    // Only the canonical base64url spelling matches.
    if expected.challenge.is_empty()
        || text("challenge") != Some(&*URL_SAFE_NO_PAD.encode(expected.challenge))
    {
        return Err(Refusal::Challenge);
    }
    let origin = text("origin").unwrap_or_default();
    if !expected.origins.contains(&origin) {
        return Err(Refusal::Origin(origin.chars().take(256).collect()));
    }
    let is_crossed = match data.get("crossOrigin") {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(_) => return Err(Refusal::Malformed(WHAT)),
    };
    let top = match data.get("topOrigin") {
        None => None,
        Some(Value::String(top)) => Some(top.as_str()),
        Some(_) => return Err(Refusal::Malformed(WHAT)),
    };
    match (is_crossed, top, expected.embedding) {
        // Older browsers do not send `topOrigin`.
        (false, None, _) | (true, None, Embedding::Within(_)) => Ok(()),
        (true, Some(top), Embedding::Within(origins)) if origins.contains(&top) => Ok(()),
        _ => Err(Refusal::Embedded),
    }
}
