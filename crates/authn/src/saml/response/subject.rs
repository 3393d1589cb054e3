//! `SubjectConfirmation`: permission of the bearer to use the assertion (Web Browser SSO Profile §4.1.4.2).

use domain::clock::UnixMillis;

use super::Checks;
use crate::saml::{
    error::{Error, quoted},
    instant,
    names::{ASSERTION, BEARER},
    xml::Element,
};

/// Maximum number of confirmations that are read.
const CONFIRMATIONS: usize = 8;

/// Returns the latest end of the valid bearer confirmations, or an error if none is valid.
pub(super) fn confirm(subject: &Element, checks: &Checks<'_>) -> Result<UnixMillis, Error> {
    let mut refused: Option<Error> = None;
    let mut until: Option<UnixMillis> = None;
    let bearer = subject
        .children_named(ASSERTION, "SubjectConfirmation")
        .filter(|confirmation| confirmation.attribute("Method") == Some(BEARER));
    for confirmation in bearer.take(CONFIRMATIONS) {
        match hold(confirmation, checks) {
            Ok(end) => until = until.max(Some(end)),
            Err(error) => refused = Some(error),
        }
    }
    until.ok_or_else(|| {
        refused.unwrap_or_else(|| Error::refused("the assertion has no bearer confirmation"))
    })
}

fn hold(confirmation: &Element, checks: &Checks<'_>) -> Result<UnixMillis, Error> {
    let data = confirmation.required_child(ASSERTION, "SubjectConfirmationData")?;
    let acs = checks.service.assertion_consumer_url.as_str();
    let recipient = data.required_attribute("Recipient")?;
    if recipient != acs {
        return Err(Error::refused(format!(
            "the assertion is for the recipient {}; this is {acs}",
            quoted(recipient)
        )));
    }
    let answers = data.attribute("InResponseTo");
    if answers != Some(checks.expected.request_id) {
        return Err(Error::refused(format!(
            "the assertion is in response to {}, not to {}",
            quoted(answers.unwrap_or_default()),
            checks.expected.request_id
        )));
    }
    if data.attribute("NotBefore").is_some() {
        return Err(Error::refused(
            "a bearer confirmation has NotBefore, which is not allowed",
        ));
    }
    let end = instant::parse("NotOnOrAfter", data.required_attribute("NotOnOrAfter")?)?;
    if instant::has_ended(end, checks.now) {
        return Err(Error::refused(format!(
            "the delivery of the assertion expired at {end}; the time here is {}",
            checks.now
        )));
    }
    Ok(end)
}
