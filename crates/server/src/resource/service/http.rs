//! The HTTP part of a Service configuration.

use api::core_v1::service::spec::{
    Mode,
    config::{
        Http,
        http::{
            Auth, Header,
            auth::{
                self, OAuth2ClientCredentials, o_auth2_client_credentials::client_secret,
                sigv4::secret_access_key,
            },
            header::{ForwardedMode, KeyValue, host, key_value},
            response,
        },
    },
};
use http::{HeaderName, HeaderValue};

use super::{expression, limits, plugin};
use crate::Error;

const HEADERS: usize = 256;
const PREFIX_LENGTH: usize = 512;
const TEXT_BYTES: usize = 512;
const URL_BYTES: usize = 2048;
/// Request headers that contain credentials.
const CREDENTIAL_HEADERS: [&str; 3] = ["authorization", "proxy-authorization", "x-api-key"];
pub(super) const INLINE_BYTES: usize = 50_000;

/// Checks everything that needs no other resource. `path` is the field path in the Service.
///
/// # Errors
/// Returns `InvalidArgument` with the path of the field.
pub(super) fn check(path: &str, http: &Http, mode: Mode) -> Result<(), Error> {
    limits::check(path, http, mode)?;
    plugin::check(&format!("{path}.plugins"), &http.plugins)?;
    if let Some(header) = &http.header {
        check_header(&format!("{path}.header"), header)?;
    }
    if let Some(prefixes) = &http.path {
        check_prefixes(
            &format!("{path}.path"),
            &prefixes.add_prefix,
            &prefixes.remove_prefix,
        )?;
    }
    if let Some(auth) = &http.auth {
        check_auth(&format!("{path}.auth"), auth)?;
    }
    if let Some(response) = &http.response {
        let Some(response::Type::Direct(direct)) = &response.r#type else {
            return Err(Error::invalid(format!(
                "{path}.response.direct must be set"
            )));
        };
        check_direct(&format!("{path}.response.direct"), direct)?;
    }
    Ok(())
}

