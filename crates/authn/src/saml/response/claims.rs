//! Claims of a verified assertion.

use domain::clock::UnixMillis;

use super::{
    Checks, check_issued, check_issuer, check_version, conditions, only_assertion, subject,
};
use crate::saml::{
    canonical::{self, canonicalize},
    error::{Error, quoted},
    instant,
    names::ASSERTION,
    signature::Verified,
    xml::Element,
};

/// A verified login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Assertion id. The caller must accept each id only once.
    pub assertion_id: String,
    /// Time until which the id must be stored to detect replays.
    pub remember_until: UnixMillis,
    /// Name of the person at the identity provider. Single logout uses it.
    pub name_id: Option<NameId>,
    /// Session at the identity provider, if it has an index.
    pub session_index: Option<String>,
    /// Time of the authentication, never later than now.
    pub authenticated_at: UnixMillis,
    /// Time at which the identity provider wants the session to end.
    pub session_ends_at: Option<UnixMillis>,
    /// Authentication method, as a URI.
    pub authn_context: Option<String>,
    /// Attributes in the order of the assertion. Names can repeat.
    pub attributes: Vec<Attribute>,
    /// Canonical form of the assertion, without its signature.
    pub assertion: String,
}

/// An attribute of the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Attribute name, often a URI.
    pub name: String,
    /// Human-readable name.
    pub friendly_name: Option<String>,
    /// Text values. Structured values are omitted.
    pub values: Vec<String>,
}

/// Name of a person (SAML Core §8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameId {
    /// Name.
    pub value: String,
    /// Format of the name, as a URI.
    pub format: Option<String>,
    /// Domain in which the name is unique.
    pub name_qualifier: Option<String>,
    /// Service provider that the name was created for.
    pub sp_name_qualifier: Option<String>,
}

impl Login {
    /// Returns the only value of the attribute `name`.
    ///
    /// # Errors
    /// Returns an error if the value is missing or empty, or if several values differ. A choice among them could
    /// identify the wrong person.
    pub fn attribute(&self, name: &str) -> Result<&str, Error> {
        let mut values = self
            .attributes
            .iter()
            .filter(|attribute| attribute.name == name)
            .flat_map(|attribute| &attribute.values);
        let first = values.next().filter(|value| !value.is_empty());
        let Some(first) = first else {
            let names: Vec<&str> = self
                .attributes
                .iter()
                .take(20)
                .map(|attribute| attribute.name.as_str())
                .collect();
            return Err(Error::refused(format!(
                "the assertion has no attribute {}; it has [{}]",
                quoted(name),
                names.join(", ").escape_debug()
            )));
        };
        if values.any(|value| value != first) {
            return Err(Error::refused(format!(
                "the attribute {} has several values; the identifier must have one value",
                quoted(name)
            )));
        }
        Ok(first)
    }
}

/// Reads the assertion of `verified`, which is an assertion or a response.
pub(super) fn read(verified: &Verified, checks: &Checks<'_>) -> Result<Login, Error> {
    let root = verified.element();
    if root.is(ASSERTION, "Assertion") {
        super::no_assertion_inside(root)?;
        return read_assertion(root, verified.octets().to_owned(), checks);
    }
    let assertion = only_assertion(root)?;
    let octets = canonicalize(assertion, canonical::Options::default());
    read_assertion(assertion, octets, checks)
}

fn read_assertion(
    assertion: &Element,
    octets: String,
    checks: &Checks<'_>,
) -> Result<Login, Error> {
    check_version(assertion)?;
    check_issued(assertion, checks.now)?;
    check_issuer(
        assertion.required_child(ASSERTION, "Issuer")?,
        checks.provider,
    )?;
    let id = assertion.required_attribute("ID")?;
    if id.is_empty() || id.len() > 1024 {
        return Err(Error::malformed(
            "the id of the assertion is too short or too long",
        ));
    }
    let about = assertion.required_child(ASSERTION, "Subject")?;
    let confirmed_until = subject::confirm(about, checks)?;
    let valid_until =
        conditions::check(assertion.required_child(ASSERTION, "Conditions")?, checks)?;
    let statement = statement(assertion, checks)?;
    Ok(Login {
        assertion_id: id.to_owned(),
        remember_until: valid_until
            .map_or(confirmed_until, |until| until.min(confirmed_until))
            .saturating_add(instant::CLOCK_SKEW),
        name_id: name_id(about)?,
        session_index: statement.session_index,
        authenticated_at: statement.authenticated_at,
        session_ends_at: statement.session_ends_at,
        authn_context: statement.authn_context,
        attributes: attributes(assertion)?,
        assertion: octets,
    })
}

