//! `SignedInfo` of a signature.

use crate::saml::{
    algorithm::{Digest, SignatureAlgorithm},
    base64,
    error::{Error, quoted},
    names::{DSIG, ENVELOPED, EXCLUSIVE, EXCLUSIVE_WITH_COMMENTS},
    xml::{Element, is_white_space},
};

/// Maximum number of prefixes in a list.
const PREFIXES: usize = 32;

/// Algorithms needed to verify the bytes of a `SignedInfo`.
#[derive(PartialEq, Eq)]
pub(super) struct Methods {
    pub(super) signature: SignatureAlgorithm,
    pub(super) comments: bool,
    pub(super) inclusive: Vec<String>,
}

/// Contents of a verified `SignedInfo`.
pub(super) struct SignedInfo {
    pub(super) uri: String,
    pub(super) inclusive: Vec<String>,
    pub(super) digest: Digest,
    pub(super) digest_value: Vec<u8>,
}

impl Methods {
    pub(super) fn read(info: &Element) -> Result<Self, Error> {
        let mut children = info.children();
        let (canonicalization, signature) = (children.next(), children.next());
        let canonicalization = expect(canonicalization, "CanonicalizationMethod")?;
        let signature = expect(signature, "SignatureMethod")?;
        let (comments, inclusive) = exclusive(canonicalization)?;
        empty(signature)?;
        Ok(Self {
            signature: SignatureAlgorithm::from_uri(signature.required_attribute("Algorithm")?)?,
            comments,
            inclusive,
        })
    }
}

impl SignedInfo {
    pub(super) fn read(info: &Element) -> Result<Self, Error> {
        let mut children = info.children().skip(2);
        let reference = expect(children.next(), "Reference")?;
        if children.next().is_some() {
            return Err(Error::signature("a signature has more than one Reference"));
        }
        let uri = reference
            .attribute("URI")
            .ok_or_else(|| Error::signature("the Reference of a signature has no URI"))?
            .to_owned();

        let mut parts = reference.children();
        let transforms = expect(parts.next(), "Transforms")?;
        let method = expect(parts.next(), "DigestMethod")?;
        let value = expect(parts.next(), "DigestValue")?;
        if parts.next().is_some() {
            return Err(Error::signature(
                "a Reference must contain only Transforms, DigestMethod and DigestValue",
            ));
        }
        empty(method)?;
        Ok(Self {
            uri,
            inclusive: transformed(transforms)?,
            digest: Digest::from_uri(method.required_attribute("Algorithm")?)?,
            digest_value: base64::decode("DigestValue", &value.text()?)?,
        })
    }
}

/// Checks that the transforms are the two that SAML allows. Returns the prefix list.
fn transformed(transforms: &Element) -> Result<Vec<String>, Error> {
    let mut children = transforms.children();
    let enveloped = expect(children.next(), "Transform")?;
    if enveloped.required_attribute("Algorithm")? != ENVELOPED
        || enveloped.children().next().is_some()
    {
        return Err(Error::signature(format!(
            "the first transform is {}; it must be {ENVELOPED}",
            quoted(enveloped.required_attribute("Algorithm")?)
        )));
    }
    let Some(canonicalization) = children.next() else {
        return Err(Error::signature(format!(
            "the signature has no second transform; it must be {EXCLUSIVE}"
        )));
    };
    let (_, inclusive) = exclusive(expect(Some(canonicalization), "Transform")?)?;
    if children.next().is_some() {
        return Err(Error::signature("a signature has more than two transforms"));
    }
    Ok(inclusive)
}

/// Reads an exclusive canonicalization method. Returns true if it keeps comments, and the inclusive prefixes.
fn exclusive(method: &Element) -> Result<(bool, Vec<String>), Error> {
    let comments = match method.required_attribute("Algorithm")? {
        EXCLUSIVE => false,
        EXCLUSIVE_WITH_COMMENTS => true,
        other => {
            return Err(Error::signature(format!(
                "the canonicalization {}: only {EXCLUSIVE} is accepted, with or without comments",
                quoted(other)
            )));
        }
    };
    let mut children = method.children();
    let inclusive = match children.next() {
        None => Vec::new(),
        Some(list) if list.is(EXCLUSIVE, "InclusiveNamespaces") => prefixes(list)?,
        Some(other) => {
            return Err(Error::signature(format!(
                "a canonicalization has the parameter {}",
                quoted(&other.local)
            )));
        }
    };
    if children.next().is_some() {
        return Err(Error::signature(
            "a canonicalization has more than one parameter",
        ));
    }
    Ok((comments, inclusive))
}

fn prefixes(list: &Element) -> Result<Vec<String>, Error> {
    let prefixes: Vec<String> = list
        .required_attribute("PrefixList")?
        .split(is_white_space)
        .filter(|prefix| !prefix.is_empty())
        .map(|prefix| if prefix == "#default" { "" } else { prefix }.to_owned())
        .collect();
    if prefixes.len() > PREFIXES {
        return Err(Error::signature(format!(
            "a list of prefixes has more than {PREFIXES}"
        )));
    }
    Ok(prefixes)
}

fn expect<'a>(element: Option<&'a Element>, local: &str) -> Result<&'a Element, Error> {
    element
        .filter(|element| element.is(DSIG, local))
        .ok_or_else(|| Error::signature(format!("{local} is in the wrong place of a signature")))
}

fn empty(method: &Element) -> Result<(), Error> {
    if method.children().next().is_some() {
        return Err(Error::signature(format!("{} has parameters", method.local)));
    }
    Ok(())
}