/// Returns the names of its Secrets.
pub(super) fn secrets(http: &Http) -> Vec<String> {
    let Some(auth) = http.auth.as_ref().and_then(|auth| auth.r#type.as_ref()) else {
        return Vec::new();
    };
    let secret = match auth {
        auth::Type::Bearer(bearer) => bearer
            .r#type
            .as_ref()
            .map(|auth::bearer::Type::FromSecret(secret)| secret),
        auth::Type::Basic(basic) => basic
            .password
            .as_ref()
            .and_then(|password| password.r#type.as_ref())
            .map(|auth::basic::password::Type::FromSecret(secret)| secret),
        auth::Type::Custom(custom) => custom
            .value
            .as_ref()
            .and_then(|value| value.r#type.as_ref())
            .map(|auth::custom::value::Type::FromSecret(secret)| secret),
        auth::Type::Oauth2ClientCredentials(client) => client
            .client_secret
            .as_ref()
            .and_then(|secret| secret.r#type.as_ref())
            .map(|client_secret::Type::FromSecret(secret)| secret),
        auth::Type::Sigv4(sigv4) => sigv4
            .secret_access_key
            .as_ref()
            .and_then(|key| key.r#type.as_ref())
            .map(|secret_access_key::Type::FromSecret(secret)| secret),
    };
    secret.cloned().into_iter().collect()
}

/// Returns whether it signs requests for a single host.
pub(super) fn signs_for_one_host(http: &Http) -> bool {
    matches!(
        http.auth.as_ref().and_then(|auth| auth.r#type.as_ref()),
        Some(auth::Type::Sigv4(_))
    )
}

fn check_header(path: &str, header: &Header) -> Result<(), Error> {
    for (field, entries) in [
        ("addRequestHeaders", &header.add_request_headers),
        ("addResponseHeaders", &header.add_response_headers),
    ] {
        let path = format!("{path}.{field}");
        check_count(&path, entries.len())?;
        for (index, entry) in entries.iter().enumerate() {
            check_entry(&format!("{path}[{index}]"), entry)?;
        }
        if field == "addRequestHeaders" {
            check_credentials(&path, entries)?;
        }
    }
    for (field, names) in [
        ("removeRequestHeaders", &header.remove_request_headers),
        ("removeResponseHeaders", &header.remove_response_headers),
    ] {
        let path = format!("{path}.{field}");
        check_count(&path, names.len())?;
        for (index, name) in names.iter().enumerate() {
            check_name(&format!("{path}[{index}]"), name)?;
        }
    }
    if ForwardedMode::try_from(header.forwarded_mode).is_err() {
        return Err(Error::invalid(format!(
            "{path}.forwardedMode must be DROP, OBFUSCATE or TRANSPARENT"
        )));
    }
    match header.host.as_ref().map(|host| &host.r#type) {
        None | Some(Some(host::Type::Preserve(_))) => Ok(()),
        Some(Some(host::Type::Eval(source))) => {
            expression::check_text(&format!("{path}.host.eval"), source)
        }
        Some(Some(host::Type::Value(value))) => match value.parse::<http::uri::Authority>() {
            Ok(authority) if !authority.as_str().contains('@') => Ok(()),
            _ => Err(Error::invalid(format!(
                "{path}.host.value {value:?} is not a host"
            ))),
        },
        Some(None) => Err(Error::invalid(format!(
            "{path}.host must have preserve, value or eval"
        ))),
    }
}

/// Refuses literal credentials, because every reader of the Service could see them.
fn check_credentials(path: &str, entries: &[KeyValue]) -> Result<(), Error> {
    for (index, entry) in entries.iter().enumerate() {
        let is_literal = matches!(&entry.r#type, Some(key_value::Type::Value(_)));
        let name = entry.key.to_ascii_lowercase().replace(['_', '.'], "-");
        let is_credential = CREDENTIAL_HEADERS.contains(&&*name);
        if is_literal && is_credential {
            return Err(Error::invalid(format!(
                "{path}[{index}].value would be stored and shown in plain text: put the credential into a Secret, and \
                 reference it in spec.config.http.auth"
            )));
        }
    }
    Ok(())
}

fn check_entry(path: &str, entry: &KeyValue) -> Result<(), Error> {
    check_name(&format!("{path}.key"), &entry.key)?;
    match &entry.r#type {
        Some(key_value::Type::Value(value)) if HeaderValue::from_str(value).is_ok() => Ok(()),
        Some(key_value::Type::Value(_)) => Err(Error::invalid(format!(
            "{path}.value has a character that is not allowed in a header"
        ))),
        Some(key_value::Type::Eval(source)) => {
            expression::check_text(&format!("{path}.eval"), source)
        }
        None => Err(Error::invalid(format!("{path}.value or eval must be set"))),
    }
}

pub(super) fn check_name(path: &str, name: &str) -> Result<(), Error> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Error::invalid(format!("{path} {name:?} is not a header name")))?;
    // Upstreams may treat other spellings as the same name.
    let folded = parsed.as_str().replace(['_', '.'], "-");
    if folded.starts_with("x-octelium-") {
        return Err(Error::invalid(format!(
            "{path} {name:?}: headers that begin with X-Octelium- are reserved"
        )));
    }
    Ok(())
}

fn check_count(path: &str, count: usize) -> Result<(), Error> {
    if count <= HEADERS {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{path} has {count} entries; at most {HEADERS} are allowed"
    )))
}

pub(super) fn check_prefixes(path: &str, add: &str, remove: &str) -> Result<(), Error> {
    for (field, prefix) in [("addPrefix", add), ("removePrefix", remove)] {
        let is_path = prefix.starts_with('/')
            && prefix.len() <= PREFIX_LENGTH
            && prefix.bytes().all(|byte| byte.is_ascii_graphic())
            && !prefix.contains(['?', '#', '%', '\\'])
            && !prefix
                .split('/')
                .any(|segment| matches!(segment, "." | ".."));
        if !prefix.is_empty() && !is_path {
            return Err(Error::invalid(format!(
                "{path}.{field} {prefix:?} is invalid: it must be a path of at most {PREFIX_LENGTH} characters \
                 that begins with a slash, without query, dot segments or percent-encoding"
            )));
        }
    }
    Ok(())
}

fn check_auth(path: &str, auth: &Auth) -> Result<(), Error> {
    let missing = |what: &str| Err(Error::invalid(format!("{path}.{what} must be set")));
    let named = |secret: Option<&String>| secret.is_some_and(|secret| !secret.is_empty());
    let has_secret = named(
        secrets(&Http {
            auth: Some(auth.clone()),
            ..Http::default()
        })
        .first(),
    );
    match &auth.r#type {
        None => missing("bearer, basic, custom, oauth2ClientCredentials or sigv4"),
        Some(auth::Type::Bearer(_)) if !has_secret => missing("bearer.fromSecret"),
        Some(auth::Type::Basic(_)) if !has_secret => missing("basic.password.fromSecret"),
        Some(auth::Type::Basic(basic)) if basic.username.contains([':', '\r', '\n']) => {
            Err(Error::invalid(format!(
                "{path}.basic.username must not hold a colon or a line break"
            )))
        }
        Some(auth::Type::Custom(_)) if !has_secret => missing("custom.value.fromSecret"),
        Some(auth::Type::Custom(custom)) => {
            check_name(&format!("{path}.custom.header"), &custom.header)
        }
        Some(auth::Type::Oauth2ClientCredentials(_)) if !has_secret => {
            missing("oauth2ClientCredentials.clientSecret.fromSecret")
        }
        Some(auth::Type::Oauth2ClientCredentials(client)) => {
            check_client(&format!("{path}.oauth2ClientCredentials"), client)
        }
        Some(auth::Type::Sigv4(_)) if !has_secret => missing("sigv4.secretAccessKey.fromSecret"),
        Some(auth::Type::Sigv4(sigv4)) => {
            for (field, value) in [
                ("accessKeyID", &sigv4.access_key_id),
                ("region", &sigv4.region),
                ("service", &sigv4.service),
            ] {
                if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return missing(&format!("sigv4.{field}"));
                }
            }
            Ok(())
        }
        Some(_) => Ok(()),
    }
}

