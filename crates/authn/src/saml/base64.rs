//! Base64 as XML and forms hold it: white space anywhere, nothing else beside the alphabet.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::error::Error;

pub(super) fn encode(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// The octets of `text`; `what` names it in the reason.
pub(super) fn decode(what: &str, text: &str) -> Result<Vec<u8>, Error> {
    let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD
        .decode(packed)
        .map_err(|error| Error::malformed(format!("{what} is not base64: {error}")))
}
