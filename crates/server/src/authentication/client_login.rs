//! Login of a command-line client that a User approves in a browser.
//!
//! The client listens on the loopback interface of its machine, creates a secret, and sends the hash to the Cluster
//! (like PKCE, RFC 7636). The browser passes it an authentication token that works once, within one minute, and only
//! with that secret. Other programs on the machine cannot use the token.

use std::time::Duration;

use api::{
    auth_v1::{ClientLoginRequest, ClientLoginResponse, client_login_request::ApiVersion},
    core_v1::{
        Credential,
        credential::{
            Spec, Status,
            spec::{Authorization, Type},
            status::Pkce,
        },
        session::status::Type as SessionType,
    },
    meta_v1::Metadata,
    resource::Object as _,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    clock::UnixMillis,
    credential::{self, Rotation},
    id::Uid,
    kind::Kind,
    rng, session,
    token::Token,
};
use prost::Message as _;
use store::{CommitError, Expected, Operation, SecretWrite, Transaction};

use super::{
    active::{ActiveSession, NotActive},
    issue,
};
use crate::{
    Caller, Context, Error,
    audit::{self, Entry},
    document::codec::{self, Stored},
    transaction::{Attempts, retry_conflict},
};

const LIFETIME: Duration = Duration::from_mins(1);
/// Longer than a client waits.
const REMEMBERED: Duration = Duration::from_hours(1);
/// Single-use record of an answered request.
const ANSWERED: &str = "client-login-answered";
const CHALLENGE_BYTES: usize = 32;
const LOWEST_PORT: u32 = 10_000;
const LONGEST_REQUEST: usize = 512;
const ID_ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// The request of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLogin {
    /// The address at which the client listens.
    pub callback: Callback,
    challenge: [u8; CHALLENGE_BYTES],
    shows_code: bool,
}

/// The address of a client on the machine of the browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// Port on the loopback interface.
    pub port: u16,
    /// Suffix of the callback path.
    suffix: String,
}

impl Callback {
    /// Creates a callback. Returns `None` if the port is below 10000, or the suffix is not 4 to 8 ASCII letters and
    /// digits.
    pub fn new(port: u32, suffix: String) -> Option<Self> {
        let is_suffix = (4..=8).contains(&suffix.len())
            && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let port = u16::try_from(port).ok().filter(|_| port >= LOWEST_PORT)?;
        is_suffix.then_some(Self { port, suffix })
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    pub(crate) fn suffix(&self) -> &str {
        &self.suffix
    }

    /// Returns the URL that passes `response` to the client.
    pub(crate) fn answer(&self, response: &[u8]) -> String {
        format!(
            "{}/callback/success/{}?octelium_response={}",
            self.origin(),
            self.suffix,
            URL_SAFE_NO_PAD.encode(response)
        )
    }
}

/// The reason why a request cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// The request cannot be decoded.
    #[error("it cannot be read")]
    Malformed,
    /// The request has no code challenge. Anyone who sees the response could use it.
    #[error("it has no code challenge")]
    NoChallenge,
}

impl ClientLogin {
    /// Decodes a request: base64url of a `ClientLoginRequest`.
    ///
    /// # Errors
    /// Returns [`InvalidRequest`] if the text cannot be decoded or has no code challenge.
    pub fn read(text: &str) -> Result<Self, InvalidRequest> {
        if text.len() > LONGEST_REQUEST {
            return Err(InvalidRequest::Malformed);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text);
        let bytes = bytes.map_err(|_| InvalidRequest::Malformed)?;
        let request = ClientLoginRequest::decode(&*bytes).map_err(|_| InvalidRequest::Malformed)?;
        let is_version = matches!(request.api_version(), ApiVersion::V1 | ApiVersion::V2);
        let callback = Callback::new(request.callback_port, request.callback_suffix);
        let (Some(callback), true) = (callback, is_version) else {
            return Err(InvalidRequest::Malformed);
        };
        if request.code_challenge.is_empty() {
            return Err(InvalidRequest::NoChallenge);
        }
        let challenge = request.code_challenge.as_slice().try_into();
        Ok(Self {
            callback,
            challenge: challenge.map_err(|_| InvalidRequest::Malformed)?,
            shows_code: request.shows_code,
        })
    }

