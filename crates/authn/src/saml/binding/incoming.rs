//! Incoming messages other than logins.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::Parameter;
use crate::saml::{
    algorithm::SignatureAlgorithm,
    base64,
    error::{Error, quoted},
    provider::Provider,
    signature::{self, Verified},
    xml::{self, Element, Limits},
};

/// Size limits of a message.
pub(in crate::saml) const LIMITS: Limits = Limits {
    bytes: 256 * 1024,
    elements: 8192,
};

/// A received message. Its content is used only after its signature was verified.
#[derive(Debug, Clone, Copy)]
pub enum Incoming<'a> {
    /// Redirect binding. The query must be unmodified, because the signature covers its bytes.
    Redirect {
        /// Query of the URL, without `?`.
        query: &'a str,
    },
    /// POST binding: value of the form field `SAMLRequest` or `SAMLResponse`.
    Post {
        /// Message in base64.
        message: &'a str,
    },
}

/// A message with a verified signature.
#[derive(Debug)]
pub(in crate::saml) enum Authentic {
    /// Message of a signed query.
    Query(Element),
    Enveloped(Verified),
}

impl Authentic {
    pub(in crate::saml) fn element(&self) -> &Element {
        match self {
            Self::Query(element) => element,
            Self::Enveloped(verified) => verified.element(),
        }
    }
}

/// Verifies the signature of a message and parses it.
pub(in crate::saml) fn open(
    incoming: Incoming<'_>,
    parameter: Parameter,
    provider: &Provider,
) -> Result<Authentic, Error> {
    match incoming {
        Incoming::Redirect { query } => open_query(query, parameter, provider),
        Incoming::Post { message } => {
            let root = posted(parameter, message)?;
            signature::check_places(&root, &[&root])?;
            signature::verify(&root, &provider.signing, LIMITS).map(Authentic::Enveloped)
        }
    }
}

/// Parses a request or response without verifying it.
pub(in crate::saml) fn unverified(incoming: Incoming<'_>) -> Result<Element, Error> {
    match incoming {
        Incoming::Post { message } => posted(Parameter::Request, message),
        Incoming::Redirect { query } => {
            let message = match raw_value(query, Parameter::Request.name())? {
                Some(request) => Some(request),
                None => raw_value(query, Parameter::Response.name())?,
            };
            let message = message.ok_or_else(|| Error::malformed("the query has no message"))?;
            let octets = inflate(&base64::decode("the message", &decoded(message)?)?)?;
            xml::parse(utf8(&octets)?, LIMITS)
        }
    }
}

/// Parses the message of a form field without verifying it.
pub(in crate::saml) fn posted(parameter: Parameter, message: &str) -> Result<Element, Error> {
    // Four characters for three bytes, and line breaks.
    if message.len() > LIMITS.bytes * 3 / 2 {
        return Err(Error::malformed(format!(
            "{} has {} characters",
            parameter.name(),
            message.len()
        )));
    }
    let octets = base64::decode(parameter.name(), message)?;
    xml::parse(utf8(&octets)?, LIMITS)
}

fn open_query(query: &str, parameter: Parameter, provider: &Provider) -> Result<Authentic, Error> {
    let raw = |name| raw_value(query, name);
    let required = |name: &str| {
        raw_value(query, name)?.ok_or_else(|| {
            Error::signature(format!(
                "the query has no {name}: unsigned messages are refused"
            ))
        })
    };
    let message = raw(parameter.name())?
        .ok_or_else(|| Error::malformed(format!("the query has no {}", parameter.name())))?;
    if let Some(encoding) = raw("SAMLEncoding")?
        && decoded(encoding)? != "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"
    {
        return Err(Error::malformed(format!(
            "SAMLEncoding {}",
            quoted(encoding)
        )));
    }
    let algorithm = required("SigAlg")?;
    let value = base64::decode("Signature", &decoded(required("Signature")?)?)?;
    let mut signed = format!("{}={message}", parameter.name());
    if let Some(state) = raw("RelayState")? {
        signed.push_str("&RelayState=");
        signed.push_str(state);
    }
    signed.push_str("&SigAlg=");
    signed.push_str(algorithm);
    let algorithm = SignatureAlgorithm::from_uri(&decoded(algorithm)?)?;
    let genuine = provider
        .signing
        .iter()
        .any(|key| key.verifies(algorithm, signed.as_bytes(), &value));
    if !genuine {
        return Err(Error::signature(format!(
            "the signature of the query matches none of the {} signing certificates of the metadata",
            provider.signing.len()
        )));
    }
    let octets = inflate(&base64::decode(parameter.name(), &decoded(message)?)?)?;
    xml::parse(utf8(&octets)?, LIMITS).map(Authentic::Query)
}

/// Inflates a message. The limit prevents decompression bombs.
pub(in crate::saml) fn inflate(deflated: &[u8]) -> Result<Vec<u8>, Error> {
    miniz_oxide::inflate::decompress_to_vec_with_limit(deflated, LIMITS.bytes).map_err(|error| {
        Error::malformed(match error.status {
            miniz_oxide::inflate::TINFLStatus::HasMoreOutput => {
                format!("the message inflates to more than {} bytes", LIMITS.bytes)
            }
            _ => "the message is not deflated".to_owned(),
        })
    })
}

/// Returns the undecoded value of a query parameter. Repeated parameters are an error.
fn raw_value<'a>(query: &'a str, name: &str) -> Result<Option<&'a str>, Error> {
    let mut values = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    let first = values.next();
    if values.next().is_some() {
        return Err(Error::malformed(format!("the query has {name} twice")));
    }
    Ok(first)
}

fn decoded(raw: &str) -> Result<Cow<'_, str>, Error> {
    percent_decode_str(raw)
        .decode_utf8()
        .map_err(|_| Error::malformed("a parameter of the query is not UTF-8"))
}

fn utf8(octets: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(octets).map_err(|_| Error::malformed("the message is not UTF-8"))
}
