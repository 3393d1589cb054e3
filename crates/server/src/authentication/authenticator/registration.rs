//! The end of a registration, whatever the type: the Authenticator counts from then on.

use std::borrow::Cow;

use api::{
    core_v1::{Authenticator, authenticator::status::Type, session::status::AuthenticatorAction},
    resource::Object as _,
};
use domain::{authenticator, kind::Kind, session};
use store::{CommitError, Expected, Operation, SecretWrite, Transaction};

use super::{ATTEMPTS, Holder, Which, is_race, manage, raise};
use crate::{
    Caller, Context, Error, ErrorKind, audit,
    authentication::active::MayLackFirstAuthenticator,
    resource::codec::{self, Stored},
};

/// A registration that was verified.
pub(crate) struct Registration {
    /// As it was read.
    pub(crate) stored: Stored<Authenticator>,
    /// With everything that its type has; whether it is registered is set here.
    pub(crate) registered: Authenticator,
    /// What of it is sealed.
    pub(crate) secret: SecretWrite,
    /// What is used up by it.
    pub(crate) operations: Vec<Operation>,
}

/// The Authenticator of `holder` that is to be registered, and may be.
///
/// # Errors
/// `NotFound`; `FailedPrecondition` where it is registered already or of another type; `PermissionDenied` where the
/// holder may not add any now.
pub(crate) async fn registering(
    ctx: &Context,
    holder: &Holder,
    which: &Which<'_>,
    r#type: Type,
) -> Result<Stored<Authenticator>, Error> {
    let now = ctx.now();
    let holder = MayLackFirstAuthenticator::check(ctx, holder, now).await?;
    holder.check_fresh(ctx, now).await?;
    let stored = manage::find(ctx, &holder, which).await?;
    let name = stored.message.name();
    if authenticator::is_registered(&stored.message) {
        return Err(Error::precondition(format!(
            "The Authenticator {name} is registered already: delete it, and create another"
        ))
        .because("authenticator_registered"));
    }
    let own = authenticator::type_of(&stored.message);
    if own != r#type {
        return Err(Error::precondition(format!(
            "The Authenticator {name} is of type {}, not of {}",
            own.as_str_name(),
            r#type.as_str_name()
        )));
    }
    Ok(stored)
}

/// Registers what `verified` makes of the Authenticator as it is then, as often as a race is lost.
///
/// # Errors
/// As [`registering`]; those of `verified`; `PermissionDenied` where what is used up by it was used already;
/// `AlreadyExists` where another has the same credential or key.
pub(crate) async fn complete(
    ctx: &Context,
    holder: &Holder,
    which: &Which<'_>,
    r#type: Type,
    caller: &Caller,
    verified: impl Fn(Stored<Authenticator>) -> Result<Registration, Error>,
) -> Result<Authenticator, Error> {
    let mut holder = Cow::Borrowed(holder);
    for _ in 0..ATTEMPTS {
        let stored = registering(ctx, &holder, which, r#type).await?;
        let registration = verified(stored)?;
        let checked = MayLackFirstAuthenticator::check(ctx, &holder, ctx.now()).await?;
        match register(ctx, &checked, registration, caller).await {
            Ok(registered) => return Ok(registered),
            Err(CommitError::RecordTaken) => return Err(used_already()),
            Err(error) if is_race(&error) => holder = Cow::Owned(holder.again(ctx).await?),
            Err(CommitError::IndexTaken { .. }) => {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    "This is registered already, perhaps for another User",
                )
                .because("authenticator_taken"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::unavailable("the registration lost too many races"))
}

/// What somebody is told whose answer to a challenge was used before.
pub(super) fn used_already() -> Error {
    Error::denied("This answer was used already. Try it again").because("used_already")
}

/// Registers it. A Session that had to wait for that, or was asked to, does no longer.
///
/// # Errors
/// Those of the transaction: a conflict where the Authenticator or the Session has changed; a taken index where
/// another has the same credential or key.
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
    transaction.push(raise::unchanged_user(holder));
    transaction.push(Operation::Put(
        codec::encode(stored.uid, stored.created_at, &registered, secret),
        Expected::Revision(stored.revision),
    ));
    let waited = matches!(
        session::action(&session),
        AuthenticatorAction::RegistrationRequired | AuthenticatorAction::RegistrationRecommended
    );
    // One that an administrator has to approve first is none yet.
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
        raise::entry(holder, "authenticator.registered", &registered),
    )));
    raise::commit(ctx, transaction).await?;
    Ok(registered)
}
