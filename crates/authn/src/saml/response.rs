//! Verification of login responses (Web Browser SSO Profile §4.1.4).

use domain::clock::UnixMillis;

use super::{
    binding::{Parameter, incoming},
    encryption::{self, Authenticity},
    error::{Error, ErrorKind, quoted},
    instant,
    names::{ASSERTION, ENTITY, PROTOCOL, SUCCESS},
    provider::Provider,
    service_provider::ServiceProvider,
    signature::{self, Verified},
    xml::Element,
};

mod claims;
mod conditions;
mod subject;

pub use claims::{Attribute, Login, NameId};

pub(super) use claims::name_id;

/// Request that a response must answer.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Request id, as returned by [`super::begin_login`].
    pub request_id: &'a str,
    /// Time of the request.
    pub requested_at: UnixMillis,
    /// True if the request had `ForceAuthn`. An older authentication is then rejected.
    pub force_authn: bool,
}

/// Verifies the form field `SAMLResponse` and returns the login. The identity provider signed all of its data, for this
/// service provider and in response to this request. It is valid at `now`.
///
/// The caller must accept each [`Login::assertion_id`] only once, until [`Login::remember_until`].
///
/// # Errors
/// Returns an error if a check fails. [`Error::reason`] has the details.
pub fn finish_login(
    service: &ServiceProvider,
    provider: &Provider,
    message: &str,
    expected: Expected<'_>,
    now: UnixMillis,
) -> Result<Login, Error> {
    provider.check_validity(now)?;
    let root = incoming::posted(Parameter::Response, message)?;
    if !root.is(PROTOCOL, "Response") {
        return Err(Error::malformed(format!(
            "the message is {}, not a Response",
            quoted(&root.local)
        )));
    }
    let checks = Checks {
        service,
        provider,
        expected,
        now,
    };
    // The status is checked before the signature too, because error responses are often unsigned.
    check_status(&root)?;
    let verified = verify(&root, &checks)?;
    claims::read(&verified, &checks)
}

/// Inputs of the checks.
struct Checks<'a> {
    service: &'a ServiceProvider,
    provider: &'a Provider,
    expected: Expected<'a>,
    now: UnixMillis,
}

/// Verifies the signature of the response, its assertion, or both. Returns the verified assertion, or the verified
/// response that contains it.
fn verify(root: &Element, checks: &Checks<'_>) -> Result<Verified, Error> {
    let keys = &checks.provider.signing;
    let plain = only_assertion(root)?;
    signature::check_places(root, &[root, plain])?;

    let response = if signature::is_signed(root) {
        Some(signature::verify(root, keys, incoming::LIMITS)?)
    } else {
        None
    };
    let envelope = response.as_ref().map_or(root, Verified::element);
    check_envelope(envelope, response.is_some(), checks)?;

    if !plain.is(ASSERTION, "EncryptedAssertion") {
        return match response {
            // If both are signed, both signatures must verify, and the claims are those of the assertion.
            _ if signature::is_signed(plain) => signature::verify(plain, keys, incoming::LIMITS),
            Some(response) => Ok(response),
            None => Err(Error::signature(
                "neither the response nor its assertion is signed",
            )),
        };
    }
    let (encrypted, authenticity) = match &response {
        Some(response) => (only_assertion(response.element())?, Authenticity::Signed),
        None => (plain, Authenticity::Unknown),
    };
    let decrypted = encryption::decrypt(
        encrypted,
        authenticity,
        &checks.service.decryption,
        incoming::LIMITS,
    )?;
    no_assertion_inside(&decrypted)?;
    signature::check_places(&decrypted, &[&decrypted])?;
    match response {
        _ if signature::is_signed(&decrypted) => {
            signature::verify(&decrypted, keys, incoming::LIMITS)
        }
        Some(response) => Ok(Verified::decrypted_from(&response, decrypted)),
        None => Err(Error::signature(
            "neither the response nor the assertion encrypted in it is signed",
        )),
    }
}

