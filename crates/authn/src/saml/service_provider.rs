//! The Cluster as a service provider: its entity id, URLs, keys and metadata document.

use super::{
    certificate::Certificate,
    keys::{DecryptionKey, SigningKey},
    names::{DSIG, METADATA, POST, PROTOCOL, REDIRECT},
    xml::escape_attribute,
};

/// A SAML service provider.
#[derive(Debug, Clone)]
pub struct ServiceProvider {
    /// Entity id, which is the audience of assertions.
    pub entity_id: String,
    /// URL that responses are posted to.
    pub assertion_consumer_url: String,
    /// URL for logout messages of both bindings. If `None`, single logout is disabled.
    pub single_logout_url: Option<String>,
    /// Key that signs outgoing messages.
    pub signing: SigningKey,
    /// Keys that can decrypt assertions. The metadata contain the first one.
    pub decryption: Vec<DecryptionKey>,
    /// Certificates of future signing keys. The metadata contain them before the keys are used.
    pub next_signing: Vec<Certificate>,
}

impl ServiceProvider {
    /// Returns the metadata document (`application/samlmetadata+xml`).
    pub fn metadata(&self) -> String {
        let mut keys = key("signing", self.signing.certificate(), "");
        for certificate in &self.next_signing {
            keys.push_str(&key("signing", certificate, ""));
        }
        for decryption in self.decryption.iter().take(1) {
            keys.push_str(&key("encryption", decryption.certificate(), ENCRYPTION));
        }
        let logout = self
            .single_logout_url
            .as_ref()
            .map_or_else(String::new, |url| {
                let url = attribute(url);
                format!(
                    "<md:SingleLogoutService Binding=\"{REDIRECT}\" Location=\"{url}\"/>\
                 <md:SingleLogoutService Binding=\"{POST}\" Location=\"{url}\"/>"
                )
            });
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <md:EntityDescriptor xmlns:md=\"{METADATA}\" entityID=\"{entity}\">\
             <md:SPSSODescriptor protocolSupportEnumeration=\"{PROTOCOL}\" AuthnRequestsSigned=\"true\" \
             WantAssertionsSigned=\"true\">{keys}{logout}\
             <md:AssertionConsumerService Binding=\"{POST}\" Location=\"{acs}\" index=\"0\" isDefault=\"true\"/>\
             </md:SPSSODescriptor></md:EntityDescriptor>\n",
            entity = attribute(&self.entity_id),
            acs = attribute(&self.assertion_consumer_url),
        )
    }
}

/// Encryption methods offered to identity providers, in order of preference.
const ENCRYPTION: &str = "<md:EncryptionMethod Algorithm=\"http://www.w3.org/2009/xmlenc11#aes256-gcm\"/>\
    <md:EncryptionMethod Algorithm=\"http://www.w3.org/2009/xmlenc11#aes128-gcm\"/>\
    <md:EncryptionMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p\"/>";

fn key(purpose: &str, certificate: &Certificate, methods: &str) -> String {
    format!(
        "<md:KeyDescriptor use=\"{purpose}\"><ds:KeyInfo xmlns:ds=\"{DSIG}\"><ds:X509Data><ds:X509Certificate>\
         {}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>{methods}</md:KeyDescriptor>",
        certificate.base64()
    )
}

pub(super) fn attribute(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    escape_attribute(value, &mut escaped);
    escaped
}
