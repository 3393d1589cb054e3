//! The outcome of an authentication with an Authenticator: records success or failure, and raises the Session, in one
//! transaction.

use api::{
    auth_v1::SessionToken,
    core_v1::{
        Authenticator, Session,
        authenticator::status::Type,
        cluster_config::spec::authenticator::rule::Effect,
        session::status::authentication::{Info, info::authenticator::info::Fido},
    },
    resource::Object as _,
};
use domain::{authenticator, clock::UnixMillis, kind::Kind, session};
use store::{CommitError, Expected, Operation, SecretWrite, Transaction};

use super::{Factors, Holder};
use crate::{
    Caller, Context, Error,
    audit::{self, Entry},
    authentication::{SessionTokens, active::MayAwaitAuthenticator},
    document::codec::{self, Stored},
};

const EVENT: &str = "authenticator.used";

/// A verified response.
pub(crate) struct Proof {
    /// The Authenticator as it was read.
    pub(crate) stored: Stored<Authenticator>,
    /// The Authenticator with the changes of the response, such as a counter or a time step.
    pub(crate) used: Authenticator,
    /// The facts that a FIDO credential proved.
    pub(crate) fido: Option<Fido>,
    /// Operations that redeem the challenge.
    pub(crate) operations: Vec<Operation>,
}

/// The reason why a Session was not raised.
pub(crate) enum StepUpFailed {
    /// A rule denies it.
    Denied(Error),
    /// The transaction failed.
    Commit(CommitError),
}

/// Checks that the holder can use this Authenticator now.
///
/// # Errors
/// Returns `FailedPrecondition` if the Authenticator is not registered, or `PermissionDenied` if it cannot be used in
/// this Session.
pub(crate) fn usable(
    holder: &Holder,
    stored: &Stored<Authenticator>,
    all: &[Stored<Authenticator>],
) -> Result<(), Error> {
    let all = all.iter().map(|one| &one.message);
    usable_by(&holder.session.message, &stored.message, all)
}

/// Checks that this Authenticator can raise `session` now. `all` are the Authenticators of the User.
///
/// # Errors
/// Returns the errors of [`usable`].
pub(crate) fn usable_by<'a>(
    session: &Session,
    authenticator: &Authenticator,
    all: impl IntoIterator<Item = &'a Authenticator>,
) -> Result<(), Error> {
    let name = authenticator.name();
    if !authenticator::is_registered(authenticator) {
        return Err(
            Error::precondition(format!("The Authenticator {name} is not registered yet"))
                .because("authenticator_unregistered"),
        );
    }
    if !authenticator::is_usable(authenticator) {
        return Err(Error::denied(format!(
            "The Authenticator {name} is not ACTIVE: an administrator must approve it"
        ))
        .because("authenticator_inactive"));
    }
    let r#type = authenticator::type_of(authenticator);
    if !authenticator::fits(session, r#type) {
        return Err(Error::denied(format!(
            "A Session of this type cannot use the Authenticator {name}, which has the type {}",
            r#type.as_str_name()
        ))
        .because("authenticator_type"));
    }
    let pinned = authenticator::required(session).and_then(|required| {
        let mut all = all.into_iter();
        let found = all.find(|one| one.uid() == required.uid)?;
        Some(authenticator::type_of(found))
    });
    if !authenticator::can_replace_pinned(session, authenticator, pinned) {
        let required = authenticator::required(session).map_or("", |required| &required.name);
        return Err(Error::denied(format!(
            "The Session requires the Authenticator {required}; {name} cannot replace it"
        ))
        .because("authenticator_pinned"));
    }
    if !authenticator::is_of_device(authenticator, session) {
        return Err(Error::denied(format!(
            "The Authenticator {name} belongs to another Device"
        ))
        .because("authenticator_device"));
    }
    Ok(())
}

/// Raises the Session of `holder` if the rules of the Cluster allow it. If they deny it, the challenge is redeemed
/// anyway.
///
/// # Errors
/// Returns [`StepUpFailed`] if a rule denies it or the transaction fails.
pub(crate) async fn step_up(
    ctx: &Context,
    holder: &MayAwaitAuthenticator<'_>,
    proof: Proof,
    factors: Option<&Factors>,
    caller: &Caller,
) -> Result<Session, StepUpFailed> {
    let now = ctx.now();
    let mut session = holder.session.message.clone();
    let info = session::authenticator_info(
        &proof.used,
        session::mode(&session),
        proof.fido.clone(),
        ctx.client_origin(caller),
    );
    let mut transaction = Transaction::at(now);
    transaction
        .operations
        .extend(proof.operations.iter().cloned());
    if let Some(factors) = factors {
        transaction.push(factors.with_success());
    }
    let denied = denied(ctx, holder, &proof, &info, now);
    let mut used = proof.used;
    authenticator::record(&mut used, denied.is_ok(), now);
    bind(&mut session, &mut used, denied.is_ok());
    transaction.push(Operation::Put(
        codec::encode(
            proof.stored.uid,
            proof.stored.created_at,
            &used,
            SecretWrite::Keep,
        ),
        Expected::Revision(proof.stored.revision),
    ));
    if let Err(error) = denied {
        let reason = error.reason().unwrap_or("authenticator_denied");
        transaction.push(Operation::Audit(audit::refused(
            ctx,
            caller,
            entry(holder, EVENT, &used),
            reason,
        )));
        commit(ctx, transaction)
            .await
            .map_err(StepUpFailed::Commit)?;
        return Err(StepUpFailed::Denied(error));
    }
    session::step_up(&mut session, &used, ctx.new_uid(), now, info);
    transaction.push(unchanged_user(holder));
    transaction.push(Operation::Put(
        codec::encode(
            holder.session.uid,
            holder.session.created_at,
            &session,
            SecretWrite::Keep,
        ),
        Expected::Revision(holder.session.revision),
    ));
    transaction.push(Operation::Audit(audit::done(
        ctx,
        caller,
        entry(holder, EVENT, &used),
    )));
    commit(ctx, transaction)
        .await
        .map_err(StepUpFailed::Commit)?;
    Ok(session)
}

