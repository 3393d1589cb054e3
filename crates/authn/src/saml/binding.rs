//! Transport of messages through the browser (SAML Bindings §3.4 and §3.5).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    base64,
    error::{Error, ErrorKind},
    keys::SigningKey,
    provider::{Binding, Endpoint},
    signature,
};

pub(super) mod incoming;

/// Maximum length of `RelayState` in bytes (SAML Bindings §3.4.3).
pub const MAX_RELAY_STATE: usize = 80;

/// Characters that are percent-encoded in a query.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Parameter that carries the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    Request,
    Response,
}

impl Parameter {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Request => "SAMLRequest",
            Self::Response => "SAMLResponse",
        }
    }
}

/// A message to the identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// Redirect the browser.
    Redirect {
        /// URL with the message and its signature in the query.
        url: String,
    },
    /// Let the browser post a form.
    Post {
        /// URL of the form.
        action: String,
        /// Names and values of the fields. The caller must escape them for HTML.
        fields: Vec<(&'static str, String)>,
    },
}

/// Signs `document` and addresses it to `location`, with the binding of `endpoint`.
pub(super) fn send(
    document: &str,
    parameter: Parameter,
    location: &str,
    endpoint: &Endpoint,
    relay_state: Option<&str>,
    key: &SigningKey,
) -> Result<Outgoing, Error> {
    if relay_state.is_some_and(|state| state.len() > MAX_RELAY_STATE) {
        return Err(Error::new(
            ErrorKind::Refused,
            format!("RelayState has more than {MAX_RELAY_STATE} bytes"),
        ));
    }
    match endpoint.binding {
        Binding::Redirect => Ok(Outgoing::Redirect {
            url: redirection(document, parameter, location, relay_state, key)?,
        }),
        Binding::Post => {
            let signed = signature::sign(document, key)?;
            let mut fields = vec![(parameter.name(), base64::encode(signed.as_bytes()))];
            fields.extend(relay_state.map(|state| ("RelayState", state.to_owned())));
            Ok(Outgoing::Post {
                action: location.to_owned(),
                fields,
            })
        }
    }
}

fn redirection(
    document: &str,
    parameter: Parameter,
    location: &str,
    relay_state: Option<&str>,
    key: &SigningKey,
) -> Result<String, Error> {
    const FASTEST_THAT_IS_SMALL: u8 = 6;
    let deflated =
        miniz_oxide::deflate::compress_to_vec(document.as_bytes(), FASTEST_THAT_IS_SMALL);
    let mut query = format!(
        "{}={}",
        parameter.name(),
        encoded(&base64::encode(&deflated))
    );
    if let Some(state) = relay_state {
        query.push_str("&RelayState=");
        query.push_str(&encoded(state));
    }
    query.push_str("&SigAlg=");
    query.push_str(&encoded(key.algorithm().uri()));
    let signature = key.sign(query.as_bytes())?;
    let joint = if location.contains('?') { '&' } else { '?' };
    Ok(format!(
        "{location}{joint}{query}&Signature={}",
        encoded(&base64::encode(&signature))
    ))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}
