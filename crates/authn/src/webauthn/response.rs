//! JSON responses of browsers: `RegistrationResponseJSON` and `AuthenticationResponseJSON` (§5.1).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{
    AuthenticationResponse, RegistrationResponse,
    error::{Refusal, Result},
};

const LARGEST: usize = 60 * 1024;
const WHAT: &str = "the response";
const MOST_TRANSPORTS: usize = 8;

/// A parsed registration response, not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationJson {
    /// `rawId`.
    pub credential_id: Vec<u8>,
    client_data: Vec<u8>,
    attestation_object: Vec<u8>,
    /// Transports that the browser reports for the authenticator. Not proved.
    pub transports: Vec<String>,
    /// `authenticatorAttachment`. Not proved.
    pub attachment: Option<Attachment>,
    /// True if the extension `credProps` reports a discoverable credential. Not proved.
    pub is_resident: bool,
}

/// A parsed authentication response, not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticationJson {
    /// `rawId`.
    pub credential_id: Vec<u8>,
    /// `userHandle`, if the authenticator returned one.
    pub user_handle: Option<Vec<u8>>,
    client_data: Vec<u8>,
    authenticator_data: Vec<u8>,
    signature: Vec<u8>,
}

/// Attachment of an authenticator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    /// Built into the device.
    Platform,
    /// Removable, such as a security key.
    CrossPlatform,
}

impl RegistrationJson {
    /// Parses a `RegistrationResponseJSON`.
    ///
    /// # Errors
    /// Returns [`Refusal::Malformed`] if the text is malformed or too large.
    pub fn read(text: &str) -> Result<Self> {
        let (object, credential_id) = read(text)?;
        let response = inner(&object)?;
        let transports = match response.get("transports") {
            None | Some(Value::Null) => Vec::new(),
            Some(list) => transports(list)?,
        };
        let attachment = match object
            .get("authenticatorAttachment")
            .and_then(Value::as_str)
        {
            Some("platform") => Some(Attachment::Platform),
            Some("cross-platform") => Some(Attachment::CrossPlatform),
            _ => None,
        };
        let properties = object
            .get("clientExtensionResults")
            .and_then(|results| results.get("credProps"));
        let is_resident = properties.and_then(|properties| properties.get("rk"));
        Ok(Self {
            credential_id,
            client_data: bytes(response, "clientDataJSON")?,
            attestation_object: bytes(response, "attestationObject")?,
            transports,
            attachment,
            is_resident: is_resident.and_then(Value::as_bool).unwrap_or(false),
        })
    }

    /// Returns the part that [`register`](super::register) verifies.
    pub fn response(&self) -> RegistrationResponse<'_> {
        RegistrationResponse {
            credential_id: &self.credential_id,
            client_data: &self.client_data,
            attestation_object: &self.attestation_object,
        }
    }
}

impl AuthenticationJson {
    /// Parses an `AuthenticationResponseJSON`.
    ///
    /// # Errors
    /// Returns [`Refusal::Malformed`] if the text is malformed or too large.
    pub fn read(text: &str) -> Result<Self> {
        let (object, credential_id) = read(text)?;
        let response = inner(&object)?;
        let user_handle = match response.get("userHandle") {
            None | Some(Value::Null) => None,
            Some(_) => Some(bytes(response, "userHandle")?),
        };
        Ok(Self {
            credential_id,
            // Some authenticators send an empty handle instead of none.
            user_handle: user_handle.filter(|handle| !handle.is_empty()),
            client_data: bytes(response, "clientDataJSON")?,
            authenticator_data: bytes(response, "authenticatorData")?,
            signature: bytes(response, "signature")?,
        })
    }

    /// Returns the part that [`authenticate`](super::authenticate) verifies.
    pub fn response(&self) -> AuthenticationResponse<'_> {
        AuthenticationResponse {
            client_data: &self.client_data,
            authenticator_data: &self.authenticator_data,
            signature: &self.signature,
        }
    }
}

