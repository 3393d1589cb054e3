//! An identity provider for tests. It writes valid responses and configurable invalid ones.

use std::time::Duration;

use domain::{
    clock::UnixMillis,
    rng::{Rng, SeededRng},
};

use super::{
    Certificate, DecryptionKey, Error, ServiceProvider, SigningKey,
    algorithm::Digest,
    base64,
    binding::incoming::LIMITS,
    generate, instant,
    signature::{Form, insert_signature, sign_as},
    xml,
};

mod draft;
mod encrypt;
#[cfg(feature = "testing")]
pub mod simplesamlphp;

pub use draft::{Draft, Signed};
pub use encrypt::{Content, Wrap};

/// Time at which drafts are created by default.
pub const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

/// An identity provider with an RSA key.
#[derive(Debug, Clone)]
pub struct IdentityProvider {
    /// Entity id.
    pub entity_id: String,
    /// Key that signs responses.
    pub key: SigningKey,
}

impl IdentityProvider {
    /// Creates an identity provider with a new key.
    ///
    /// # Errors
    /// Returns an error if the cryptographic library fails.
    pub fn new(entity_id: &str) -> Result<Self, Error> {
        Ok(Self {
            entity_id: entity_id.to_owned(),
            key: new_signing_key(&SeededRng::new(1))?,
        })
    }

    /// Returns the metadata, with all endpoints below `base`.
    pub fn metadata(&self, base: &str) -> String {
        metadata(&self.entity_id, base, &[self.key.certificate()])
    }
}

/// Returns metadata with these signing certificates.
pub fn metadata(entity_id: &str, base: &str, signing: &[&Certificate]) -> String {
    use std::fmt::Write as _;
    let mut keys = String::new();
    for certificate in signing {
        let _ = write!(
            keys,
            "<md:KeyDescriptor use=\"signing\"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{}\
             </ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>",
            certificate.base64()
        );
    }
    format!(
        "<md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" \
         xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" entityID=\"{entity_id}\"><md:IDPSSODescriptor \
         protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\">{keys}\
         <md:SingleLogoutService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" \
         Location=\"{base}/logout\" ResponseLocation=\"{base}/logged-out\"/>\
         <md:SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" Location=\"{base}/login\"/>\
         <md:SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" \
         Location=\"{base}/login\"/></md:IDPSSODescriptor></md:EntityDescriptor>"
    )
}

/// Generates an RSA signing key.
///
/// # Errors
/// Returns an error if the cryptographic library fails.
pub fn new_signing_key(rng: &dyn Rng) -> Result<SigningKey, Error> {
    let material = generate("test", rng, NOW, Duration::from_hours(24))?;
    SigningKey::new(&material.pkcs8, &material.certificate)
}

/// Creates a service provider at `https://<domain>` that uses one key for everything.
///
/// # Errors
/// Returns an error if the cryptographic library fails.
pub fn service_provider(domain: &str) -> Result<ServiceProvider, Error> {
    let material = generate(domain, &SeededRng::new(2), NOW, Duration::from_hours(24))?;
    Ok(ServiceProvider {
        entity_id: format!("https://{domain}"),
        assertion_consumer_url: format!("https://{domain}/callback"),
        single_logout_url: Some(format!("https://{domain}/saml/logout")),
        signing: SigningKey::new(&material.pkcs8, &material.certificate)?,
        decryption: vec![DecryptionKey::new(&material.pkcs8, &material.certificate)?],
        next_signing: Vec::new(),
    })
}

/// Signs the root element of `document`.
pub(super) fn enveloped(
    document: &str,
    key: &SigningKey,
    digest: Digest,
    inclusive: &str,
) -> Result<String, Error> {
    let form = Form { digest, inclusive };
    let signature = sign_as(&xml::parse(document, LIMITS)?, key, form)?;
    insert_signature(document, &signature)
}

/// Formats a time with milliseconds, as many identity providers do.
fn written(instant: UnixMillis) -> String {
    instant::write(instant).replace('Z', ".123Z")
}

/// Encodes a document as a form value.
pub fn posted(document: &str) -> String {
    base64::encode(document.as_bytes())
}

/// Returns the id of a request from the redirect binding, if it is valid.
pub fn request_id(deflated: &str) -> Option<String> {
    let octets = base64::decode("the request", deflated).ok()?;
    let document = String::from_utf8(super::binding::incoming::inflate(&octets).ok()?).ok()?;
    let root = xml::parse(&document, LIMITS).ok()?;
    root.attribute("ID").map(str::to_owned)
}
