//! Login at SAML identity providers: connects `authn::saml` to the Cluster's keys and the provider's metadata.

use std::sync::Arc;

use api::core_v1::{
    identity_provider::spec::{self, saml::MetadataType},
    session::status::authentication::info::identity_provider::Saml,
};
use authn::{
    provider::{AuthenticationTime, ExternalIdentity},
    saml::{self, Expected, Login, Outgoing, ServiceProvider, begin_login, finish_login},
    saml_source::{MetadataLocation, MetadataSource},
};
use aws_lc_rs::digest;
use domain::{clock::UnixMillis, id::Uid};
use prost::Message as _;
use serde_json::{Map, Value, json};

use crate::{
    Context, Error, ErrorKind, authentication::identity::SingleUse, directory::ProviderEntry,
    federation::CALLBACK, resource::identity_provider::saml_choice,
};

mod keys;
pub(crate) mod logout;

/// Attribute that contains the identifier if `identifierAttribute` is not set.
const DEFAULT_ATTRIBUTE: &str =
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress";
/// Attributes that may contain the email address, in order of preference.
const EMAIL_ATTRIBUTES: [&str; 4] = [
    DEFAULT_ATTRIBUTE,
    "urn:oid:0.9.2342.19200300.100.1.3",
    "mail",
    "email",
];
/// Attributes that may contain the display name, in order of preference.
const NAME_ATTRIBUTES: [&str; 4] = [
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
    "urn:oid:2.16.840.1.113730.3.1.241",
    "displayName",
    "cn",
];
const LONGEST_EMAIL: usize = 150;
const LONGEST_NAME: usize = 100;
/// Path of the single logout service. The Cluster's metadata are at [`METADATA`].
pub(crate) const LOGOUT: &str = "/saml/logout";
pub(crate) const METADATA: &str = "/saml/metadata";
const USED_ASSERTION: &str = "saml-assertion";

/// A verified response of a provider about a person.
pub(crate) struct SamlLogin {
    pub(crate) external: ExternalIdentity,
    /// The assertion as XML.
    pub(crate) assertion: String,
    /// The identifiers of the provider's session with the person.
    pub(crate) session: Option<Box<Saml>>,
    /// The single-use record of the assertion.
    pub(crate) used: SingleUse,
}

/// The stored state of a pending login.
#[derive(Clone, PartialEq, prost::Message)]
struct ProtocolState {
    #[prost(string, tag = "1")]
    request_id: String,
    #[prost(int64, tag = "2")]
    requested_at: i64,
    #[prost(bool, tag = "3")]
    force_authn: bool,
}

/// Begins a login at the provider. `force_authentication` forces a fresh authentication. The response returns `state`.
///
/// # Errors
/// Returns an error if the provider is misconfigured or its metadata are unavailable.
pub(crate) async fn begin(
    ctx: &Context,
    entry: &ProviderEntry,
    state: &str,
    force_authentication: bool,
) -> Result<(Outgoing, Vec<u8>), Error> {
    let spec = spec(entry)?;
    let force_authn = spec.force_authn || force_authentication;
    let service = service(ctx, spec).await?;
    let source = source(ctx, spec)?;
    let known = source.get().await.map_err(unreachable)?;
    let now = ctx.now();
    let request = begin_login(
        &service,
        &known.provider,
        Some(state),
        force_authn,
        &*ctx.rng,
        now,
    )
    .map_err(|error| failed(entry, &error))?;
    let protocol_state = ProtocolState {
        request_id: request.id,
        requested_at: now.0,
        force_authn,
    };
    Ok((request.message, protocol_state.encode_to_vec()))
}

/// Verifies the provider's `SAMLResponse`.
///
/// # Errors
/// Returns `Unauthenticated` if the response is invalid, or `PermissionDenied` if the provider refused the login. The
/// log has the reason.
pub(crate) async fn finish(
    ctx: &Context,
    entry: &ProviderEntry,
    protocol_state: &[u8],
    response: &str,
) -> Result<SamlLogin, Error> {
    let spec = spec(entry)?;
    let protocol_state = ProtocolState::decode(protocol_state).map_err(Error::internal)?;
    let service = service(ctx, spec).await?;
    let now = ctx.now();
    let expected = Expected {
        request_id: &protocol_state.request_id,
        requested_at: UnixMillis(protocol_state.requested_at),
        // Also required if the setting was enabled during the login.
        force_authn: protocol_state.force_authn || spec.force_authn,
    };
    let login = source(ctx, spec)?
        .verify(|provider| finish_login(&service, provider, response, expected, now))
        .await
        .map_err(unreachable)?
        .map_err(|error| failed(entry, &error))?;
    saml_login(entry.provider.uid, spec, login, expected.force_authn)
        .map_err(|error| failed(entry, &error))
}

/// Returns the Cluster's SAML metadata for the provider `entry`, or the default metadata without one.
///
/// # Errors
/// Returns the error of the store.
pub(crate) async fn metadata(
    ctx: &Context,
    entry: Option<&ProviderEntry>,
) -> Result<String, Error> {
    let default = spec::Saml::default();
    let spec = match entry {
        Some(entry) => spec(entry)?,
        None => &default,
    };
    Ok(service(ctx, spec).await?.metadata())
}

