//! A configurable response.

use std::time::Duration;

use domain::clock::UnixMillis;

use super::{Content, IdentityProvider, NOW, Wrap, encrypt, enveloped, written};
use crate::saml::{Certificate, Error, algorithm::Digest};

/// Signed parts of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// Only the response.
    Response,
    /// Only the assertion.
    Assertion,
    /// The response and the assertion.
    Both,
    /// No part.
    Nothing,
}

/// Contents of a response. The fields are inserted into the XML without escaping.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Signed parts.
    pub signed: Signed,
    /// Response id.
    pub response_id: String,
    /// Assertion id.
    pub assertion_id: String,
    /// Id of the answered request.
    pub request_id: String,
    /// Attributes of the response in addition to id, version and time.
    pub response_attributes: String,
    /// `IssueInstant` of the assertion.
    pub issued: String,
    /// Issuer of the response and the assertion.
    pub issuer: String,
    /// Status code.
    pub status: String,
    /// Content of `NameID`.
    pub name_id: String,
    /// `Recipient`.
    pub recipient: String,
    /// `Conditions` element.
    pub conditions: String,
    /// Attributes of `SubjectConfirmationData` in addition to `Recipient`.
    pub confirmation: String,
    /// Attributes of `AuthnStatement`.
    pub authentication: String,
    /// `AttributeStatement` element.
    pub attributes: String,
    /// Additional content of the assertion.
    pub more: String,
    /// `PrefixList` of the assertion's signature.
    pub inclusive: String,
    /// Encryption of the assertion: recipient, content encryption and key wrapping.
    pub encrypted: Option<(Certificate, Content, Wrap)>,
}

impl Draft {
    /// Creates a valid response at [`NOW`] for the service provider at `https://<domain>`.
    pub fn new(provider: &IdentityProvider, domain: &str, request_id: &str) -> Self {
        Self::at(NOW, provider, domain, request_id)
    }

    /// Creates a valid response at `now`.
    pub fn at(
        now: UnixMillis,
        provider: &IdentityProvider,
        domain: &str,
        request_id: &str,
    ) -> Self {
        let end = written(now.saturating_add(Duration::from_mins(5)));
        let begin = written(now.saturating_sub(Duration::from_secs(30)));
        let acs = format!("https://{domain}/callback");
        Self {
            signed: Signed::Assertion,
            response_id: "_r1".to_owned(),
            assertion_id: "_a1".to_owned(),
            request_id: request_id.to_owned(),
            response_attributes: format!(
                "Version=\"2.0\" IssueInstant=\"{begin}\" Destination=\"{acs}\" InResponseTo=\"{request_id}\""
            ),
            issued: begin.clone(),
            issuer: provider.entity_id.clone(),
            status: "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/>".to_owned(),
            name_id: "john@example.com".to_owned(),
            recipient: acs,
            conditions: format!(
                "<saml:Conditions NotBefore=\"{begin}\" NotOnOrAfter=\"{end}\"><saml:AudienceRestriction>\
                 <saml:Audience>https://{domain}</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
            ),
            confirmation: format!("NotOnOrAfter=\"{end}\" InResponseTo=\"{request_id}\""),
            authentication: format!("AuthnInstant=\"{begin}\" SessionIndex=\"_s1\""),
            attributes: "<saml:Attribute Name=\"email\"><saml:AttributeValue xsi:type=\"xs:string\">john@example.com\
                         </saml:AttributeValue></saml:Attribute><saml:Attribute Name=\"groups\"><saml:AttributeValue \
                         xsi:type=\"xs:string\">ops</saml:AttributeValue><saml:AttributeValue xsi:type=\"xs:string\">\
                         dev &amp; test</saml:AttributeValue></saml:Attribute>"
                .to_owned(),
            more: String::new(),
            inclusive: "xs".to_owned(),
            encrypted: None,
        }
    }

    /// Returns the assertion, signed if requested, before encryption.
    ///
    /// # Errors
    /// Returns an error if the draft is not well-formed.
    pub fn assertion(&self, provider: &IdentityProvider) -> Result<String, Error> {
        let document = format!(
            "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" \
             xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             ID=\"{id}\" Version=\"2.0\" IssueInstant=\"{issued}\"><saml:Issuer>{issuer}</saml:Issuer><saml:Subject>\
             <saml:NameID Format=\"urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress\">{name_id}</saml:NameID>\
             <saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"><saml:SubjectConfirmationData \
             Recipient=\"{recipient}\" {confirmation}/></saml:SubjectConfirmation></saml:Subject>{conditions}\
             <saml:AuthnStatement {authentication}><saml:AuthnContext><saml:AuthnContextClassRef>\
             urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef>\
             </saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement>{attributes}\
             </saml:AttributeStatement>{more}</saml:Assertion>",
            id = self.assertion_id,
            issued = self.issued,
            issuer = self.issuer,
            name_id = self.name_id,
            recipient = self.recipient,
            confirmation = self.confirmation,
            conditions = self.conditions,
            authentication = self.authentication,
            attributes = self.attributes,
            more = self.more,
        );
        if matches!(self.signed, Signed::Assertion | Signed::Both) {
            enveloped(&document, &provider.key, Digest::Sha256, &self.inclusive)
        } else {
            Ok(document)
        }
    }

    /// Returns the response as XML.
    ///
    /// # Errors
    /// Returns an error if the draft is not well-formed.
    pub fn write(&self, provider: &IdentityProvider) -> Result<String, Error> {
        let assertion = self.assertion(provider)?;
        let assertion = match &self.encrypted {
            Some((certificate, content, wrap)) => {
                encrypt::assertion(&assertion, certificate, *content, *wrap)?
            }
            None => assertion,
        };
        let document = format!(
            "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" \
             xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"{id}\" {attributes}>\
             <saml:Issuer>{issuer}</saml:Issuer><samlp:Status>{status}</samlp:Status>{assertion}</samlp:Response>",
            id = self.response_id,
            attributes = self.response_attributes,
            issuer = self.issuer,
            status = self.status,
        );
        if matches!(self.signed, Signed::Response | Signed::Both) {
            enveloped(&document, &provider.key, Digest::Sha256, "")
        } else {
            Ok(document)
        }
    }
}
