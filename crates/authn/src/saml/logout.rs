//! Single logout (SAML Core §3.7, Single Logout Profile §4.4). Unsigned messages are rejected.

use std::time::Duration;

use domain::{clock::UnixMillis, rng::Rng};

use super::{
    binding::{
        self, Outgoing, Parameter,
        incoming::{self, Incoming},
    },
    error::{Error, ErrorKind, quoted},
    instant,
    names::{ASSERTION, PROTOCOL, RESPONDER, SUCCESS},
    provider::{self, Provider},
    request::{new_id, text},
    response::{NameId, check_issued, check_issuer, check_version, denied_unless_success, name_id},
    service_provider::{ServiceProvider, attribute},
    xml::Element,
};

/// Maximum age of a request. It exceeds the time that a browser needs, and limits the time that ids are stored.
const MAX_AGE: Duration = Duration::from_mins(10);
/// Maximum number of sessions in a request.
const SESSIONS: usize = 64;

/// A verified logout request of the identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutRequest {
    /// Request id. The caller must accept each id only once.
    pub id: String,
    /// Time until which the id must be stored to detect replays.
    pub remember_until: UnixMillis,
    /// Person whose Sessions end.
    pub name_id: NameId,
    /// Sessions that end. If empty, all Sessions of the person.
    pub session_indexes: Vec<String>,
}

/// A logout request to the identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentLogout {
    /// Request id to store for [`finish_logout`].
    pub id: String,
    /// Message for the browser to deliver.
    pub message: Outgoing,
}

/// Creates a request to end the session `session_index` of `name` at the identity provider. Returns `None` if the
/// provider does not support single logout.
///
/// # Errors
/// Returns an error if the metadata have expired, `relay_state` is too long, or signing fails.
pub fn begin_logout(
    service: &ServiceProvider,
    provider: &Provider,
    (name, session_index): (&NameId, Option<&str>),
    relay_state: Option<&str>,
    rng: &dyn Rng,
    now: UnixMillis,
) -> Result<Option<SentLogout>, Error> {
    provider.check_validity(now)?;
    let Some(endpoint) = provider::preferred(&provider.single_logout) else {
        return Ok(None);
    };
    let id = new_id(rng);
    let session = session_index.map_or_else(String::new, |index| {
        format!("<samlp:SessionIndex>{}</samlp:SessionIndex>", text(index))
    });
    let document = format!(
        "<samlp:LogoutRequest xmlns:samlp=\"{PROTOCOL}\" xmlns:saml=\"{ASSERTION}\" ID=\"{id}\" Version=\"2.0\" \
         IssueInstant=\"{issued}\" NotOnOrAfter=\"{end}\" Destination=\"{destination}\">\
         <saml:Issuer>{issuer}</saml:Issuer>{name}{session}</samlp:LogoutRequest>",
        issued = instant::write(now),
        end = instant::write(now.saturating_add(MAX_AGE)),
        destination = attribute(&endpoint.location),
        issuer = text(&service.entity_id),
        name = written(name),
    );
    let message = binding::send(
        &document,
        Parameter::Request,
        &endpoint.location,
        endpoint,
        relay_state,
        &service.signing,
    )?;
    Ok(Some(SentLogout { id, message }))
}

/// Verifies the response to [`begin_logout`].
///
/// # Errors
/// Returns an error if the identity provider did not sign the response, it does not answer `request_id`, or the logout
/// failed ([`ErrorKind::Denied`]).
pub fn finish_logout(
    service: &ServiceProvider,
    provider: &Provider,
    incoming: Incoming<'_>,
    request_id: &str,
    now: UnixMillis,
) -> Result<(), Error> {
    provider.check_validity(now)?;
    let response = incoming::open(incoming, Parameter::Response, provider)?;
    let response = response.element();
    check_message(response, "LogoutResponse", service, provider, now)?;
    if response.attribute("InResponseTo") != Some(request_id) {
        return Err(Error::refused(format!(
            "the response is to the logout {}, not to {request_id}",
            quoted(response.attribute("InResponseTo").unwrap_or_default())
        )));
    }
    denied_unless_success(response.required_child(PROTOCOL, "Status")?)
}

/// Returns the issuer of an unverified message. Use it only to select the metadata that verify the message.
///
/// # Errors
/// Returns an error of [`ErrorKind::Malformed`] if the message is malformed.
pub fn claimed_sender(incoming: Incoming<'_>) -> Result<String, Error> {
    incoming::unverified(incoming)?
        .required_child(ASSERTION, "Issuer")?
        .token()
}

