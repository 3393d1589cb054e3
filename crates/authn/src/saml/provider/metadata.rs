//! Parser of metadata documents.

use std::time::Duration;

use domain::clock::UnixMillis;

use super::{Binding, Endpoint, Provider};
use crate::saml::{
    certificate::Certificate,
    error::{Error, ErrorKind, quoted},
    instant,
    names::{DSIG, METADATA, POST, PROTOCOL, REDIRECT},
    signature,
    xml::{self, Element, Limits},
};

/// Maximum size of a metadata document in bytes. Federations publish many entities in one document.
pub const MAX_METADATA_BYTES: usize = 4 * 1024 * 1024;

const LIMITS: Limits = Limits {
    bytes: MAX_METADATA_BYTES,
    elements: 200_000,
};

/// Maximum number of keys for one use.
const KEYS: usize = 16;

/// Selected entity and accepted signers of a metadata document.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetadataOptions<'a> {
    /// Entity id of the identity provider, required if the document describes several.
    pub entity_id: Option<&'a str>,
    /// Accepted signers of the root element. If empty, no signature is required.
    pub signers: &'a [Certificate],
}

impl Provider {
    /// Parses the identity provider from a metadata document.
    ///
    /// # Errors
    /// Returns an error of [`ErrorKind::Metadata`] if the document is malformed, not signed as required, expired,
    /// describes no or several matching providers, or lacks data that a login needs.
    pub fn from_metadata(
        document: &str,
        options: MetadataOptions<'_>,
        now: UnixMillis,
    ) -> Result<Self, Error> {
        read(document, options, now).map_err(Error::in_metadata)
    }
}

fn read(document: &str, options: MetadataOptions<'_>, now: UnixMillis) -> Result<Provider, Error> {
    let root = xml::parse(document, LIMITS)?;
    if options.signers.is_empty() {
        return choose(&root, options, now);
    }
    signature::check_places(&root, &[&root])?;
    let verified = signature::verify(&root, options.signers, LIMITS)?;
    choose(verified.element(), options, now)
}

/// An identity provider role, with the validity inherited from its ancestors.
struct Candidate<'a> {
    entity: &'a Element,
    role: &'a Element,
    valid_until: Option<UnixMillis>,
    cache_duration: Option<Duration>,
}

fn choose(
    root: &Element,
    options: MetadataOptions<'_>,
    now: UnixMillis,
) -> Result<Provider, Error> {
    let mut found = Vec::new();
    candidates(root, (None, None), &mut found)?;
    if let Some(wanted) = options.entity_id {
        found.retain(|candidate| candidate.entity.attribute("entityID") == Some(wanted));
    }
    let provider = match found.as_slice() {
        [one] => provider(one)?,
        [] => {
            return Err(refusal(match options.entity_id {
                Some(wanted) => format!(
                    "the document describes no SAML 2.0 identity provider named {}",
                    quoted(wanted)
                ),
                None => "the document describes no SAML 2.0 identity provider".to_owned(),
            }));
        }
        several => {
            let names: Vec<&str> = several
                .iter()
                .take(5)
                .filter_map(|candidate| candidate.entity.attribute("entityID"))
                .collect();
            return Err(refusal(format!(
                "the document describes {} identity providers ({}): use the metadata of one",
                several.len(),
                quoted(&names.join(", "))
            )));
        }
    };
    provider.check_validity(now)?;
    Ok(provider)
}

type Held = (Option<UnixMillis>, Option<Duration>);

fn candidates<'a>(
    element: &'a Element,
    outer: Held,
    found: &mut Vec<Candidate<'a>>,
) -> Result<(), Error> {
    let held = narrowed(element, outer)?;
    if element.is(METADATA, "EntitiesDescriptor") {
        for child in element.children() {
            if child.is(METADATA, "EntitiesDescriptor") || child.is(METADATA, "EntityDescriptor") {
                candidates(child, held, found)?;
            }
        }
        return Ok(());
    }
    if !element.is(METADATA, "EntityDescriptor") {
        return Err(refusal(format!(
            "{} is not SAML 2.0 metadata",
            quoted(&element.local)
        )));
    }
    for role in element.children_named(METADATA, "IDPSSODescriptor") {
        let speaks = role
            .attribute("protocolSupportEnumeration")
            .is_some_and(|protocols| protocols.split_ascii_whitespace().any(|p| p == PROTOCOL));
        if speaks {
            let (valid_until, cache_duration) = narrowed(role, held)?;
            found.push(Candidate {
                entity: element,
                role,
                valid_until,
                cache_duration,
            });
        }
    }
    Ok(())
}