    /// Returns the code that identifies this request, or `None` if the client does not show one to compare.
    pub fn code(&self) -> Option<String> {
        let [a, b, c, d, ..] = self.challenge;
        self.shows_code
            .then(|| format!("{a:02X}{b:02X}-{c:02X}{d:02X}"))
    }

    /// Returns the URL that passes `token` to the client.
    pub(crate) fn answer(&self, token: &str) -> String {
        let answer = ClientLoginResponse {
            authentication_token: token.to_owned(),
            code_challenge: self.challenge.to_vec(),
        };
        self.callback.answer(&answer.encode_to_vec())
    }
}

/// Approves the login of the client as the User of `by`. Returns the URL for the browser.
///
/// # Errors
/// Returns `FailedPrecondition` if the request was already answered, or if `by` or an object it depends on has
/// changed.
pub(crate) async fn approve(
    ctx: &Context,
    login: &ClientLogin,
    by: &ActiveSession,
    caller: &Caller,
) -> Result<String, Error> {
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let stored = new_credential(ctx, by, Some(&login.challenge), now)?;
        let mut transaction = Transaction::at(now);
        transaction.push(answer_record(login, now));
        by.guard(&mut transaction);
        transaction.push(put(&stored, now));
        transaction.push(Operation::Audit(event(
            ctx,
            by,
            caller,
            "client_login.approved",
            stored.message.metadata.as_ref(),
        )));
        match ctx.store.commit(transaction).await {
            Ok(_) => {
                let token = issue::secret(ctx, &stored, now)?;
                return Ok(login.answer(token.expose()));
            }
            // Draws another random name and id. A conflict is final, because `by` is not read again.
            Err(CommitError::NameTaken { .. } | CommitError::IndexTaken { .. }) => {}
            Err(error) => return Err(commit_error(error)),
        }
    }
}

/// Rejects the login of the client.
///
/// # Errors
/// Returns `FailedPrecondition` if the request was already answered.
pub(crate) async fn reject(
    ctx: &Context,
    login: &ClientLogin,
    by: &ActiveSession,
    caller: &Caller,
) -> Result<(), Error> {
    let now = ctx.now();
    let mut transaction = Transaction::at(now);
    transaction.push(answer_record(login, now));
    let event = event(ctx, by, caller, "client_login.rejected", None);
    transaction.push(Operation::Audit(event));
    ctx.store.commit(transaction).await.map_err(commit_error)?;
    Ok(())
}

/// Creates an authentication token for the User of the Session `by`. The token works once, within one minute, with the
/// Policies attached to that Session.
///
/// # Errors
/// Returns [`NotActive::Refused`] if the Session is not active now.
pub(super) async fn one_time_token(ctx: &Context, by: Uid) -> Result<Token, NotActive> {
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let by = ActiveSession::read(ctx, by, now).await?;
        let stored = new_credential(ctx, &by, None, now)?;
        let mut transaction = Transaction::at(now);
        by.guard(&mut transaction);
        transaction.push(put(&stored, now));
        match ctx.store.commit(transaction).await {
            Ok(_) => return Ok(issue::secret(ctx, &stored, now)?),
            // Draws another random id.
            Err(CommitError::IndexTaken { .. }) => {}
            Err(error) => retry_conflict(error).map_err(Error::from)?,
        }
    }
}

fn put(stored: &Stored<Credential>, now: UnixMillis) -> Operation {
    let mut document = codec::encode(stored.uid, now, &stored.message, SecretWrite::Keep);
    // A Credential that is never redeemed expires.
    document.expires_at = Some(now.saturating_add(LIFETIME));
    Operation::Put(document, Expected::Absent)
}

fn answer_record(login: &ClientLogin, now: UnixMillis) -> Operation {
    Operation::Record {
        kind: ANSWERED,
        key: login.challenge.to_vec(),
        value: Vec::new(),
        expires_at: now.saturating_add(REMEMBERED),
    }
}

fn commit_error(error: CommitError) -> Error {
    match error {
        CommitError::RecordTaken => Error::precondition(
            "This request was already answered. Start the login again in your terminal.",
        )
        .because("used_already"),
        CommitError::Conflict { .. } => {
            Error::precondition("Your Session changed in the meantime. Go back and try again.")
        }
        error => error.into(),
    }
}

