//! `Conditions`: audience and validity of an assertion (SAML Core §2.5).

use domain::clock::UnixMillis;

use super::Checks;
use crate::saml::{
    error::{Error, quoted},
    instant,
    names::ASSERTION,
    xml::Element,
};

/// Checks that all conditions are supported and met. Returns the end of their validity, if any.
pub(super) fn check(
    conditions: &Element,
    checks: &Checks<'_>,
) -> Result<Option<UnixMillis>, Error> {
    let limit = |name| {
        conditions
            .attribute(name)
            .map(|text| instant::parse(name, text))
            .transpose()
    };
    if let Some(begin) = limit("NotBefore")?
        && !instant::has_begun(begin, checks.now)
    {
        return Err(Error::refused(format!(
            "the assertion is valid from {begin}; the time here is {}",
            checks.now
        )));
    }
    let end = limit("NotOnOrAfter")?;
    if let Some(end) = end
        && instant::has_ended(end, checks.now)
    {
        return Err(Error::refused(format!(
            "the assertion expired at {end}; the time here is {}",
            checks.now
        )));
    }
    let mut restricted = false;
    for condition in conditions.children() {
        if condition.is(ASSERTION, "AudienceRestriction") {
            check_audience(condition, &checks.service.entity_id)?;
            restricted = true;
        } else if !condition.is(ASSERTION, "OneTimeUse")
            && !condition.is(ASSERTION, "ProxyRestriction")
        {
            return Err(Error::refused(format!(
                "the assertion has the condition {}, which is not known",
                quoted(&condition.local)
            )));
        }
    }
    if !restricted {
        return Err(Error::refused("the assertion names no audience"));
    }
    Ok(end)
}

fn check_audience(restriction: &Element, entity_id: &str) -> Result<(), Error> {
    let mut named = Vec::new();
    for audience in restriction.children_named(ASSERTION, "Audience") {
        let audience = audience.token()?;
        if audience == entity_id {
            return Ok(());
        }
        named.push(audience);
    }
    Err(Error::refused(format!(
        "the assertion is for the audience {}; this is {}",
        quoted(&named.join(", ")),
        quoted(entity_id)
    )))
}
