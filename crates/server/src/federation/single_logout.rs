//! Ends Sessions when their identity provider requests it (single logout, back-channel logout).

use api::{
    core_v1::{
        Session,
        session::status::authentication::info::{Details, IdentityProvider},
    },
    resource::Object as _,
};
use domain::kind::Kind;
use store::{CommitError, Operation, Transaction};

use crate::{
    Caller, Context, Error, ErrorKind,
    audit::{self, Entry},
    authentication::identity::SingleUse,
    directory::ProviderEntry,
    document::load,
    transaction::{Attempts, retry_conflict},
};

/// The limit of a query for all Sessions. A User has at most 10,000, and the deletion of a User also ends them in one
/// transaction.
const SESSIONS: u32 = u32::MAX >> 8;

/// A selector of the Sessions to end.
pub(super) struct SessionSelector<'a, F> {
    /// Index to search.
    pub(super) index: &'static str,
    /// Value in the index.
    pub(super) key: &'a str,
    /// Predicate that selects among the Sessions found.
    pub(super) matches: F,
}

/// Ends the selected Sessions in the transaction that redeems the request. Succeeds if no Session matches.
///
/// One transaction ends all of them: if it fails, the request is not redeemed, and the provider can repeat it. With
/// several transactions, a crash in between would leave Sessions that a repeated request cannot end.
///
/// # Errors
/// Returns `Unauthenticated` if `used` was already used.
pub(super) async fn end_sessions<F: Fn(&IdentityProvider) -> bool>(
    ctx: &Context,
    entry: &ProviderEntry,
    used: &SingleUse,
    selector: SessionSelector<'_, F>,
    caller: &Caller,
) -> Result<(), Error> {
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let found =
            load::by_index::<Session>(&*ctx.store, selector.index, selector.key, SESSIONS, now)
                .await?;
        let mut transaction = Transaction::at(now);
        transaction.push(used.operation());
        let selected = found
            .0
            .iter()
            .filter(|session| initial_identity(&session.message).is_some_and(&selector.matches));
        for session in selected {
            transaction.push(Operation::Delete(Kind::Session, session.uid, None));
            let mut event = audit::done(
                ctx,
                caller,
                Entry {
                    event_type: "session.ended",
                    resource: session.message.metadata().map(|of| (Kind::Session, of)),
                    user: None,
                    session: None,
                },
            );
            let name = entry.name().to_owned();
            event.attrs.insert("identityProvider".to_owned(), name);
            transaction.push(Operation::Audit(event));
        }
        match ctx.store.commit(transaction).await {
            Ok(committed) => {
                ctx.directory.catch_up(committed.cursor).await;
                return Ok(());
            }
            Err(CommitError::RecordTaken) => return Err(unknown_sender("used_already")),
            // One of the Sessions ended in the meantime.
            Err(error) => retry_conflict(error)?,
        }
    }
}

/// Returns the identity that the provider proved when the Session was created.
pub(super) fn initial_identity(session: &Session) -> Option<&IdentityProvider> {
    let info = session
        .status()?
        .initial_authentication
        .as_ref()?
        .info
        .as_ref()?;
    match info.details.as_ref()? {
        Details::IdentityProvider(by) => Some(by),
        _ => None,
    }
}

/// The error for a request that no provider of this Cluster sent.
pub(super) fn unknown_sender(reason: &'static str) -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "This request is not from an identity provider of this Cluster. No Session was ended.",
    )
    .because(reason)
}