fn check_client(path: &str, client: &OAuth2ClientCredentials) -> Result<(), Error> {
    if client.client_id.is_empty() || client.client_id.len() > TEXT_BYTES {
        return Err(Error::invalid(format!(
            "{path}.clientID must be set, to at most {TEXT_BYTES} bytes"
        )));
    }
    let uri: Option<http::Uri> = client.token_url.parse().ok();
    // The operator decides whether plain HTTP is acceptable in the network.
    let is_url = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("https" | "http"))
            && uri
                .authority()
                .is_some_and(|authority| !authority.host().is_empty())
    });
    if !is_url || client.token_url.len() > URL_BYTES || client.token_url.contains(['#', '@']) {
        return Err(Error::invalid(format!(
            "{path}.tokenURL must be an https URL of at most {URL_BYTES} bytes, without fragment and user information"
        )));
    }
    // RFC 6749 §3.3
    for (index, scope) in client.scopes.iter().enumerate() {
        let is_scope = !scope.is_empty()
            && scope.len() <= TEXT_BYTES
            && scope
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
        if !is_scope {
            return Err(Error::invalid(format!(
                "{path}.scopes[{index}] {scope:?} is not a scope"
            )));
        }
    }
    Ok(())
}

fn check_direct(path: &str, direct: &response::Direct) -> Result<(), Error> {
    if direct.status_code != 0 && !(200..=599).contains(&direct.status_code) {
        return Err(Error::invalid(format!(
            "{path}.statusCode is {}; it must be from 200 to 599",
            direct.status_code
        )));
    }
    if HeaderValue::from_str(&direct.content_type).is_err() {
        return Err(Error::invalid(format!(
            "{path}.contentType has a character that is not allowed in a header"
        )));
    }
    let length = match &direct.r#type {
        None => 0,
        Some(response::direct::Type::Inline(text)) => text.len(),
        Some(response::direct::Type::InlineBytes(bytes)) => bytes.len(),
    };
    if length > INLINE_BYTES {
        return Err(Error::invalid(format!(
            "{path} has {length} bytes; at most {INLINE_BYTES} are allowed"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("X-Octelium-User", false)]
    #[case("x_octelium_user", false)]
    #[case("X.Octelium_User", false)]
    #[case("X-Octelium", true)]
    #[case("X_Api_Key", true)]
    #[case("X Api", false)]
    fn headers_of_the_cluster_are_refused_in_any_spelling_s04(
        #[case] name: &str,
        #[case] accepted: bool,
    ) {
        assert_eq!(check_name("key", name).is_ok(), accepted);
    }
}
