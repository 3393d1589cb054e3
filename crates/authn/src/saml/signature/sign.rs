//! Signing of outgoing messages.

use crate::saml::{
    algorithm::Digest,
    base64,
    canonical::{self, canonicalize},
    error::Error,
    keys::SigningKey,
    names::{DSIG, ENVELOPED, EXCLUSIVE},
    xml::{self, Element, Limits, escape_attribute},
};

/// Limits for our own documents, which are small.
const LIMITS: Limits = Limits {
    bytes: 256 * 1024,
    elements: 4096,
};

/// Form of a signature.
#[derive(Clone, Copy)]
pub(in crate::saml) struct Form<'a> {
    pub(in crate::saml) digest: Digest,
    /// `PrefixList` of the second transform.
    pub(in crate::saml) inclusive: &'a str,
}

/// Returns the enveloped `<ds:Signature>` of `element`.
pub(in crate::saml) fn sign_as(
    element: &Element,
    key: &SigningKey,
    form: Form<'_>,
) -> Result<String, Error> {
    let prefixes: Vec<String> = form
        .inclusive
        .split_whitespace()
        .map(|prefix| if prefix == "#default" { "" } else { prefix }.to_owned())
        .collect();
    let octets = canonicalize(
        element,
        canonical::Options {
            inclusive: &prefixes,
            ..canonical::Options::default()
        },
    );
    let mut id = String::new();
    escape_attribute(element.required_attribute("ID")?, &mut id);
    let list = if form.inclusive.is_empty() {
        String::new()
    } else {
        format!(
            "<ec:InclusiveNamespaces xmlns:ec=\"{EXCLUSIVE}\" PrefixList=\"{}\"></ec:InclusiveNamespaces>",
            form.inclusive
        )
    };
    let info = format!(
        "<ds:SignedInfo xmlns:ds=\"{DSIG}\"><ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\">\
         </ds:CanonicalizationMethod><ds:SignatureMethod Algorithm=\"{signature}\"></ds:SignatureMethod>\
         <ds:Reference URI=\"#{id}\"><ds:Transforms><ds:Transform Algorithm=\"{ENVELOPED}\"></ds:Transform>\
         <ds:Transform Algorithm=\"{EXCLUSIVE}\">{list}</ds:Transform></ds:Transforms>\
         <ds:DigestMethod Algorithm=\"{digest}\"></ds:DigestMethod><ds:DigestValue>{value}</ds:DigestValue>\
         </ds:Reference></ds:SignedInfo>",
        signature = key.algorithm().uri(),
        digest = form.digest.uri(),
        value = base64::encode(&form.digest.of(octets.as_bytes())),
    );
    let signed = canonicalize(&xml::parse(&info, LIMITS)?, canonical::Options::default());
    Ok(format!(
        "<ds:Signature xmlns:ds=\"{DSIG}\">{signed}<ds:SignatureValue>{value}</ds:SignatureValue><ds:KeyInfo>\
         <ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>\
         </ds:Signature>",
        value = base64::encode(&key.sign(signed.as_bytes())?),
        certificate = key.certificate().base64(),
    ))
}

/// Signs the root element of `document`. The signature follows `Issuer`, as the schema requires.
pub(in crate::saml) fn sign(document: &str, key: &SigningKey) -> Result<String, Error> {
    let form = Form {
        digest: key.algorithm().digest(),
        inclusive: "",
    };
    let signature = sign_as(&xml::parse(document, LIMITS)?, key, form)?;
    insert_signature(document, &signature)
}

/// Inserts a signature after the first `</saml:Issuer>`.
pub(in crate::saml) fn insert_signature(document: &str, signature: &str) -> Result<String, Error> {
    const ISSUER: &str = "</saml:Issuer>";
    let (before, behind) = document
        .split_once(ISSUER)
        .ok_or_else(|| Error::malformed("a message without Issuer"))?;
    Ok(format!("{before}{ISSUER}{signature}{behind}"))
}