/// Returns the shortest validity and cache duration of `element` and its ancestors.
fn narrowed(element: &Element, (until, duration): Held) -> Result<Held, Error> {
    let own_until = element
        .attribute("validUntil")
        .map(|text| instant::parse("validUntil", text))
        .transpose()?;
    let own_duration = element
        .attribute("cacheDuration")
        .map(|text| instant::parse_duration("cacheDuration", text))
        .transpose()?;
    Ok((
        until.into_iter().chain(own_until).min(),
        duration.into_iter().chain(own_duration).min(),
    ))
}

fn provider(candidate: &Candidate<'_>) -> Result<Provider, Error> {
    let entity_id = candidate.entity.required_attribute("entityID")?;
    if entity_id.is_empty() || entity_id.len() > 1024 {
        return Err(refusal("entityID has to have 1 to 1024 characters"));
    }
    let role = candidate.role;
    let provider = Provider {
        entity_id: entity_id.to_owned(),
        signing: certificates(role, "signing")?,
        encryption: certificates(role, "encryption")?,
        single_sign_on: endpoints(role, "SingleSignOnService")?,
        single_logout: endpoints(role, "SingleLogoutService")?,
        wants_signed_requests: matches!(
            role.attribute("WantAuthnRequestsSigned"),
            Some("true" | "1")
        ),
        valid_until: candidate.valid_until,
        cache_duration: candidate.cache_duration,
    };
    if provider.signing.is_empty() {
        return Err(refusal(
            "the identity provider has no signing certificate, so its messages cannot be verified",
        ));
    }
    if provider.single_sign_on.is_empty() {
        return Err(refusal(
            "the identity provider has no SingleSignOnService by HTTP-Redirect or HTTP-POST",
        ));
    }
    Ok(provider)
}

/// Returns the first certificate of each key. Others belong to its chain (XML-DSig §4.5.4).
fn certificates(role: &Element, purpose: &str) -> Result<Vec<Certificate>, Error> {
    let mut certificates: Vec<Certificate> = Vec::new();
    for key in role.children_named(METADATA, "KeyDescriptor") {
        if key
            .attribute("use")
            .is_some_and(|purposes| purposes != purpose)
        {
            continue;
        }
        let info = key.required_child(DSIG, "KeyInfo")?;
        for data in info.children_named(DSIG, "X509Data") {
            let Some(first) = data.children_named(DSIG, "X509Certificate").next() else {
                continue;
            };
            let certificate = Certificate::from_base64(&first.text()?)?;
            if !certificates.contains(&certificate) {
                certificates.push(certificate);
            }
        }
    }
    if certificates.len() > KEYS {
        return Err(refusal(format!("more than {KEYS} keys for {purpose}")));
    }
    Ok(certificates)
}

fn endpoints(role: &Element, local: &str) -> Result<Vec<Endpoint>, Error> {
    let mut endpoints = Vec::new();
    for service in role.children_named(METADATA, local) {
        let binding = match service.attribute("Binding") {
            Some(REDIRECT) => Binding::Redirect,
            Some(POST) => Binding::Post,
            _ => continue,
        };
        let location = service.required_attribute("Location")?;
        let response_location = service.attribute("ResponseLocation");
        for url in [Some(location), response_location].into_iter().flatten() {
            check_location(url)?;
        }
        endpoints.push(Endpoint {
            binding,
            location: location.to_owned(),
            response_location: response_location.map(str::to_owned),
        });
    }
    Ok(endpoints)
}

/// Checks a URL that browsers are redirected to: `https`, or `http` on the local host. This excludes scripts.
fn check_location(url: &str) -> Result<(), Error> {
    let secure = url.strip_prefix("https://");
    let local = url
        .strip_prefix("http://")
        .filter(|rest| matches!(host(rest), "localhost" | "127.0.0.1" | "[::1]"));
    let plain = !url.contains('#')
        && url.len() <= 2048
        && url
            .bytes()
            .all(|b| (0x21..0x7f).contains(&b) && !b"\"'<>\\^`{|}".contains(&b));
    match secure.or(local) {
        Some(rest) if plain && !host(rest).is_empty() => Ok(()),
        _ => Err(refusal(format!(
            "the location {} is not an https URL",
            quoted(url)
        ))),
    }
}

/// Returns the host of a URL without its scheme. Returns an empty string if it has user information or no host.
fn host(rest: &str) -> &str {
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return "";
    }
    match authority.strip_prefix('[') {
        Some(inner) => inner
            .find(']')
            .and_then(|end| authority.get(..end + 2))
            .unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

fn refusal(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::Metadata, reason)
}
