//! What a verified assertion says.

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

/// A person whom the identity provider has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// To be accepted once.
    pub assertion_id: String,
    /// Until when the same assertion could be accepted again.
    pub remember_until: UnixMillis,
    /// Whom the assertion is about, in the identity provider's own terms. Single logout names people by it.
    pub name_id: Option<NameId>,
    /// The session at the identity provider, where it has a name.
    pub session_index: Option<String>,
    /// When the person proved who they are. Never later than now.
    pub authenticated_at: UnixMillis,
    /// When the identity provider wants the session to end.
    pub session_ends_at: Option<UnixMillis>,
    /// How the person proved it: a URI.
    pub authn_context: Option<String>,
    /// In the order of the assertion; names can repeat.
    pub attributes: Vec<Attribute>,
    /// The assertion in canonical form without its signature.
    pub assertion: String,
}

/// Something said of the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, often a URI.
    pub name: String,
    /// The name that people read.
    pub friendly_name: Option<String>,
    /// Texts alone; what is structured is left out.
    pub values: Vec<String>,
}

/// A name of a person (SAML Core §8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameId {
    /// The name itself.
    pub value: String,
    /// What kind of name it is: a URI.
    pub format: Option<String>,
    /// Where the name is unique.
    pub name_qualifier: Option<String>,
    /// For which service provider the name was made.
    pub sp_name_qualifier: Option<String>,
}

impl Login {
    /// The one value of the attribute `name`.
    ///
    /// # Errors
    ///
    /// Where there is none, an empty one, or where several differ: a choice among them would be a guess of who someone
    /// is.
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
                "the attribute {} has several values; who it is has to be one",
                quoted(name)
            )));
        }
        Ok(first)
    }
}

/// Reads the assertion in `verified`, which is the assertion or the response that holds it.
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
            "the id of the assertion has no fit length",
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
            "the person authenticated at {authenticated_at}, it is {} here: compare the clocks",
            checks.now
        )));
    }
    let requested_at = checks.expected.requested_at;
    let is_since = authenticated_at.saturating_add(instant::AUTHENTICATION_SKEW) >= requested_at
        && authenticated_at <= checks.now.saturating_add(instant::AUTHENTICATION_SKEW);
    if checks.expected.force_authn && !is_since {
        return Err(Error::refused(format!(
            "a proof anew was asked for at {requested_at}, the person authenticated at {authenticated_at}, it is {} \
             here: compare the clocks",
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

/// `saml:NameID` in `parent`.
pub(in crate::saml) fn name_id(parent: &Element) -> Result<Option<NameId>, Error> {
    let Some(name) = parent.child(ASSERTION, "NameID")? else {
        return if parent.child(ASSERTION, "EncryptedID")?.is_some() {
            Err(Error::refused(
                "the name of the person is encrypted by itself, which is not read: encrypt the assertion",
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
                    // As `eduPersonTargetedID` is written.
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