struct AuthnStatement {
    session_index: Option<String>,
    authenticated_at: UnixMillis,
    session_ends_at: Option<UnixMillis>,
    authn_context: Option<String>,
}

fn statement(assertion: &Element, checks: &Checks<'_>) -> Result<AuthnStatement, Error> {
    let statement = assertion.required_child(ASSERTION, "AuthnStatement")?;
    let authenticated_at = instant::parse(
        "AuthnInstant",
        statement.required_attribute("AuthnInstant")?,
    )?;
    if !instant::has_begun(authenticated_at, checks.now) {
        return Err(Error::refused(format!(
            "the person authenticated at {authenticated_at}; the time here is {}: compare the clocks",
            checks.now
        )));
    }
    let requested_at = checks.expected.requested_at;
    let is_since = authenticated_at.saturating_add(instant::AUTHENTICATION_SKEW) >= requested_at
        && authenticated_at <= checks.now.saturating_add(instant::AUTHENTICATION_SKEW);
    if checks.expected.force_authn && !is_since {
        return Err(Error::refused(format!(
            "a new authentication was requested at {requested_at}, but the person authenticated at {authenticated_at}; \
             the time here is {}: compare the clocks",
            checks.now
        )));
    }
    let authenticated_at = authenticated_at.min(checks.now);
    let session_ends_at = statement
        .attribute("SessionNotOnOrAfter")
        .map(|text| instant::parse("SessionNotOnOrAfter", text))
        .transpose()?;
    if let Some(end) = session_ends_at
        && instant::has_ended(end, checks.now)
    {
        return Err(Error::refused(format!(
            "the session at the identity provider ended at {end}"
        )));
    }
    let context = statement.child(ASSERTION, "AuthnContext")?;
    let class = match context {
        Some(context) => context.child(ASSERTION, "AuthnContextClassRef")?,
        None => None,
    };
    Ok(AuthnStatement {
        session_index: statement.attribute("SessionIndex").map(str::to_owned),
        authenticated_at,
        session_ends_at,
        authn_context: class.map(Element::token).transpose()?,
    })
}

/// Reads the `saml:NameID` of `parent`.
pub(in crate::saml) fn name_id(parent: &Element) -> Result<Option<NameId>, Error> {
    let Some(name) = parent.child(ASSERTION, "NameID")? else {
        return if parent.child(ASSERTION, "EncryptedID")?.is_some() {
            Err(Error::refused(
                "the name of the person is encrypted separately, which is not supported: encrypt the assertion",
            ))
        } else {
            Ok(None)
        };
    };
    let value = name.text()?;
    if value.is_empty() {
        return Err(Error::malformed("NameID is empty"));
    }
    let attribute = |local| name.attribute(local).map(str::to_owned);
    Ok(Some(NameId {
        value,
        format: attribute("Format"),
        name_qualifier: attribute("NameQualifier"),
        sp_name_qualifier: attribute("SPNameQualifier"),
    }))
}

fn attributes(assertion: &Element) -> Result<Vec<Attribute>, Error> {
    let mut attributes = Vec::new();
    for statement in assertion.children_named(ASSERTION, "AttributeStatement") {
        for attribute in statement.children_named(ASSERTION, "Attribute") {
            let mut values = Vec::new();
            for value in attribute.children_named(ASSERTION, "AttributeValue") {
                let mut inside = value.children();
                match (inside.next(), inside.next()) {
                    (None, _) => values.push(value.text()?),
                    // Format of `eduPersonTargetedID`.
                    (Some(name), None) if name.is(ASSERTION, "NameID") => {
                        values.push(name.text()?);
                    }
                    _ => {}
                }
            }
            attributes.push(Attribute {
                name: attribute.required_attribute("Name")?.to_owned(),
                friendly_name: attribute.attribute("FriendlyName").map(str::to_owned),
                values,
            });
        }
    }
    Ok(attributes)
}