/// Builds a Credential for one login, with the Policies attached to the Session that requests it.
fn new_credential(
    ctx: &Context,
    by: &ActiveSession,
    challenge: Option<&[u8; CHALLENGE_BYTES]>,
    now: UnixMillis,
) -> Result<Stored<Credential>, Error> {
    let uid = ctx.new_uid();
    let part = || rng::random_string(&*ctx.rng, ID_ALPHABET, 4);
    let (user, session) = (&by.user().message, by.session());
    let own = session.spec().and_then(|spec| spec.authorization.clone());
    let mut credential = Credential {
        metadata: Some(Metadata {
            uid: uid.to_string(),
            name: session::new_name(&format!("login-{}", user.name()), &*ctx.rng),
            created_at: Some(now.to_proto()),
            is_system: true,
            is_system_hidden: true,
            is_user_hidden: true,
            ..Metadata::default()
        }),
        spec: Some(Spec {
            r#type: Type::AuthToken.into(),
            user: user.name().to_owned(),
            max_authentications: 1,
            auto_delete: true,
            expires_at: Some(now.saturating_add(LIFETIME).to_proto()),
            session_type: SessionType::Client.into(),
            authorization: own.map(|own| Authorization {
                policies: own.policies,
                inline_policies: own.inline_policies,
            }),
            ..Spec::default()
        }),
        status: Some(Status {
            user_ref: Some(user.reference()),
            id: format!("{}-{}", part(), part()),
            pkce: challenge.map(|challenge| Pkce {
                code_challenge: challenge.to_vec(),
            }),
            ..Status::default()
        }),
        ..Credential::default()
    };
    credential.stamp();
    credential::rotate(&mut credential, Rotation::EndSessions, ctx.new_uid(), now)
        .map_err(|refusal| Error::internal(refusal.to_string()))?;
    Ok(Stored {
        uid,
        revision: store::Revision(0),
        created_at: now,
        message: credential,
    })
}

fn event(
    ctx: &Context,
    by: &ActiveSession,
    caller: &Caller,
    event_type: &'static str,
    credential: Option<&Metadata>,
) -> api::platform_v1::AuditEvent {
    audit::done(
        ctx,
        caller,
        Entry {
            event_type,
            resource: credential.map(|metadata| (Kind::Credential, metadata)),
            user: by.user().message.metadata.as_ref(),
            session: by.session().metadata.as_ref(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> ClientLoginRequest {
        ClientLoginRequest {
            api_version: ApiVersion::V1.into(),
            callback_port: 34567,
            callback_suffix: "aB3dE6gH".to_owned(),
            code_challenge: vec![0xab; CHALLENGE_BYTES],
            shows_code: true,
        }
    }

    fn read(change: impl FnOnce(&mut ClientLoginRequest)) -> Result<ClientLogin, InvalidRequest> {
        let mut request = request();
        change(&mut request);
        ClientLogin::read(&URL_SAFE_NO_PAD.encode(request.encode_to_vec()))
    }

    #[test]
    fn login_requests_are_parsed_and_others_refused() {
        let login = read(|_| ()).unwrap();
        assert_eq!(login.callback.port, 34567);
        assert_eq!(login.code().as_deref(), Some("ABAB-ABAB"));
        let silent = read(|request| request.shows_code = false).unwrap();
        assert_eq!(silent.code(), None);
        let answer = login.answer("token");
        assert!(
            answer
                .starts_with("http://localhost:34567/callback/success/aB3dE6gH?octelium_response=")
        );
    }

    #[test]
    fn w21_a_code_challenge_is_required() {
        let without = read(|request| request.code_challenge.clear());
        assert_eq!(without, Err(InvalidRequest::NoChallenge));
        let short = read(|request| request.code_challenge.truncate(31));
        assert_eq!(short, Err(InvalidRequest::Malformed));
    }

    #[test]
    fn w08_a_request_returns_only_to_a_high_port_of_this_machine() {
        let malformed = Err(InvalidRequest::Malformed);
        for port in [0, 80, 9999, 65_536, u32::MAX] {
            assert_eq!(read(|request| request.callback_port = port), malformed);
        }
        for suffix in ["", "abc", "abcdefghi", "a/b?c", "../a", "abc\u{e4}", "ab@c"] {
            assert_eq!(
                read(|request| suffix.clone_into(&mut request.callback_suffix)),
                malformed,
                "{suffix}"
            );
        }
        assert_eq!(read(|request| request.api_version = 7), malformed);
        for text in ["", "!", "AA", &"A".repeat(513)] {
            assert_eq!(ClientLogin::read(text), malformed);
        }
    }
}