/// Returns the only assertion of a response, encrypted or not. Additional assertions are an error anywhere in it.
fn only_assertion(root: &Element) -> Result<&Element, Error> {
    let mut assertions = root.descendants().filter(|element| is_assertion(element));
    let assertion = assertions
        .next()
        .ok_or_else(|| Error::malformed("the response has no assertion"))?;
    if assertions.next().is_some() {
        return Err(Error::malformed("the response has more than one assertion"));
    }
    if !root.children().any(|child| std::ptr::eq(child, assertion)) {
        return Err(Error::malformed(
            "the assertion is not directly in the response",
        ));
    }
    Ok(assertion)
}

fn no_assertion_inside(assertion: &Element) -> Result<(), Error> {
    if assertion.descendants().skip(1).any(is_assertion) {
        return Err(Error::malformed("an assertion contains another one"));
    }
    Ok(())
}

fn is_assertion(element: &Element) -> bool {
    element.is(ASSERTION, "Assertion") || element.is(ASSERTION, "EncryptedAssertion")
}

fn check_envelope(response: &Element, signed: bool, checks: &Checks<'_>) -> Result<(), Error> {
    check_status(response)?;
    check_version(response)?;
    check_issued(response, checks.now)?;
    let acs = checks.service.assertion_consumer_url.as_str();
    match response.attribute("Destination") {
        Some(destination) if destination == acs => {}
        None if !signed => {}
        other => {
            return Err(Error::refused(format!(
                "the response has the destination {}; this is {acs}",
                quoted(other.unwrap_or_default())
            )));
        }
    }
    if response.attribute("InResponseTo") != Some(checks.expected.request_id) {
        return Err(Error::refused(format!(
            "the response is to the request {}, not to {}",
            quoted(response.attribute("InResponseTo").unwrap_or_default()),
            checks.expected.request_id
        )));
    }
    match response.child(ASSERTION, "Issuer")? {
        Some(issuer) => check_issuer(issuer, checks.provider),
        None => Ok(()),
    }
}

fn check_status(response: &Element) -> Result<(), Error> {
    let status = response.required_child(PROTOCOL, "Status")?;
    denied_unless_success(status)
}

/// Returns [`ErrorKind::Denied`] with the status details unless the status is success.
pub(super) fn denied_unless_success(status: &Element) -> Result<(), Error> {
    let top = status.required_child(PROTOCOL, "StatusCode")?;
    let value = top.required_attribute("Value")?;
    if value == SUCCESS {
        return Ok(());
    }
    let mut says = quoted(value);
    if let Some(second) = top.child(PROTOCOL, "StatusCode")? {
        says.push_str(", ");
        says.push_str(&quoted(second.required_attribute("Value")?));
    }
    if let Some(message) = status.child(PROTOCOL, "StatusMessage")? {
        says.push_str(": ");
        says.push_str(&quoted(&message.token()?));
    }
    Err(Error::new(
        ErrorKind::Denied,
        format!("the identity provider answered with the status {says}"),
    ))
}

pub(super) fn check_version(element: &Element) -> Result<(), Error> {
    let version = element.required_attribute("Version")?;
    if version == "2.0" {
        return Ok(());
    }
    Err(Error::malformed(format!(
        "{} has the version {}; only 2.0 is supported",
        element.local,
        quoted(version)
    )))
}

/// Returns the issue time, and an error if it is in the future.
pub(super) fn check_issued(element: &Element, now: UnixMillis) -> Result<UnixMillis, Error> {
    let issued = instant::parse("IssueInstant", element.required_attribute("IssueInstant")?)?;
    if instant::has_begun(issued, now) {
        return Ok(issued);
    }
    Err(Error::refused(format!(
        "{} was issued at {issued}; the time here is {now}: compare the clocks",
        element.local
    )))
}

pub(super) fn check_issuer(issuer: &Element, provider: &Provider) -> Result<(), Error> {
    let format = issuer.attribute("Format");
    let name = issuer.token()?;
    if name == provider.entity_id && format.is_none_or(|format| format == ENTITY) {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the issuer is {}, not {}",
        quoted(&name),
        quoted(&provider.entity_id)
    )))
}
