//! Login requests (SAML Core §3.4, Web Browser SSO Profile §4.1).

use domain::{clock::UnixMillis, rng::Rng};

use super::{
    binding::{self, Outgoing, Parameter},
    error::{Error, ErrorKind},
    instant,
    names::{ASSERTION, POST, PROTOCOL},
    provider::{self, Provider},
    service_provider::{ServiceProvider, attribute},
    xml::escape_text,
};

/// A login request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRequest {
    /// Request id to store for [`super::Expected`].
    pub id: String,
    /// Message for the browser to deliver.
    pub message: Outgoing,
}

/// Creates a login request to `provider`. If `force_authn` is true, the provider must authenticate the person again.
///
/// # Errors
/// Returns an error if the metadata have expired, `relay_state` is too long, or signing fails.
pub fn begin_login(
    service: &ServiceProvider,
    provider: &Provider,
    relay_state: Option<&str>,
    force_authn: bool,
    rng: &dyn Rng,
    now: UnixMillis,
) -> Result<LoginRequest, Error> {
    provider.check_validity(now)?;
    let endpoint = provider::preferred(&provider.single_sign_on)
        .ok_or_else(|| Error::new(ErrorKind::Metadata, "no SingleSignOnService"))?;
    let id = new_id(rng);
    let force = if force_authn {
        " ForceAuthn=\"true\""
    } else {
        ""
    };
    let document = format!(
        "<samlp:AuthnRequest xmlns:samlp=\"{PROTOCOL}\" xmlns:saml=\"{ASSERTION}\" ID=\"{id}\" Version=\"2.0\" \
         IssueInstant=\"{issued}\" Destination=\"{destination}\"{force} ProtocolBinding=\"{POST}\" \
         AssertionConsumerServiceURL=\"{acs}\"><saml:Issuer>{issuer}</saml:Issuer>\
         <samlp:NameIDPolicy AllowCreate=\"true\"/></samlp:AuthnRequest>",
        issued = instant::write(now),
        destination = attribute(&endpoint.location),
        acs = attribute(&service.assertion_consumer_url),
        issuer = text(&service.entity_id),
    );
    let message = binding::send(
        &document,
        Parameter::Request,
        &endpoint.location,
        endpoint,
        relay_state,
        &service.signing,
    )?;
    Ok(LoginRequest { id, message })
}

/// Generates an id of 160 random bits that is a valid XML name (SAML Core §1.3.4).
pub(super) fn new_id(rng: &dyn Rng) -> String {
    let digits = domain::rng::random_string(rng, b"0123456789abcdef", 40);
    format!("_{digits}")
}

pub(super) fn text(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    escape_text(value, &mut escaped);
    escaped
}
