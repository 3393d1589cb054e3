//! `OpenID` Connect: the authorization code flow (`OpenID` Connect Core 1.0 §3.1) with PKCE (RFC 7636) and issuer
//! identification (RFC 9207).

use std::{pin::Pin, sync::Arc, time::Duration};

use domain::{
    clock::{Clock, UnixMillis},
    rng::Rng,
};
use openidconnect::{
    AccessTokenHash, AsyncHttpClient, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    HttpRequest, HttpResponse, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, SignatureVerificationError,
    StandardErrorResponse, TokenResponse as _,
    core::{
        CoreAuthPrompt, CoreAuthenticationFlow, CoreClient, CoreErrorResponseType,
        CoreIdTokenVerifier, CoreJwsSigningAlgorithm as Jws, CoreTokenResponse,
    },
};
use serde_json::{Map, Value};

mod discovery;
mod logout;

pub use logout::LogoutToken;

use discovery::{Found, Metadata};

use super::{
    AuthenticationTime, AuthorizationRequest, AuthorizationResponse, ExternalIdentity, LoginError,
    email, identifier, name, picture, secret,
};
use crate::{
    assertion::SKEW,
    fetched::{Fetched, Unavailable},
    jws::Unverified,
    outbound::{Outbound, OutboundError},
};

/// Maximum size of a response of the token endpoint or the user info endpoint, in bytes.
const LARGEST_ANSWER: usize = 256 * 1024;
/// Accepted clock difference between the provider and this host in `auth_time`. An authentication can be older than it
/// seems by this much, so the value is smaller than [`SKEW`].
pub const AUTHENTICATION_SKEW: Duration = Duration::from_secs(5);
/// 9999-12-31T23:59:59Z in seconds. A current time in milliseconds exceeds it, so such a value is detected.
const LATEST: i64 = 253_402_300_799;
const DEFAULT_SCOPES: [&str; 2] = ["profile", "email"];
/// Claims of the ID token that a user info response must not replace.
const PROTOCOL_CLAIMS: [&str; 13] = [
    "iss",
    "sub",
    "sid",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "nonce",
    "azp",
    "at_hash",
    "c_hash",
    "auth_time",
];
/// All algorithms that the library verifies, except those with a shared secret.
const ALGORITHMS: [fn() -> Jws; 10] = [
    || Jws::RsaSsaPkcs1V15Sha256,
    || Jws::RsaSsaPkcs1V15Sha384,
    || Jws::RsaSsaPkcs1V15Sha512,
    || Jws::RsaSsaPssSha256,
    || Jws::RsaSsaPssSha384,
    || Jws::RsaSsaPssSha512,
    || Jws::EcdsaP256Sha256,
    || Jws::EcdsaP384Sha384,
    || Jws::EcdsaP521Sha512,
    || Jws::EdDsa,
];

/// Client registration at a provider and the options of its logins.
pub struct Registration<'a> {
    /// Client id.
    pub client_id: &'a str,
    /// Client secret.
    pub client_secret: &'a str,
    /// Callback URL that the provider redirects browsers to.
    pub redirect_url: &'a str,
    /// Scopes requested in addition to `openid`. If empty, `profile` and `email`.
    pub scopes: &'a [String],
    /// Name of the claim that identifies a person. If empty, `sub`.
    pub identifier_claim: &'a str,
    /// True if claims are also requested from the user info endpoint.
    pub uses_user_info: bool,
    /// True if an email address is accepted when the provider does not report whether it is verified.
    pub allows_unverified_email: bool,
}

/// A client of one provider, discovered by its issuer. It caches the provider's metadata and keys.
pub struct RelyingParty {
    issuer: String,
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    found: Fetched<Found>,
}

