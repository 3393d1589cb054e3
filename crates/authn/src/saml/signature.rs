//! XML signatures (XML-DSig, as SAML Core §5.4 restricts them): one enveloped signature, one reference, to the element
//! that holds it, exclusive canonicalization.
//!
//! Nothing is looked up by its id, and nothing is read from the tree that was signed. The octets that the signature
//! covers are parsed anew, and what comes out, [`Verified`], is the only source of claims: an element that is not
//! covered has no way into it.

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

/// An element as its signature covers it.
#[derive(Debug)]
pub(super) struct Verified {
    element: Element,
    octets: String,
}

impl Verified {
    /// The element, read from [`Verified::octets`].
    pub(super) fn element(&self) -> &Element {
        &self.element
    }

    /// What was signed, without the signature itself.
    pub(super) fn octets(&self) -> &str {
        &self.octets
    }

    /// What came out of the ciphertext that `outer` holds: whoever signed that has signed this.
    pub(super) fn decrypted_from(_outer: &Verified, element: Element) -> Self {
        let octets = canonicalize(&element, canonical::Options::default());
        Self { element, octets }
    }
}

/// Whether the element holds a signature of itself.
pub(super) fn is_signed(element: &Element) -> bool {
    element.children_named(DSIG, "Signature").next().is_some()
}

/// Verifies the one signature that `signed` holds of itself, with one of `keys`. Keys in the message mean nothing.
///
/// # Errors
///
/// Where the signature is missing, of another form than SAML allows, or of none of the keys.
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
            "the signature in {} covers {}, not the element that holds it ({})",
            signed.local,
            quoted(&info.uri),
            quoted(id)
        )));
    }
    // A reference by id is to the element without comments (XML-DSig §4.4.3.3), whatever is done with it then.
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
            "a signature holds something else than SignedInfo, SignatureValue and KeyInfo, in this order",
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

/// What the key signed, read from the octets that it signed.
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
        "the signature is of none of the {} signing certificates of the metadata ({}){says}",
        known.len(),
        known.join(", ")
    )
}

/// Refuses signatures anywhere but directly in one of `signed`, and ids that two elements have.
pub(super) fn check_places(root: &Element, signed: &[&Element]) -> Result<(), Error> {
    let mut ids: Vec<&str> = Vec::new();
    let mut signatures = 0;
    for element in root.descendants() {
        signatures += usize::from(element.is(DSIG, "Signature"));
        for attribute in &element.attributes {
            // `Id` of signatures and ciphertexts, `ID` of SAML and `xml:id`.
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
            "there is a signature where none can be: only the message and its assertion hold one",
        ));
    }
    Ok(())
}