fn saml_login(
    provider: Uid,
    spec: &spec::Saml,
    login: Login,
    was_requested: bool,
) -> Result<SamlLogin, saml::Error> {
    let attribute = match spec.identifier_attribute.as_str() {
        "" => DEFAULT_ATTRIBUTE,
        name => name,
    };
    let identifier = login.attribute(attribute)?.to_owned();
    let first = |names: &[&str]| {
        let mut values = names.iter().filter_map(|name| login.attribute(name).ok());
        values.next().map(str::to_owned)
    };
    let email = email(&identifier).or_else(|| email(&first(&EMAIL_ATTRIBUTES)?));
    let id = digest::digest(&digest::SHA256, login.assertion_id.as_bytes());
    let name = login.name_id.as_ref();
    Ok(SamlLogin {
        external: ExternalIdentity {
            identifier,
            email,
            name: first(&NAME_ATTRIBUTES).filter(|name| is_short(name)),
            picture: None,
            claims: readable(&login),
            authenticated: AuthenticationTime {
                at: Some(login.authenticated_at),
                was_requested,
            },
        },
        session: name.map(|name| {
            let index = login.session_index.as_deref();
            Box::new(logout::logout_identifiers(name, index))
        }),
        used: SingleUse {
            kind: USED_ASSERTION,
            key: [provider.as_bytes().as_slice(), id.as_ref()].concat(),
            expires_at: login.remember_until,
        },
        assertion: login.assertion,
    })
}

/// Converts an assertion to the form that conditions evaluate. Attributes are lists, because they can have several
/// values.
fn readable(login: &Login) -> Map<String, Value> {
    let mut attributes: Map<String, Value> = Map::new();
    for attribute in &login.attributes {
        let values = attributes
            .entry(attribute.name.clone())
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(values) = values {
            values.extend(attribute.values.iter().cloned().map(Value::String));
        }
    }
    let mut readable = Map::from_iter([
        ("attributes".to_owned(), Value::Object(attributes)),
        (
            "authnInstant".to_owned(),
            json!(login.authenticated_at.to_string()),
        ),
    ]);
    let name = login.name_id.as_ref();
    for (key, value) in [
        ("nameID", name.map(|name| &name.value)),
        ("nameIDFormat", name.and_then(|name| name.format.as_ref())),
        ("authnContextClassRef", login.authn_context.as_ref()),
        ("sessionIndex", login.session_index.as_ref()),
    ] {
        if let Some(value) = value {
            readable.insert(key.to_owned(), json!(value));
        }
    }
    readable
}

/// Returns the email address in lower case, if `text` is one.
fn email(text: &str) -> Option<String> {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"\"(),:;<>[\\]".contains(&byte));
    let (local, host) = text.split_once('@')?;
    let is_address =
        !local.is_empty() && !host.contains('@') && host.split('.').all(|label| !label.is_empty());
    (is_plain && is_address && text.len() <= LONGEST_EMAIL).then(|| text.to_ascii_lowercase())
}

fn is_short(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && !name.contains(char::is_control)
}

/// Returns whether `entry` is a SAML provider.
pub(crate) fn is_saml(entry: &ProviderEntry) -> bool {
    spec(entry).is_ok()
}

fn spec(entry: &ProviderEntry) -> Result<&spec::Saml, Error> {
    match entry.spec().and_then(|spec| spec.r#type.as_ref()) {
        Some(spec::Type::Saml(saml)) => Ok(saml),
        _ => Err(Error::internal("not a SAML provider")),
    }
}

async fn service(ctx: &Context, spec: &spec::Saml) -> Result<ServiceProvider, Error> {
    let cell = &ctx.providers.saml_keys;
    let keys = cell
        .get_or_try_init(async || keys::open(ctx).await.map(Arc::new))
        .await?;
    let url = ctx.domain.url();
    Ok(ServiceProvider {
        assertion_consumer_url: format!("{url}{CALLBACK}"),
        single_logout_url: Some(format!("{url}{LOGOUT}")),
        signing: keys.signing.clone(),
        decryption: vec![keys.decryption.clone()],
        next_signing: Vec::new(),
        entity_id: if spec.entity_id.is_empty() {
            url
        } else {
            spec.entity_id.clone()
        },
    })
}

fn source(ctx: &Context, spec: &spec::Saml) -> Result<Arc<MetadataSource>, Error> {
    let location = match &spec.metadata_type {
        Some(MetadataType::MetadataUrl(url)) => MetadataLocation::Url(url.clone()),
        Some(MetadataType::Metadata(document)) => MetadataLocation::Fixed(document.clone()),
        None => return Err(Error::internal("a SAML provider without metadata")),
    };
    let choice = saml_choice(spec);
    Ok(ctx.providers.saml_metadata(location, choice, &ctx.clock))
}

fn unreachable(error: authn::fetched::Unavailable) -> Error {
    Error::unavailable(error)
        .with_public_message("The identity provider cannot be reached; try again")
        .because("provider_unavailable")
}

/// Logs the failure, and converts it to an error for the person and the audit.
fn failed(entry: &ProviderEntry, error: &saml::Error) -> Error {
    tracing::warn!(
        identity_provider = entry.name(),
        reason = error.reason(),
        "a SAML login failed"
    );
    let (kind, reason) = match error.kind() {
        saml::ErrorKind::Malformed => (ErrorKind::Unauthenticated, "saml_malformed"),
        saml::ErrorKind::Signature => (ErrorKind::Unauthenticated, "saml_signature"),
        saml::ErrorKind::Encryption => (ErrorKind::Unauthenticated, "saml_encryption"),
        saml::ErrorKind::Refused => (ErrorKind::Unauthenticated, "saml_refused"),
        saml::ErrorKind::Denied => (ErrorKind::PermissionDenied, "saml_status"),
        saml::ErrorKind::Metadata => (ErrorKind::FailedPrecondition, "saml_metadata"),
        saml::ErrorKind::Key => (ErrorKind::Internal, "saml_key"),
    };
    Error::new(kind, error.to_string()).because(reason)
}
