//! XML signatures, restricted as in SAML Core §5.4: one enveloped signature with one reference to its parent element,
//! and exclusive canonicalization.
//!
//! To prevent signature wrapping, no element is looked up by its id, and the original tree is not used after
//! verification. The signed bytes are parsed again, and the result, [`Verified`], is the only source of claims. It
//! cannot contain elements that the signature does not cover.

use subtle::ConstantTimeEq as _;

use super::{
    base64,
    canonical::{self, canonicalize},
    certificate::Certificate,
    error::{Error, quoted},
    names::DSIG,
    xml::{self, Element, Limits},
};

mod info;
mod sign;

pub(super) use sign::sign;
#[cfg(any(test, feature = "testing"))]
pub(super) use sign::{Form, insert_signature, sign_as};

use info::SignedInfo;

/// An element that a verified signature covers.
#[derive(Debug)]
pub(super) struct Verified {
    element: Element,
    octets: String,
}

impl Verified {
    /// Returns the element, parsed from [`Verified::octets`].
    pub(super) fn element(&self) -> &Element {
        &self.element
    }

    /// Returns the signed bytes, without the signature itself.
    pub(super) fn octets(&self) -> &str {
        &self.octets
    }

    /// Creates a verified element from a ciphertext in `outer`. The signature of `outer` covers it.
    pub(super) fn decrypted_from(_outer: &Verified, element: Element) -> Self {
        let octets = canonicalize(&element, canonical::Options::default());
        Self { element, octets }
    }
}

/// Returns true if the element has an enveloped signature.
pub(super) fn is_signed(element: &Element) -> bool {
    element.children_named(DSIG, "Signature").next().is_some()
}

/// Verifies the enveloped signature of `signed` with one of `keys`. Keys in the message are ignored.
///
/// # Errors
/// Returns an error if the signature is missing, its form is not allowed in SAML, or no key verifies it.
pub(super) fn verify(
    signed: &Element,
    keys: &[Certificate],
    limits: Limits,
) -> Result<Verified, Error> {
    let signature = signed
        .child(DSIG, "Signature")?
        .ok_or_else(|| Error::signature(format!("{} is not signed", signed.local)))?;
    let parts = parts(signature)?;
    let info = verify_info(&parts, keys, limits)?;

    let id = signed.required_attribute("ID")?;
    if id.is_empty() || info.uri.strip_prefix('#') != Some(id) {
        return Err(Error::signature(format!(
            "the signature in {} covers {}, not the element that contains it ({})",
            signed.local,
            quoted(&info.uri),
            quoted(id)
        )));
    }
    // References by id exclude comments (XML-DSig §4.4.3.3), even with a canonicalization that keeps them.
    let octets = canonicalize(
        signed,
        canonical::Options {
            comments: false,
            inclusive: &info.inclusive,
            without: Some(signature),
        },
    );
    let digest = info.digest.of(octets.as_bytes());
    if !bool::from(digest.ct_eq(&info.digest_value)) {
        return Err(Error::signature(format!(
            "{} was changed after it was signed: its digest is not the signed one",
            signed.local
        )));
    }
    let element = xml::parse(&octets, limits)?;
    Ok(Verified { element, octets })
}

struct Parts<'a> {
    info: &'a Element,
    value: Vec<u8>,
    key_info: Option<&'a Element>,
}

fn parts(signature: &Element) -> Result<Parts<'_>, Error> {
    let mut children = signature.children();
    let (info, value, key_info) = (children.next(), children.next(), children.next());
    let named =
        |element: Option<&Element>, local| element.is_some_and(|element| element.is(DSIG, local));
    if !named(info, "SignedInfo")
        || !named(value, "SignatureValue")
        || !(key_info.is_none() || named(key_info, "KeyInfo"))
        || children.next().is_some()
    {
        return Err(Error::signature(
            "a signature must contain only SignedInfo, SignatureValue and KeyInfo, in this order",
        ));
    }
    match (info, value) {
        (Some(info), Some(value)) => Ok(Parts {
            info,
            value: base64::decode("SignatureValue", &value.text()?)?,
            key_info,
        }),
        _ => Err(Error::signature("a signature is not complete")),
    }
}

/// Verifies `SignedInfo` and parses it from the signed bytes.
fn verify_info(
    parts: &Parts<'_>,
    keys: &[Certificate],
    limits: Limits,
) -> Result<SignedInfo, Error> {
    let claimed = info::Methods::read(parts.info)?;
    let octets = canonicalize(
        parts.info,
        canonical::Options {
            comments: claimed.comments,
            inclusive: &claimed.inclusive,
            without: None,
        },
    );
    let genuine = keys
        .iter()
        .any(|key| key.verifies(claimed.signature, octets.as_bytes(), &parts.value));
    if !genuine {
        return Err(Error::signature(why_no_key(parts, keys)));
    }
    let element = xml::parse(&octets, limits)?;
    if info::Methods::read(&element)? != claimed {
        return Err(Error::signature(
            "the algorithms of the signature are not those that were signed",
        ));
    }
    SignedInfo::read(&element)
}

fn why_no_key(parts: &Parts<'_>, keys: &[Certificate]) -> String {
    let known: Vec<String> = keys.iter().map(Certificate::fingerprint).collect();
    let named = parts.key_info.and_then(|info| {
        let text = info
            .descendants()
            .find(|element| element.is(DSIG, "X509Certificate"))?
            .text()
            .ok()?;
        Some(Certificate::from_base64(&text).ok()?.fingerprint())
    });
    let says = match named {
        Some(named) if !known.contains(&named) => format!(
            "; the message names the certificate {named}, which the metadata does not have: refresh the metadata if \
             the identity provider has a new one"
        ),
        _ => String::new(),
    };
    format!(
        "the signature matches none of the {} signing certificates of the metadata ({}){says}",
        known.len(),
        known.join(", ")
    )
}

/// Rejects signatures outside of the `signed` elements, and duplicate ids.
pub(super) fn check_places(root: &Element, signed: &[&Element]) -> Result<(), Error> {
    let mut ids: Vec<&str> = Vec::new();
    let mut signatures = 0;
    for element in root.descendants() {
        signatures += usize::from(element.is(DSIG, "Signature"));
        for attribute in &element.attributes {
            // XML signatures and encryption use `Id`, SAML uses `ID`, and XML has `xml:id`.
            if attribute.local.eq_ignore_ascii_case("id") {
                ids.push(&attribute.value);
            }
        }
    }
    ids.sort_unstable();
    if let Some([id, _]) = ids.array_windows().find(|[a, b]| a == b) {
        return Err(Error::signature(format!(
            "the id {} is used more than once",
            quoted(id)
        )));
    }
    let expected: usize = signed
        .iter()
        .map(|element| element.children_named(DSIG, "Signature").count())
        .sum();
    if signatures != expected {
        return Err(Error::signature(
            "there is a signature in a wrong place: only the message and its assertion can have one",
        ));
    }
    Ok(())
}
