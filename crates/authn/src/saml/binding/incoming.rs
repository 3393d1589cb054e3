//! Messages that arrive, other than logins.

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

/// What is read of a message at most, in bytes of XML.
pub(in crate::saml) const LIMITS: Limits = Limits {
    bytes: 256 * 1024,
    elements: 8192,
};

/// A message as it came. Nothing of it is read before its signature is verified.
#[derive(Debug, Clone, Copy)]
pub enum Incoming<'a> {
    /// The query of the URL, octet for octet as it came: the signature is over those.
    Redirect {
        /// What stands behind `?`.
        query: &'a str,
    },
    /// The value of `SAMLRequest` or `SAMLResponse` in the form.
    Post {
        /// Base64.
        message: &'a str,
    },
}

/// A message whose signature was verified.
#[derive(Debug)]
pub(in crate::saml) enum Authentic {
    /// The signature is over the query that held this.
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

/// Verifies and reads a message that has to be signed.
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

/// The document that came, request or response, before anything of it is verified.
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

/// The document in a field of a form, not verified.
pub(in crate::saml) fn posted(parameter: Parameter, message: &str) -> Result<Element, Error> {
    // Four characters for three octets, and line ends.
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
            "the signature of the query is of none of the {} signing certificates of the metadata",
            provider.signing.len()
        )));
    }
    let octets = inflate(&base64::decode(parameter.name(), &decoded(message)?)?)?;
    xml::parse(utf8(&octets)?, LIMITS).map(Authentic::Query)
}

/// Undoes DEFLATE, up to the limit: a few octets can stand for any number.
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

/// The value of a parameter as it is written; more than one of the name is refused.
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
