//! Access tokens for upstreams with the client credentials grant (RFC 6749 §4.4).

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use api::core_v1::service::spec::config::http::auth::OAuth2ClientCredentials as Spec;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode, Uri, header,
    uri::{PathAndQuery, Scheme},
};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use crate::{
    Config,
    body::RequestBody,
    problems::Problems,
    upstream::{Outgoing, SendError, Upstream},
};

const PATH: &str = "spec.config.http.auth.oauth2ClientCredentials";
/// The timeout for requesting a token.
const PATIENCE: Duration = Duration::from_secs(10);
const LARGEST_REPLY: usize = 64 * 1024;
/// The default lifetime of a token without `expires_in`, which RFC 6749 §5.1 only recommends.
const DEFAULT_LIFE: Duration = Duration::from_mins(5);
const LONGEST_LIFE: Duration = Duration::from_hours(24);
/// A token is replaced this long before it expires, or a tenth of its lifetime if that is shorter.
const MARGIN: Duration = Duration::from_mins(1);
/// The pause between attempts after a failure.
const REST: Duration = Duration::from_secs(1);

/// A cached token. If it is missing or expired, one request fetches another for all waiting callers.
pub(crate) struct TokenSource {
    upstream: Upstream,
    target: PathAndQuery,
    authorization: HeaderValue,
    form: Bytes,
    state: Mutex<State>,
    flight: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    failed_at: Option<Instant>,
}

struct Token {
    value: HeaderValue,
    fresh_until: Instant,
}

/// The reason why no token is available. It never contains the server's response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token endpoint failed a moment ago")]
    Resting,
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("the token endpoint took too long")]
    Timeout,
    #[error("the token endpoint responded with {0}")]
    Status(StatusCode),
    #[error("the response of the token endpoint is incomplete or too long")]
    Broken,
    #[error("the response of the token endpoint does not conform to RFC 6749")]
    Malformed,
}

#[derive(Deserialize)]
struct Reply {
    access_token: String,
    token_type: String,
    expires_in: Option<Seconds>,
}

/// Some servers send the number as a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

impl TokenSource {
    pub(super) fn compile(
        spec: &Spec,
        secret: &[u8],
        settings: &Config,
        problems: &mut Problems,
    ) -> Option<Self> {
        let Some((origin, target)) = endpoint(&spec.token_url, settings) else {
            problems.add(
                &format!("{PATH}.tokenURL"),
                "must be an https URL without fragment and user information",
            );
            return None;
        };
        if spec.client_id.is_empty() {
            problems.add(&format!("{PATH}.clientID"), "must be set");
            return None;
        }
        let Ok(secret) = std::str::from_utf8(secret.trim_ascii_end()) else {
            problems.add(PATH, "has a Secret that is not text");
            return None;
        };
        // RFC 6749 §2.3.1: form-encode each part, then use HTTP Basic.
        let encode =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = Zeroizing::new(format!("{}:{}", encode(&spec.client_id), encode(secret)));
        let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let mut authorization = HeaderValue::from_str(&basic).ok()?;
        authorization.set_sensitive(true);
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !spec.scopes.is_empty() {
            form.append_pair("scope", &spec.scopes.join(" "));
        }
        Some(Self {
            upstream: Upstream::outbound(&origin, settings, problems)?,
            target,
            authorization,
            form: Bytes::from(form.finish()),
            state: Mutex::default(),
            flight: tokio::sync::Mutex::new(()),
        })
    }

    /// Returns the value of `Authorization`.
    ///
    /// # Errors
    ///
    /// Returns a [`TokenError`] if no token is available. Within one second after a failure, the result is
    /// [`TokenError::Resting`] without another attempt.
    pub(crate) async fn value(&self) -> Result<HeaderValue, TokenError> {
        if let Some(value) = self.fresh()? {
            return Ok(value);
        }
        let _flight = self.flight.lock().await;
        // Another caller may have fetched a token while this one waited.
        if let Some(value) = self.fresh()? {
            return Ok(value);
        }
        let fetched = timeout(PATIENCE, self.fetch())
            .await
            .unwrap_or(Err(TokenError::Timeout));
        let mut state = self.state();
        match fetched {
            Ok(token) => {
                let value = token.value.clone();
                *state = State {
                    token: Some(token),
                    failed_at: None,
                };
                Ok(value)
            }
            Err(error) => {
                state.failed_at = Some(Instant::now());
                Err(error)
            }
        }
    }

    /// Drops a token that the upstream rejected, so that the next request fetches another.
    pub(crate) fn refused(&self, value: &HeaderValue) {
        let mut state = self.state();
        if state
            .token
            .as_ref()
            .is_some_and(|token| token.value == *value)
        {
            state.token = None;
        }
    }

    fn fresh(&self) -> Result<Option<HeaderValue>, TokenError> {
        let state = self.state();
        let now = Instant::now();
        match (&state.token, state.failed_at) {
            (Some(token), _) if now < token.fresh_until => Ok(Some(token.value.clone())),
            (_, Some(failed_at)) if now < failed_at + REST => Err(TokenError::Resting),
            _ => Ok(None),
        }
    }

    async fn fetch(&self) -> Result<Token, TokenError> {
        let asked_at = Instant::now();
        let mut request = Request::new(RequestBody::whole(self.form.clone()));
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, self.authorization.clone());
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let outgoing = Outgoing {
            request,
            target: self.target.clone(),
            host: None,
            transfer: None,
        };
        let answer = self.upstream.send(outgoing).await?;
        // Redirects are not followed.
        if answer.response.status() != StatusCode::OK {
            return Err(TokenError::Status(answer.response.status()));
        }
        let body = Limited::new(answer.response.into_body(), LARGEST_REPLY);
        let body = body.collect().await.map_err(|_| TokenError::Broken)?;
        if let Some(lease) = answer.lease {
            lease.release();
        }
        let reply: Reply =
            serde_json::from_slice(&body.to_bytes()).map_err(|_| TokenError::Malformed)?;
        let token = Token::new(&reply, asked_at);
        drop(Zeroizing::new(reply.access_token));
        token.ok_or(TokenError::Malformed)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Token {
    fn new(reply: &Reply, asked_at: Instant) -> Option<Self> {
        if !reply.token_type.eq_ignore_ascii_case("bearer") || reply.access_token.is_empty() {
            return None;
        }
        let text = Zeroizing::new(format!("Bearer {}", reply.access_token));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        let life = match &reply.expires_in {
            None => DEFAULT_LIFE,
            Some(Seconds::Number(seconds)) => Duration::from_secs(*seconds),
            Some(Seconds::Text(text)) => Duration::from_secs(text.parse().ok()?),
        };
        let life = life.min(LONGEST_LIFE);
        Some(Self {
            value,
            fresh_until: asked_at + life.saturating_sub(MARGIN.min(life / 10)),
        })
    }
}

/// Splits a URL into its origin and its target. Returns `None` if the URL is not allowed.
fn endpoint(url: &str, settings: &Config) -> Option<(String, PathAndQuery)> {
    if url.contains(['#', '@']) {
        return None;
    }
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme()?;
    let has_networks = !settings.outbound_networks.is_empty();
    let is_safe = *scheme == Scheme::HTTPS || (*scheme == Scheme::HTTP && has_networks);
    let target = uri.path_and_query()?.clone();
    is_safe.then(|| {
        (
            format!("{scheme}://{}", uri.authority().map_or("", |a| a.as_str())),
            target,
        )
    })
}