fn read(text: &str) -> Result<(Map<String, Value>, Vec<u8>)> {
    if text.len() > LARGEST {
        return Err(Refusal::Malformed(WHAT));
    }
    let object = strict_json::object(text.as_bytes()).map_err(|_| Refusal::Malformed(WHAT))?;
    if object.get("type").and_then(Value::as_str) != Some("public-key") {
        return Err(Refusal::Malformed(WHAT));
    }
    let credential_id = bytes(&object, "rawId")?;
    if credential_id.is_empty() {
        return Err(Refusal::Malformed(WHAT));
    }
    Ok((object, credential_id))
}

fn inner(object: &Map<String, Value>) -> Result<&Map<String, Value>> {
    let response = object.get("response").and_then(Value::as_object);
    response.ok_or(Refusal::Malformed(WHAT))
}

fn bytes(object: &Map<String, Value>, name: &str) -> Result<Vec<u8>> {
    let text = object.get(name).and_then(Value::as_str);
    let text = text.ok_or(Refusal::Malformed(WHAT))?;
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| Refusal::Malformed(WHAT))
}

/// Returns the well-formed transport names. Unknown ones are kept, as the specification requires.
fn transports(list: &Value) -> Result<Vec<String>> {
    let list = list.as_array().ok_or(Refusal::Malformed(WHAT))?;
    let is_name = |name: &&str| {
        (1..=32).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let names = list.iter().filter_map(Value::as_str).filter(is_name);
    Ok(names.map(str::to_owned).take(MOST_TRANSPORTS).collect())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_registration_is_read_with_what_the_browser_says_beside() {
        let read = RegistrationJson::read(
            r#"{"id": "AQI", "rawId": "AQI", "type": "public-key", "authenticatorAttachment": "platform",
                "response": {"clientDataJSON": "e30", "attestationObject": "oA", "transports": ["usb", "x y", "hybrid"]},
                "clientExtensionResults": {"credProps": {"rk": true}}}"#,
        )
        .unwrap();
        assert_eq!(read.credential_id, [1, 2]);
        assert_eq!(read.transports, ["usb", "hybrid"]);
        assert_eq!(read.attachment, Some(Attachment::Platform));
        assert!(read.is_resident);
        assert_eq!(read.response().client_data, b"{}");
    }

    #[test]
    fn an_empty_user_handle_is_none() {
        let read = AuthenticationJson::read(
            r#"{"rawId": "AQI", "type": "public-key", "response": {"clientDataJSON": "e30", "authenticatorData": "AA",
                "signature": "AA", "userHandle": ""}}"#,
        );
        assert_eq!(read.unwrap().user_handle, None);
    }

    #[rstest]
    #[case("")]
    #[case("[]")]
    #[case(r#"{"rawId": "AQI", "type": "public-key"}"#)]
    #[case(r#"{"rawId": "", "type": "public-key", "response": {"clientDataJSON": "e30", "attestationObject": "oA"}}"#)]
    #[case(r#"{"rawId": "AQI=", "type": "public-key", "response": {"clientDataJSON": "e30", "attestationObject": "oA"}}"#)]
    #[case(r#"{"rawId": "AQI", "type": "password", "response": {"clientDataJSON": "e30", "attestationObject": "oA"}}"#)]
    #[case(r#"{"rawId": "AQI", "rawId": "AQM", "type": "public-key", "response": {"clientDataJSON": "e30", "attestationObject": "oA"}}"#)]
    #[case(r#"{"rawId": "AQI", "type": "public-key", "response": {"clientDataJSON": 1, "attestationObject": "oA"}}"#)]
    fn malformed_messages_are_refused(#[case] text: &str) {
        assert_eq!(RegistrationJson::read(text), Err(Refusal::Malformed(WHAT)));
        assert_eq!(
            AuthenticationJson::read(text),
            Err(Refusal::Malformed(WHAT))
        );
    }
}
