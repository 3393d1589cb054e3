//! Completion of a registration, the same for all types of Authenticators.

use std::borrow::Cow;

use api::{
    core_v1::{Authenticator, authenticator::status::Type, session::status::AuthenticatorAction},
    resource::Object as _,
};
use domain::{authenticator, kind::Kind, session};
use store::{CommitError, Expected, Operation, SecretWrite, Transaction};

use super::{AuthenticatorSelector, Holder, manage, step_up};
use crate::{
    Caller, Context, Error, ErrorKind, audit,
    authentication::active::MayLackFirstAuthenticator,
    document::codec::{self, Stored},
    transaction::{Attempts, retry_conflict},
};

/// A verified registration.
pub(crate) struct Registration {
    /// The Authenticator as it was read.
    pub(crate) stored: Stored<Authenticator>,
    /// The Authenticator with the facts of its type. [`complete`] marks it as registered.
    pub(crate) registered: Authenticator,
    /// The secret to seal with the document.
    pub(crate) secret: SecretWrite,
    /// Operations that redeem the challenge.
    pub(crate) operations: Vec<Operation>,
}

/// Finds the Authenticator of `holder` and checks that it can be registered now.
///
/// # Errors
/// Returns `NotFound` if the User has no such Authenticator, `FailedPrecondition` if it is already registered or has
/// another type, or `PermissionDenied` if the holder cannot add Authenticators now.
pub(crate) async fn registering(
    ctx: &Context,
    holder: &Holder,
    which: &AuthenticatorSelector<'_>,
    r#type: Type,
) -> Result<Stored<Authenticator>, Error> {
    let now = ctx.now();
    let holder = MayLackFirstAuthenticator::check(ctx, holder, now).await?;
    holder.check_fresh(ctx, now).await?;
    let stored = manage::find(ctx, &holder, which).await?;
    let name = stored.message.name();
    if authenticator::is_registered(&stored.message) {
        return Err(Error::precondition(format!(
            "The Authenticator {name} is already registered: delete it, and create another one"
        ))
        .because("authenticator_registered"));
    }
    let own = authenticator::type_of(&stored.message);
    if own != r#type {
        return Err(Error::precondition(format!(
            "The Authenticator {name} has the type {}, not {}",
            own.as_str_name(),
            r#type.as_str_name()
        )));
    }
    Ok(stored)
}

/// Registers the Authenticator that `verified` builds from its current state. Retries after a conflict.
///
/// # Errors
/// Returns the errors of [`registering`] and of `verified`, `PermissionDenied` if the challenge was already redeemed,
/// or `AlreadyExists` if another Authenticator has the same credential or key.
pub(crate) async fn complete(
    ctx: &Context,
    holder: &Holder,
    which: &AuthenticatorSelector<'_>,
    r#type: Type,
    caller: &Caller,
    verified: impl Fn(Stored<Authenticator>) -> Result<Registration, Error>,
) -> Result<Authenticator, Error> {
    let mut holder = Cow::Borrowed(holder);
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let stored = registering(ctx, &holder, which, r#type).await?;
        let registration = verified(stored)?;
        let checked = MayLackFirstAuthenticator::check(ctx, &holder, ctx.now()).await?;
        match register(ctx, &checked, registration, caller).await {
            Ok(registered) => return Ok(registered),
            Err(CommitError::RecordTaken) => return Err(used_already()),
            Err(CommitError::IndexTaken { .. }) => {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    "This authenticator is already registered, perhaps for another User",
                )
                .because("authenticator_taken"));
            }
            Err(error) => {
                retry_conflict(error)?;
                holder = Cow::Owned(holder.reload(ctx).await?);
            }
        }
    }
}

/// The error for a challenge that was already redeemed.
pub(super) fn used_already() -> Error {
    Error::denied("This response was already used. Try again").because("used_already")
}

/// Registers the Authenticator. A Session that waited for the registration stops waiting.
///
/// # Errors
/// Returns a conflict if the Authenticator or the Session changed, or [`CommitError::IndexTaken`] if another
/// Authenticator has the same credential or key.
async fn register(
    ctx: &Context,
    holder: &MayLackFirstAuthenticator<'_>,
    registration: Registration,
    caller: &Caller,
) -> Result<Authenticator, CommitError> {
    let now = ctx.now();
    let Registration {
        stored,
        mut registered,
        secret,
        operations,
    } = registration;
    let mut session = holder.session.message.clone();
    let status = registered.status_mut();
    status.is_registered = true;
    if !session::is_browser(&session) {
        status.device_ref = session
            .status
            .as_ref()
            .and_then(|status| status.device_ref.clone());
    }
    let mut transaction = Transaction::at(now);
    transaction.operations.extend(operations);
    transaction.push(step_up::unchanged_user(holder));
    transaction.push(Operation::Put(
        codec::encode(stored.uid, stored.created_at, &registered, secret),
        Expected::Revision(stored.revision),
    ));
    let waited = matches!(
        session::action(&session),
        AuthenticatorAction::RegistrationRequired | AuthenticatorAction::RegistrationRecommended
    );
    // An Authenticator that an administrator must approve first does not count yet.
    if waited && authenticator::is_usable(&registered) {
        session
            .status_mut()
            .set_authenticator_action(AuthenticatorAction::Unset);
        transaction.push(Operation::Put(
            codec::encode(
                holder.session.uid,
                holder.session.created_at,
                &session,
                SecretWrite::Keep,
            ),
            Expected::Revision(holder.session.revision),
        ));
    } else {
        transaction.push(Operation::Unchanged(
            Kind::Session,
            holder.session.uid,
            holder.session.revision,
        ));
    }
    transaction.push(Operation::Audit(audit::done(
        ctx,
        caller,
        step_up::entry(holder, "authenticator.registered", &registered),
    )));
    step_up::commit(ctx, transaction).await?;
    Ok(registered)
}
