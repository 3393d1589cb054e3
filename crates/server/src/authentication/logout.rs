//! Logout of a Session by its owner.

use api::core_v1::Session;
use domain::{kind::Kind, token::TokenType};
use store::{CommitError, Operation, Transaction};

use super::secret;
use crate::{
    Caller, Context, Error,
    audit::{self, Entry},
    document::load,
};

/// Ends the Session of a refresh token, even if the Session is no longer valid. Succeeds if the Session is already
/// gone.
///
/// # Errors
/// Returns `Unauthenticated` if the token does not belong to this Cluster or to this Session.
pub async fn logout(ctx: &Context, refresh_token: &str, caller: &Caller) -> Result<(), Error> {
    let claims = ctx
        .directory
        .verify(refresh_token, TokenType::Refresh)
        .await;
    let claims = claims.map_err(secret::from_unauthenticated)?;
    let now = ctx.now();
    let stored = load::with_token_ids::<Session>(&*ctx.store, claims.subject, now).await?;
    let Some(stored) = stored else {
        return Ok(());
    };
    let status = stored.message.status.as_ref();
    let token_id = claims.token_id.to_string();
    let is_own = status.is_some_and(|status| {
        let earlier = status.last_authentications.iter();
        status
            .authentication
            .iter()
            .chain(earlier)
            .any(|authentication| authentication.token_id == token_id)
    });
    if !is_own {
        return Err(secret::unauthenticated("token_superseded"));
    }
    let metadata = stored.message.metadata.as_ref();
    let mut transaction = Transaction::at(now);
    transaction.push(Operation::Delete(Kind::Session, stored.uid, None));
    let mut event = audit::done(
        ctx,
        caller,
        Entry {
            event_type: "session.ended",
            resource: metadata.map(|metadata| (Kind::Session, metadata)),
            user: None,
            session: metadata,
        },
    );
    event.user_ref = status.and_then(|status| status.user_ref.clone());
    transaction.push(Operation::Audit(event));
    match ctx.store.commit(transaction).await {
        Ok(committed) => {
            // A change is visible on this replica before it is acknowledged.
            ctx.directory.catch_up(committed.cursor).await;
            Ok(())
        }
        Err(CommitError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
