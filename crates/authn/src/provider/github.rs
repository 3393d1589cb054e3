//! Login with GitHub's OAuth 2.0 web application flow. The numeric account id identifies a person, because a user name
//! can be released and taken by another person.

use domain::rng::Rng;
use http::{Request, StatusCode, header};
use serde_json::{Map, Value};

use super::{
    AuthenticationTime, AuthorizationRequest, AuthorizationResponse, ExternalIdentity, LoginError,
    email, name, picture, secret,
};
use crate::{fetched::Unavailable, outbound::Outbound};
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

const LARGEST_ANSWER: usize = 256 * 1024;
const SCOPE: &str = "user:email";

/// Registration of an OAuth app at GitHub.
pub struct Registration<'a> {
    /// Client id of the OAuth app.
    pub client_id: &'a str,
    /// Client secret of the OAuth app.
    pub client_secret: &'a str,
    /// Callback URL that GitHub redirects browsers to.
    pub redirect_url: &'a str,
}

/// Base URLs of GitHub.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// Base URL of the pages, by default `https://github.com`.
    pub web: String,
    /// Base URL of the API, by default `https://api.github.com`.
    pub api: String,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self {
            web: "https://github.com".to_owned(),
            api: "https://api.github.com".to_owned(),
        }
    }
}

impl Endpoints {
    /// Returns the endpoints of a GitHub Enterprise Server or of an enterprise at ghe.com. `base_url` has no path.
    pub fn enterprise(base_url: &str) -> Self {
        let web = base_url.trim_end_matches('/').to_owned();
        let host = web.strip_prefix("https://").unwrap_or(&web);
        let api = if host.ends_with(".ghe.com") {
            format!("https://api.{host}")
        } else {
            format!("{web}/api/v3")
        };
        Self { web, api }
    }
}

/// Starts a login. GitHub returns `state` unchanged, and the caller must compare it.
pub fn begin(
    endpoints: &Endpoints,
    registration: &Registration<'_>,
    state: &str,
    rng: &dyn Rng,
) -> AuthorizationRequest {
    let verifier = secret(rng);
    let challenge = digest::digest(&digest::SHA256, verifier.as_bytes());
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", registration.client_id)
        .append_pair("redirect_uri", registration.redirect_url)
        .append_pair("scope", SCOPE)
        .append_pair("state", state)
        .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(challenge))
        .append_pair("code_challenge_method", "S256")
        .finish();
    AuthorizationRequest {
        url: format!("{}/login/oauth/authorize?{query}", endpoints.web),
        login_state: verifier.into_bytes(),
    }
}

/// Completes a login: redeems the code and reads the account and its email addresses.
///
/// # Errors
/// Returns [`LoginError::Refused`] if GitHub reports an error, [`LoginError::Unavailable`] if it is unreachable, and
/// [`LoginError::Invalid`] if a response is not usable.
pub async fn finish(
    endpoints: &Endpoints,
    registration: &Registration<'_>,
    login_state: &[u8],
    authorization_response: AuthorizationResponse<'_>,
    outbound: &Outbound,
) -> Result<ExternalIdentity, LoginError> {
    let code = authorization_response.code()?;
    let verifier = std::str::from_utf8(login_state)
        .map_err(|_| LoginError::Invalid("the login was not started here"))?;
    let token = exchange(endpoints, registration, code, verifier, outbound).await?;
    let user = get(&format!("{}/user", endpoints.api), &token, outbound).await?;
    let user = strict_json::object(&user)
        .map_err(|_| LoginError::Invalid("the account is not a JSON object"))?;
    let emails = get(&format!("{}/user/emails", endpoints.api), &token, outbound).await?;
    let emails: Value = serde_json::from_slice(&emails)
        .map_err(|_| LoginError::Invalid("the addresses of the account are not JSON"))?;
    identity(user, &emails)
}

