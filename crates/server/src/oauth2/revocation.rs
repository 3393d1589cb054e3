//! Token revocation (RFC 7009). It revokes one access token; other tokens of the Session stay valid.

use std::time::Duration;

use api::core_v1::Session;
use domain::{clock::UnixMillis, kind::Kind, token::TokenType};
use http::HeaderMap;
use store::{CommitError, Expected, Operation, Transaction};

use super::{Failure, FailureCode, Form, client, response::Reply};
use crate::{
    Caller, Context, Error, ErrorKind, Unauthenticated,
    audit::{self, Entry},
    authentication::secret::{Proof, Purpose},
    directory::revoked,
    document::load,
    hits::{Allowed, Key, TooMany},
};

const EVENT: &str = "token.revoked";
/// Maximum number of tokens that a client can revoke per [`WINDOW`]. Every replica remembers each one until it expires.
const MOST: u64 = 300;
const WINDOW: Duration = Duration::from_mins(1);

/// Revokes a token. Returns 200 if the token is invalid afterwards, also if it never was valid (RFC 7009 §2.2).
pub(super) async fn revoke(
    ctx: &Context,
    headers: &HeaderMap,
    form: &Form,
    caller: &Caller,
) -> Result<Reply, Failure> {
    let client = client::authenticate(ctx, headers, form, Purpose::Manage, caller, EVENT).await?;
    let Some(token) = form.get("token") else {
        return Err(Failure::new(
            FailureCode::InvalidRequest,
            "token is missing",
        ));
    };
    let claims = match ctx.directory.verify(token, TokenType::Access).await {
        Ok(claims) => claims,
        Err(Unauthenticated::Refused { .. }) => return Ok(Reply::Empty),
        Err(error @ Unauthenticated::Unavailable) => return Err(Error::unavailable(error).into()),
    };
    let now = ctx.now();
    let session = load::by_uid::<Session>(&*ctx.store, claims.subject, now)
        .await
        .map_err(Error::from)?;
    let Some(session) = session else {
        return Ok(Reply::Empty);
    };
    let status = session.message.status.as_ref();
    let by = status.and_then(|status| status.credential_ref.as_ref());
    if by.is_none_or(|by| by.uid != client.credential.uid.to_string()) {
        return Err(Failure::new(
            FailureCode::InvalidGrant,
            "the token was not issued to this client",
        ));
    }
    let Some(expires_at) = claims.expires_at else {
        return Ok(Reply::Empty);
    };
    limit(ctx, &client, now).await?;
    let mut transaction = Transaction::at(now);
    let record = revoked::record(claims.subject, claims.token_id, expires_at, now);
    transaction.push(Operation::Put(record, Expected::Absent));
    let credential = client.credential.message.metadata.as_ref();
    let mut event = audit::done(
        ctx,
        caller,
        Entry {
            event_type: EVENT,
            resource: credential.map(|metadata| (Kind::Credential, metadata)),
            user: None,
            session: session.message.metadata.as_ref(),
        },
    );
    event.user_ref = status.and_then(|status| status.user_ref.clone());
    event
        .attrs
        .insert("token".to_owned(), claims.token_id.to_string());
    transaction.push(Operation::Audit(event));
    match ctx.store.commit(transaction).await {
        Ok(committed) => {
            // A response with 200 guarantees that this replica applied the revocation.
            ctx.directory.catch_up(committed.cursor).await;
            Ok(Reply::Empty)
        }
        // It was revoked before.
        Err(CommitError::Conflict { .. } | CommitError::NameTaken { .. }) => Ok(Reply::Empty),
        Err(error) => Err(Error::from(error).into()),
    }
}

/// Limits revocations per client. Rotating the Credential revokes all of its tokens at once.
async fn limit(ctx: &Context, client: &Proof, now: UnixMillis) -> Result<(), Failure> {
    let key = Key::TokenRevocations(client.credential.uid);
    let allowed = Allowed {
        most: MOST,
        window: WINDOW,
    };
    let until = match ctx.count(key, allowed).await {
        Ok(()) => return Ok(()),
        Err(TooMany::Failed(error)) => return Err(error.into()),
        Err(TooMany::Until(until)) => until,
    };
    metrics::counter!("oauth2_revocations_limited_total").increment(1);
    let retry_after = until.since(now);
    Err(Error::new(
        ErrorKind::RateLimited { retry_after },
        "too many tokens were revoked in a minute; rotate the Credential to end all of its tokens at once",
    )
    .into())
}