impl RelyingParty {
    /// Creates a client. The first login fetches the metadata.
    pub fn new(issuer: &str, outbound: Outbound, clock: Arc<dyn Clock>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            outbound,
            found: Fetched::new(clock.clone()),
            clock,
        }
    }

    /// Starts a login. The provider returns `state` unchanged, and the caller must compare it. If
    /// `force_authentication` is true, the provider is asked to authenticate the person again, even if they have a
    /// session there (`OpenID` Connect Core 1.0 §3.1.2.1).
    ///
    /// # Errors
    /// Returns [`LoginError::Unavailable`] if the provider's metadata cannot be fetched.
    pub async fn begin(
        &self,
        registration: &Registration<'_>,
        state: &str,
        force_authentication: bool,
        rng: &dyn Rng,
    ) -> Result<AuthorizationRequest, LoginError> {
        let found = self.found().await?;
        let (nonce, verifier) = (secret(rng), secret(rng));
        let login_state = if force_authentication {
            format!("{nonce}.{verifier}.{}", self.clock.now().seconds())
        } else {
            format!("{nonce}.{verifier}")
        };
        let redirect = redirect(registration)?;
        let client = CoreClient::new(
            ClientId::new(registration.client_id.to_owned()),
            found.metadata.issuer().clone(),
            found.keys.clone(),
        )
        .set_auth_uri(found.metadata.authorization_endpoint().clone())
        .set_redirect_uri(redirect);
        let verifier = PkceCodeVerifier::new(verifier);
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
        let (state, nonce) = (state.to_owned(), nonce);
        let mut request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                || CsrfToken::new(state),
                || Nonce::new(nonce),
            )
            .add_scopes(scopes(registration).map(Scope::new))
            .set_pkce_challenge(challenge);
        if force_authentication {
            request = request
                .add_prompt(CoreAuthPrompt::Login)
                .set_max_age(Duration::ZERO);
        }
        let (url, _, _) = request.url();
        Ok(AuthorizationRequest {
            url: url.into(),
            login_state: login_state.into_bytes(),
        })
    }

    /// Completes a login: redeems the code, verifies the ID token and returns the person's identity.
    ///
    /// # Errors
    /// Returns [`LoginError::Refused`] if the provider reports an error, [`LoginError::NotFresh`] if a requested new
    /// authentication did not happen, [`LoginError::Unavailable`] if the provider cannot be reached, and
    /// [`LoginError::Invalid`] if the callback or the ID token fails validation.
    pub async fn finish(
        &self,
        registration: &Registration<'_>,
        login_state: &[u8],
        authorization_response: AuthorizationResponse<'_>,
    ) -> Result<ExternalIdentity, LoginError> {
        let found = self.found().await?;
        check_issuer(&found.metadata, authorization_response.issuer)?;
        let code = authorization_response.code()?;
        let not_begun = LoginError::Invalid("the login was not started here");
        let Some((nonce, rest)) = std::str::from_utf8(login_state)
            .ok()
            .and_then(|text| text.split_once('.'))
        else {
            return Err(not_begun);
        };
        let (verifier, forced_at) = match rest.split_once('.') {
            None => (rest, None),
            Some((verifier, since)) => match since.parse::<i64>() {
                Ok(since) => (verifier, Some(since)),
                Err(_) => return Err(not_begun),
            },
        };
        let tokens = self.exchange(&found, registration, code, verifier).await?;
        let outcome = match self.verify(&found, registration, &tokens, nonce) {
            Err(NotVerified::UnknownKey) => {
                let newer = self
                    .found
                    .newer(&found, async || self.fetch().await)
                    .await?;
                self.verify(&newer, registration, &tokens, nonce)
            }
            outcome => outcome,
        };
        let mut claims = outcome.map_err(|error| {
            tracing::warn!(issuer = self.issuer, ?error, "ID token refused");
            LoginError::Invalid("the ID token of the provider is not valid")
        })?;
        let authenticated = authentication_time(&claims, forced_at, self.clock.now())?;
        if registration.uses_user_info {
            self.add_user_info(&found, &tokens, &mut claims).await?;
        }
        identity(registration, claims, authenticated)
    }

    async fn found(&self) -> Result<Arc<Found>, Unavailable> {
        self.found.get(async || self.fetch().await).await
    }

    async fn fetch(&self) -> Result<Found, discovery::FetchError> {
        let outcome = discovery::fetch(&self.issuer, &self.outbound).await;
        if let Err(error) = &outcome {
            tracing::warn!(%error, issuer = self.issuer, "an identity provider is not available");
        }
        outcome
    }

    async fn exchange(
        &self,
        found: &Found,
        registration: &Registration<'_>,
        code: &str,
        verifier: &str,
    ) -> Result<CoreTokenResponse, LoginError> {
        let endpoint = found.metadata.token_endpoint().cloned();
        let endpoint = endpoint.ok_or(LoginError::Invalid("the provider has no token endpoint"))?;
        let client = CoreClient::new(
            ClientId::new(registration.client_id.to_owned()),
            found.metadata.issuer().clone(),
            found.keys.clone(),
        )
        .set_client_secret(ClientSecret::new(registration.client_secret.to_owned()))
        .set_auth_type(discovery::authentication(&found.metadata))
        .set_token_uri(endpoint)
        .set_redirect_uri(redirect(registration)?);
        let request = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.to_owned()));
        let sender = Sender(self.outbound.clone());
        let response: Exchange<'_> = Box::pin(request.request_async(&sender));
        let response = response.await;
        response.map_err(|error| match error {
            RequestTokenError::ServerResponse(response) => {
                let code = response.error().as_ref().to_owned();
                tracing::warn!(issuer = self.issuer, code, "authorization code refused");
                LoginError::Refused(code)
            }
            RequestTokenError::Request(error) => unavailable(&error),
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
                LoginError::Invalid("the response of the provider's token endpoint has no token")
            }
        })
    }

    /// Returns the claims of the ID token. Both the library and our own strict JWS parser must accept the token.
    fn verify(
        &self,
        found: &Found,
        registration: &Registration<'_>,
        tokens: &CoreTokenResponse,
        nonce: &str,
    ) -> Result<Map<String, Value>, NotVerified> {
        let token = tokens
            .id_token()
            .ok_or(NotVerified::Invalid("it is missing"))?;
        let text = token.to_string();
        let strict = Unverified::parse(&text).map_err(|_| NotVerified::Invalid("malformed"))?;
        let now = self.clock.now();
        let verifier = CoreIdTokenVerifier::new_confidential_client(
            ClientId::new(registration.client_id.to_owned()),
            ClientSecret::new(registration.client_secret.to_owned()),
            found.metadata.issuer().clone(),
            found.keys.clone(),
        )
        .set_allowed_algs(ALGORITHMS.map(|algorithm| algorithm()))
        .set_time_fn(move || time(now.saturating_sub(SKEW)))
        .set_issue_time_verifier_fn(move |issued_at| {
            if issued_at <= time(now.saturating_add(SKEW)) {
                Ok(())
            } else {
                Err("issued in the future".to_owned())
            }
        });
        let nonce = Nonce::new(nonce.to_owned());
        let claims = token
            .claims(&verifier, &nonce)
            .map_err(|error| match error {
                openidconnect::ClaimsVerificationError::SignatureVerification(
                    SignatureVerificationError::NoMatchingKey,
                ) => NotVerified::UnknownKey,
                error => {
                    tracing::debug!(%error, "an ID token cannot be verified");
                    NotVerified::Invalid("does not verify")
                }
            })?;
        if let Some(party) = claims.authorized_party()
            && party.as_str() != registration.client_id
        {
            return Err(NotVerified::Invalid("of another authorized party"));
        }
        if let Some(expected) = claims.access_token_hash() {
            let algorithm = token
                .signing_alg()
                .map_err(|_| NotVerified::Invalid("algorithm"))?;
            let key = token
                .signing_key(&verifier)
                .map_err(|_| NotVerified::UnknownKey)?;
            let actual = AccessTokenHash::from_token(tokens.access_token(), algorithm, key);
            if actual.ok().as_ref() != Some(expected) {
                return Err(NotVerified::Invalid("of another access token"));
            }
        }
        let begins_at = strict.claims.get("nbf").map(Value::as_i64);
        let latest = now.saturating_add(SKEW).seconds();
        if begins_at.is_some_and(|begin| begin.is_none_or(|begin| begin > latest)) {
            return Err(NotVerified::Invalid("not valid yet"));
        }
        Ok(strict.claims)
    }

    async fn add_user_info(
        &self,
        found: &Found,
        tokens: &CoreTokenResponse,
        claims: &mut Map<String, Value>,
    ) -> Result<(), LoginError> {
        let endpoint = found.metadata.userinfo_endpoint();
        let endpoint = endpoint.ok_or(LoginError::Invalid(
            "the provider has no user info endpoint",
        ))?;
        let bearer = format!("Bearer {}", tokens.access_token().secret());
        let request = http::Request::get(endpoint.as_str())
            .header(http::header::AUTHORIZATION, bearer)
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| LoginError::Invalid("the user info endpoint is not a URL"))?;
        let response = self.outbound.send(request, LARGEST_ANSWER).await;
        let response = response.map_err(|error| unavailable(&error))?;
        if response.status() != http::StatusCode::OK {
            return Err(LoginError::Invalid("the provider returned no user info"));
        }
        let info = strict_json::object(response.body()).map_err(|_| {
            LoginError::Invalid("the user info of the provider is not a JSON object")
        })?;
        // OpenID Connect Core 1.0 §5.3.2: with a different `sub`, the response can belong to another person.
        if info.get("sub").and_then(Value::as_str).is_none() || info.get("sub") != claims.get("sub")
        {
            return Err(LoginError::Invalid("the user info has another subject"));
        }
        for (name, value) in info {
            if !PROTOCOL_CLAIMS.contains(&name.as_str()) {
                claims.insert(name, value);
            }
        }
        Ok(())
    }
}