async fn exchange(
    endpoints: &Endpoints,
    registration: &Registration<'_>,
    code: &str,
    verifier: &str,
    outbound: &Outbound,
) -> Result<String, LoginError> {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", registration.client_id)
        .append_pair("client_secret", registration.client_secret)
        .append_pair("code", code)
        .append_pair("redirect_uri", registration.redirect_url)
        .append_pair("code_verifier", verifier)
        .finish();
    let request = Request::post(format!("{}/login/oauth/access_token", endpoints.web))
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form.into_bytes());
    let response = strict_json::object(&send(request, outbound).await?).map_err(|_| {
        LoginError::Invalid("the response of the token endpoint is not a JSON object")
    })?;
    // GitHub reports errors with status 200.
    if let Some(error) = response.get("error").and_then(Value::as_str) {
        let authorization_response = AuthorizationResponse {
            error: Some(error),
            ..AuthorizationResponse::default()
        };
        authorization_response.code()?;
    }
    let token = response.get("access_token").and_then(Value::as_str);
    token.map(str::to_owned).ok_or(LoginError::Invalid(
        "the response of the token endpoint has no token",
    ))
}

async fn get(url: &str, token: &str, outbound: &Outbound) -> Result<Vec<u8>, LoginError> {
    let request = Request::get(url)
        .header(header::ACCEPT, "application/vnd.github+json")
        .header("x-github-api-version", "2022-11-28")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Vec::new());
    send(request, outbound).await
}

async fn send(
    request: Result<Request<Vec<u8>>, http::Error>,
    outbound: &Outbound,
) -> Result<Vec<u8>, LoginError> {
    let request = request
        .map_err(|_| LoginError::Invalid("the token of GitHub cannot be sent in a header"))?;
    let response = outbound.send(request, LARGEST_ANSWER).await;
    let response = response.map_err(|error| Unavailable::because(&error))?;
    match response.status() {
        StatusCode::OK => Ok(response.into_body()),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => Err(
            Unavailable::because(&format!("GitHub responded with status {}", status.as_u16()))
                .into(),
        ),
        _ => Err(LoginError::Invalid("GitHub refused to return the account")),
    }
}

fn identity(user: Map<String, Value>, emails: &Value) -> Result<ExternalIdentity, LoginError> {
    let id = user.get("id").and_then(Value::as_u64).filter(|id| *id > 0);
    let id = id.ok_or(LoginError::Invalid("the account has no numeric id"))?;
    let text = |name: &str| user.get(name).and_then(Value::as_str);
    let is = |address: &Value, what: &str| address.get(what) == Some(&Value::Bool(true));
    let mut addresses = emails.as_array().into_iter().flatten();
    let primary = addresses.find(|address| is(address, "primary") && is(address, "verified"));
    let primary = primary.and_then(|address| address.get("email")?.as_str());
    Ok(ExternalIdentity {
        identifier: id.to_string(),
        email: primary.and_then(email),
        name: text("name").or_else(|| text("login")).and_then(name),
        picture: text("avatar_url").and_then(picture),
        claims: user,
        // GitHub reports no authentication time and cannot be asked to authenticate a person again.
        authenticated: AuthenticationTime::default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn account(user: &Value, emails: &Value) -> Result<ExternalIdentity, LoginError> {
        identity(user.as_object().unwrap().clone(), emails)
    }

    #[test]
    fn w49_an_account_is_identified_by_its_numeric_id() {
        let emails = json!([
            {"email": "other@example.com", "verified": true, "primary": false},
            {"email": "Alice@example.com", "verified": true, "primary": true},
        ]);
        let one = account(&json!({"id": 42, "login": "alice"}), &emails).unwrap();
        let renamed = account(&json!({"id": 42, "login": "bob"}), &emails).unwrap();
        assert_eq!(one.identifier, "42");
        assert_eq!(renamed.identifier, "42");
        assert_eq!(one.email.as_deref(), Some("alice@example.com"));
        for user in [
            json!({"login": "alice"}),
            json!({"id": "42"}),
            json!({"id": 0}),
            json!({"id": 1.5}),
        ] {
            account(&user, &emails).unwrap_err();
        }
    }

    #[test]
    fn w50_an_address_that_was_not_verified_does_not_count() {
        for emails in [
            json!([{"email": "a@example.com", "verified": false, "primary": true}]),
            json!([{"email": "a@example.com", "verified": "true", "primary": true}]),
            json!([{"email": "a@example.com", "verified": true, "primary": false}]),
            json!({"email": "a@example.com"}),
        ] {
            assert_eq!(account(&json!({"id": 42}), &emails).unwrap().email, None);
        }
    }
}