/// Records a wrong response; with `factors`, also a failed guess. `operations` redeem the challenge.
///
/// # Errors
/// Returns the error of the transaction.
pub(crate) async fn failed(
    ctx: &Context,
    holder: &Holder,
    stored: &Stored<Authenticator>,
    factors: Option<&Factors>,
    operations: &[Operation],
    reason: &'static str,
    caller: &Caller,
) -> Result<(), CommitError> {
    let now = ctx.now();
    let mut transaction = Transaction::at(now);
    transaction.operations.extend(operations.iter().cloned());
    let mut used = stored.message.clone();
    authenticator::record(&mut used, false, now);
    transaction.push(Operation::Put(
        codec::encode(stored.uid, stored.created_at, &used, SecretWrite::Keep),
        Expected::Revision(stored.revision),
    ));
    transaction.push(Operation::Audit(audit::refused(
        ctx,
        caller,
        entry(holder, EVENT, &used),
        reason,
    )));
    if let Some(factors) = factors {
        push_failure(ctx, &mut transaction, holder, factors, caller, now);
    }
    commit(ctx, transaction).await
}

/// Returns the operation that fails if the User changed or was deleted. It keeps data of a deleted User from being
/// written.
pub(super) fn unchanged_user(holder: &Holder) -> Operation {
    Operation::Unchanged(Kind::User, holder.user.uid, holder.user.revision)
}

/// Adds the operations that count a failed guess. If this failure blocks further guesses, adds a separate audit event
/// for alerts.
pub(super) fn push_failure(
    ctx: &Context,
    transaction: &mut Transaction,
    holder: &Holder,
    factors: &Factors,
    caller: &Caller,
    now: UnixMillis,
) {
    let (write, is_blocked) = factors.with_failure(now);
    transaction.push(write);
    transaction.push(unchanged_user(holder));
    if !is_blocked {
        return;
    }
    let entry = Entry {
        event_type: "user.factors_blocked",
        resource: holder
            .user
            .message
            .metadata()
            .map(|metadata| (Kind::User, metadata)),
        user: holder.user.message.metadata(),
        session: holder.session.message.metadata(),
    };
    let mut event = audit::refused(ctx, caller, entry, "authenticator_blocked");
    let failures = factors.failures().saturating_add(1);
    event
        .attrs
        .insert("failures".to_owned(), failures.to_string());
    tracing::warn!(
        user = holder.user_name(),
        failures,
        "too many wrong codes: further attempts of this User are delayed"
    );
    transaction.push(Operation::Audit(event));
}

/// Signs the tokens of a raised Session.
///
/// # Errors
/// Returns an error if no signing key is available.
pub(crate) fn tokens(
    ctx: &Context,
    holder: &Holder,
    session: &Session,
) -> Result<SessionToken, Error> {
    let now = ctx.now();
    let by = holder.credential.as_ref().map(|stored| &stored.message);
    Ok(SessionTokens::sign(ctx, session, by, now)?.to_proto(now))
}

pub(super) async fn commit(ctx: &Context, transaction: Transaction) -> Result<(), CommitError> {
    let committed = ctx.store.commit(transaction).await?;
    // A change is visible on this replica before it is acknowledged.
    ctx.directory.catch_up(committed.cursor).await;
    Ok(())
}

pub(super) fn entry<'a>(
    holder: &'a Holder,
    event_type: &'static str,
    authenticator: &'a Authenticator,
) -> Entry<'a> {
    Entry {
        event_type,
        resource: authenticator
            .metadata()
            .map(|metadata| (Kind::Authenticator, metadata)),
        user: holder.user.message.metadata(),
        session: holder.session.message.metadata(),
    }
}

/// Binds an Authenticator and a Session that were used together to the same Device, if one of them has a Device.
/// Passkeys and security keys stay unbound, because they are used on many machines.
fn bind(session: &mut Session, used: &mut Authenticator, is_raised: bool) {
    let is_fido = authenticator::type_of(used) == Type::Fido;
    if !is_raised || is_fido || session::is_browser(session) {
        return;
    }
    let of_session = session.status_mut().device_ref.clone();
    let own = &mut used.status_mut().device_ref;
    match (own.as_ref(), of_session) {
        (None, Some(device)) => *own = Some(device),
        (Some(device), None) => session.status_mut().device_ref = Some(device.clone()),
        _ => {}
    }
}

/// The error if a post-authentication rule denies.
pub(super) fn denied_by_rule() -> Error {
    Error::denied(
        "The rules of this Cluster do not allow this Authenticator here; use another one, or ask an administrator",
    )
    .because("post_authentication_rule")
}

/// Evaluates the post-authentication rules of the Cluster. The first match decides; without a match they allow.
fn denied(
    ctx: &Context,
    holder: &Holder,
    proof: &Proof,
    info: &Info,
    now: UnixMillis,
) -> Result<(), Error> {
    let rules = ctx.directory.authenticator_rules();
    let found = rules.post_authentication(
        &holder.user.message,
        Some(&holder.session.message),
        &proof.used,
        info,
        now,
    );
    match found {
        Some((Effect::Deny | Effect::Unknown, error)) => {
            if let Some(error) = error {
                tracing::warn!(error, "a rule cannot be evaluated; the request is denied");
            }
            Err(denied_by_rule())
        }
        Some((Effect::Allow, _)) | None => Ok(()),
    }
}
