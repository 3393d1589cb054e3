//! Base64 of XML and forms: white space is ignored, and all other characters must be in the alphabet.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::error::Error;

pub(super) fn encode(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// Decodes `text`. The error message contains `what`.
pub(super) fn decode(what: &str, text: &str) -> Result<Vec<u8>, Error> {
    let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD
        .decode(packed)
        .map_err(|error| Error::malformed(format!("{what} is not base64: {error}")))
}