type Exchange<'a> = Pin<
    Box<
        dyn Future<
                Output = Result<
                    CoreTokenResponse,
                    RequestTokenError<OutboundError, StandardErrorResponse<CoreErrorResponseType>>,
                >,
            > + Send
            + 'a,
    >,
>;

/// HTTP client of the `openidconnect` library.
struct Sender(Outbound);

impl<'c> AsyncHttpClient<'c> for Sender {
    type Error = OutboundError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, OutboundError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.0.send(request, LARGEST_ANSWER))
    }
}

#[derive(Debug)]
enum NotVerified {
    UnknownKey,
    Invalid(#[allow(dead_code, reason = "for the log")] &'static str),
}

/// Reads the time of the authentication (`auth_time`, `OpenID` Connect Core 1.0 §2). `since` is the time of the request
/// in seconds if the provider was asked to authenticate the person again. Without `since`, an invalid value is ignored.
///
/// # Errors
/// Returns [`LoginError::NotFresh`] if `since` is given and the claim is older or invalid. A missing claim is not an
/// error, because not every provider has to send it.
fn authentication_time(
    claims: &Map<String, Value>,
    since: Option<i64>,
    now: UnixMillis,
) -> Result<AuthenticationTime, LoginError> {
    let mut time = AuthenticationTime {
        at: None,
        was_requested: since.is_some(),
    };
    let Some(claim) = claims.get("auth_time") else {
        return Ok(time);
    };
    let skew = i64::try_from(AUTHENTICATION_SKEW.as_secs()).unwrap_or_default();
    let latest = now.seconds().saturating_add(skew).min(LATEST);
    let at = claim.as_i64().filter(|at| (1..=latest).contains(at));
    let is_since = |at: i64| since.is_none_or(|since| at.saturating_add(skew) >= since);
    match at {
        Some(at) if is_since(at) => {
            time.at = Some(UnixMillis::from_seconds(at).min(now));
            Ok(time)
        }
        _ if time.was_requested => Err(LoginError::NotFresh),
        _ => {
            tracing::warn!(%claim, "the auth_time of an ID token is not a time in seconds, or is in the future");
            Ok(time)
        }
    }
}

/// Checks that the response is of the same issuer (RFC 9207 §2.4). Otherwise a mix-up attack could send the code
/// of another issuer to this token endpoint.
fn check_issuer(metadata: &Metadata, issuer: Option<&str>) -> Result<(), LoginError> {
    let is_promised = metadata
        .additional_metadata()
        .authorization_response_iss_parameter_supported;
    match issuer {
        Some(issuer) if issuer == metadata.issuer().as_str() => Ok(()),
        Some(_) => Err(LoginError::Invalid("the response is from another issuer")),
        None if is_promised => Err(LoginError::Invalid("the response does not name its issuer")),
        None => Ok(()),
    }
}

fn identity(
    registration: &Registration<'_>,
    claims: Map<String, Value>,
    authenticated: AuthenticationTime,
) -> Result<ExternalIdentity, LoginError> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let is_verified = match claims.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        // Some providers send the value as a string.
        Some(Value::String(verified)) => verified == "true",
        Some(_) => false,
        None => registration.allows_unverified_email,
    };
    let email = text("email").filter(|_| is_verified).and_then(email);
    let identifier = match registration.identifier_claim {
        "" => text("sub").and_then(identifier),
        // An unverified address must not identify a person: anyone could enter another person's address in their
        // profile.
        "email" => email.clone(),
        claim => text(claim).and_then(identifier),
    };
    Ok(ExternalIdentity {
        identifier: identifier.ok_or(LoginError::Invalid(
            "the claim that identifies the person is missing or not verified",
        ))?,
        email,
        name: text("name").and_then(name),
        picture: text("picture").and_then(picture),
        claims,
        authenticated,
    })
}

/// Returns the scopes to request, without `openid`, which the library adds.
fn scopes(registration: &Registration<'_>) -> impl Iterator<Item = String> {
    let given = registration.scopes.iter().cloned();
    let default = DEFAULT_SCOPES.iter().map(ToString::to_string);
    let (given, default) = if registration.scopes.is_empty() {
        (None, Some(default))
    } else {
        (Some(given), None)
    };
    given
        .into_iter()
        .flatten()
        .chain(default.into_iter().flatten())
        .filter(|scope| scope != "openid")
}

fn redirect(registration: &Registration<'_>) -> Result<RedirectUrl, LoginError> {
    RedirectUrl::new(registration.redirect_url.to_owned())
        .map_err(|_| LoginError::Invalid("the callback is not a URL"))
}

fn time(at: UnixMillis) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp_millis(at.0).unwrap_or_default()
}

fn unavailable(error: &OutboundError) -> LoginError {
    Unavailable::because(error).into()
}