/// Verifies a logout request of the identity provider.
///
/// # Errors
/// Returns an error if the identity provider did not sign the request, it is for another service provider, or it is too
/// old.
pub fn read_logout_request(
    service: &ServiceProvider,
    provider: &Provider,
    incoming: Incoming<'_>,
    now: UnixMillis,
) -> Result<LogoutRequest, Error> {
    provider.check_validity(now)?;
    let request = incoming::open(incoming, Parameter::Request, provider)?;
    let request = request.element();
    let issued = check_message(request, "LogoutRequest", service, provider, now)?;
    let end = request
        .attribute("NotOnOrAfter")
        .map(|text| instant::parse("NotOnOrAfter", text))
        .transpose()?;
    let oldest = issued.saturating_add(MAX_AGE);
    let end = end.map_or(oldest, |end| end.min(oldest));
    if instant::has_ended(end, now) {
        return Err(Error::refused(format!(
            "the logout request expired at {end}; the time here is {now}"
        )));
    }
    let session_indexes = request
        .children_named(PROTOCOL, "SessionIndex")
        .map(Element::text)
        .collect::<Result<Vec<_>, _>>()?;
    if session_indexes.len() > SESSIONS {
        return Err(Error::refused(format!(
            "a logout names {} sessions; at most {SESSIONS} are accepted",
            session_indexes.len()
        )));
    }
    Ok(LogoutRequest {
        id: request.required_attribute("ID")?.to_owned(),
        remember_until: end.saturating_add(instant::CLOCK_SKEW),
        name_id: name_id(request)?
            .ok_or_else(|| Error::malformed("a LogoutRequest without NameID"))?,
        session_indexes,
    })
}

/// Creates the response to `request`.
///
/// # Errors
/// Returns an error if the identity provider has no endpoint for responses, `relay_state` is too long, or signing
/// fails.
pub fn answer_logout(
    service: &ServiceProvider,
    provider: &Provider,
    request: &LogoutRequest,
    ended: Ended,
    relay_state: Option<&str>,
    rng: &dyn Rng,
    now: UnixMillis,
) -> Result<Outgoing, Error> {
    let endpoint = provider::preferred(&provider.single_logout).ok_or_else(|| {
        Error::new(
            ErrorKind::Metadata,
            "the identity provider has no SingleLogoutService to respond to",
        )
    })?;
    let location = endpoint
        .response_location
        .as_deref()
        .unwrap_or(&endpoint.location);
    let status = match ended {
        Ended::All => SUCCESS,
        Ended::NotAll => RESPONDER,
    };
    let document = format!(
        "<samlp:LogoutResponse xmlns:samlp=\"{PROTOCOL}\" xmlns:saml=\"{ASSERTION}\" ID=\"{id}\" Version=\"2.0\" \
         IssueInstant=\"{issued}\" Destination=\"{destination}\" InResponseTo=\"{request}\">\
         <saml:Issuer>{issuer}</saml:Issuer><samlp:Status><samlp:StatusCode Value=\"{status}\"/></samlp:Status>\
         </samlp:LogoutResponse>",
        id = new_id(rng),
        issued = instant::write(now),
        destination = attribute(location),
        request = attribute(&request.id),
        issuer = text(&service.entity_id),
    );
    binding::send(
        &document,
        Parameter::Response,
        location,
        endpoint,
        relay_state,
        &service.signing,
    )
}

/// Outcome of a logout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All requested Sessions ended.
    All,
    /// Some Sessions could not be ended.
    NotAll,
}

/// Runs the checks common to requests and responses, and returns the issue time.
fn check_message(
    message: &Element,
    local: &str,
    service: &ServiceProvider,
    provider: &Provider,
    now: UnixMillis,
) -> Result<UnixMillis, Error> {
    if !message.is(PROTOCOL, local) {
        return Err(Error::malformed(format!(
            "the message is {}, not {local}",
            quoted(&message.local)
        )));
    }
    check_version(message)?;
    let issued = check_issued(message, now)?;
    let here = service.single_logout_url.as_deref();
    let destination = message.attribute("Destination");
    // Signed messages must have a destination (SAML Bindings §3.4.5.2 and §3.5.5.2).
    if destination.is_none() || destination != here {
        return Err(Error::refused(format!(
            "{local} has the destination {}; this is {}",
            quoted(destination.unwrap_or_default()),
            quoted(here.unwrap_or_default())
        )));
    }
    check_issuer(message.required_child(ASSERTION, "Issuer")?, provider)?;
    Ok(issued)
}

fn written(name: &NameId) -> String {
    let attributes: String = [
        ("Format", &name.format),
        ("NameQualifier", &name.name_qualifier),
        ("SPNameQualifier", &name.sp_name_qualifier),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some(format!(" {key}=\"{}\"", attribute(value.as_ref()?))))
    .collect();
    format!(
        "<saml:NameID{attributes}>{}</saml:NameID>",
        text(&name.value)
    )
}
