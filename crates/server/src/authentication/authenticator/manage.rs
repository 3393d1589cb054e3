//! Management of a User's own Authenticators: list, create, rename and delete.

use std::borrow::Cow;

use api::{
    core_v1::{Authenticator, Session, authenticator::status::Type, user},
    meta_v1::ObjectReference,
    resource::Object as _,
};
use domain::{
    authenticator::{self, MAX_PER_USER, NewAuthenticator},
    clock::UnixMillis,
    id::Uid,
    kind::Kind,
    session,
};
use store::{CommitError, Expected, Operation, SecretWrite, Transaction};

use super::{Holder, enforcement, step_up};
use crate::{
    Caller, Context, Error, ErrorKind, audit,
    authentication::active::MayLackFirstAuthenticator,
    directory::Login,
    document::{
        codec::{self, Stored},
        index, load,
    },
    resource::metadata,
    transaction::{Attempts, retry_conflict},
};

/// A selector of an Authenticator: by name, by uid, or by both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AuthenticatorSelector<'a> {
    pub(crate) name: &'a str,
    pub(crate) uid: &'a str,
}

impl<'a> AuthenticatorSelector<'a> {
    pub(crate) fn of(reference: &'a ObjectReference) -> Self {
        Self {
            name: &reference.name,
            uid: &reference.uid,
        }
    }
}

/// The Authenticators that a holder can use now.
pub(crate) struct Available {
    /// The Authenticator that the Session must use: it is pinned to the Session, or it is the TPM of the same Device.
    pub(crate) main: Option<Stored<Authenticator>>,
    /// All usable Authenticators, including `main`.
    pub(crate) all: Vec<Stored<Authenticator>>,
}

/// Finds an Authenticator of the User. Authenticators of other Users count as missing.
///
/// # Errors
/// Returns `NotFound` if the User has no such Authenticator, or `InvalidArgument` if the selector is empty or
/// malformed.
pub(crate) async fn find(
    ctx: &Context,
    holder: &Holder,
    which: &AuthenticatorSelector<'_>,
) -> Result<Stored<Authenticator>, Error> {
    metadata::check_lengths(Kind::Authenticator, which.name, which.uid)?;
    let now = ctx.now();
    let found = if which.uid.is_empty() {
        if which.name.is_empty() {
            return Err(Error::invalid(
                "Set the name or the uid of the Authenticator",
            ));
        }
        load::by_name::<Authenticator>(&*ctx.store, which.name, now).await?
    } else {
        let uid: Uid = which
            .uid
            .parse()
            .map_err(|_| Error::invalid("The uid of the Authenticator is not a UUID"))?;
        load::by_uid::<Authenticator>(&*ctx.store, uid, now).await?
    };
    let found = found.filter(|found| {
        let is_named = which.name.is_empty() || found.message.name() == which.name;
        is_named && is_of(&found.message, holder)
    });
    let label = if which.name.is_empty() {
        which.uid
    } else {
        which.name
    };
    found.ok_or_else(|| Error::not_found(Kind::Authenticator, label))
}

fn is_of(authenticator: &Authenticator, holder: &Holder) -> bool {
    let status = authenticator.status.as_ref();
    let owner = status.and_then(|status| status.user_ref.as_ref());
    owner.is_some_and(|owner| owner.uid == holder.user.uid.to_string())
}

/// Returns the Authenticators that can be used in the Session now.
///
/// # Errors
/// Returns the error of the store.
pub(crate) async fn available(ctx: &Context, holder: &Holder) -> Result<Available, Error> {
    let all = holder.authenticators(ctx, ctx.now()).await?;
    let usable: Vec<Stored<Authenticator>> = all
        .iter()
        .filter(|stored| step_up::usable(holder, stored, &all).is_ok())
        .cloned()
        .collect();
    let session = &holder.session.message;
    let required = authenticator::required(session).map(|required| required.uid.as_str());
    let device = holder.device.as_ref().map(|device| device.uid.to_string());
    let is_main = |stored: &&Stored<Authenticator>| {
        if let Some(required) = required {
            return stored.message.uid() == required;
        }
        let status = stored.message.status.as_ref();
        let of = status.and_then(|status| status.device_ref.as_ref());
        authenticator::type_of(&stored.message) == Type::Tpm
            && device.is_some()
            && of.map(|of| &of.uid) == device.as_ref()
    };
    Ok(Available {
        main: usable.iter().find(is_main).cloned(),
        all: usable,
    })
}

/// Creates an Authenticator, which must be registered within one hour.
///
/// # Errors
/// Returns `InvalidArgument` if the type or the display name is invalid, or `PermissionDenied` if the Session cannot
/// have this type, the holder cannot add Authenticators now, or the User has reached the limit.
pub(crate) async fn create(
    ctx: &Context,
    holder: &Holder,
    r#type: Type,
    display_name: &str,
    caller: &Caller,
) -> Result<Authenticator, Error> {
    check_type(holder, r#type)?;
    let display_name = checked_display_name(display_name)?;
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let holder = MayLackFirstAuthenticator::check(ctx, holder, now).await?;
        holder.check_fresh(ctx, now).await?;
        let uid = ctx.new_uid();
        let config = ctx.directory.cluster_config();
        let authenticator = authenticator::new_authenticator(NewAuthenticator {
            uid,
            name: authenticator::new_name(r#type, &*ctx.rng),
            user: &holder.user.message,
            r#type,
            display_name: display_name.to_owned(),
            state: authenticator::default_state(&holder.user.message, &config),
            now,
        });
        let mut transaction = Transaction::at(now);
        transaction.push(step_up::unchanged_user(&holder));
        transaction.push(Operation::Limit {
            kind: Kind::Authenticator,
            index: index::USER,
            value: holder.user.uid.to_string(),
            below: MAX_PER_USER,
        });
        transaction.push(Operation::Put(
            codec::encode(uid, now, &authenticator, SecretWrite::Keep),
            Expected::Absent,
        ));
        transaction.push(Operation::Audit(audit::done(
            ctx,
            caller,
            step_up::entry(&holder, "authenticator.created", &authenticator),
        )));
        match step_up::commit(ctx, transaction).await {
            Ok(()) => return Ok(authenticator),
            // Draws another random name. A conflict is final, because the holder is not read again.
            Err(CommitError::NameTaken { .. }) => {}
            Err(CommitError::LimitReached { .. }) => {
                return Err(Error::denied(format!(
                    "A User can have at most {MAX_PER_USER} Authenticators: delete one first"
                ))
                .because("authenticator_limit"));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Changes the display name of an Authenticator.
///
/// # Errors
/// Returns `NotFound` if the User has no such Authenticator, `InvalidArgument` if the display name is invalid, or
/// `PermissionDenied` if the Session must use an Authenticator first.
pub(crate) async fn rename(
    ctx: &Context,
    holder: &Holder,
    which: &AuthenticatorSelector<'_>,
    display_name: &str,
    caller: &Caller,
) -> Result<Authenticator, Error> {
    let display_name = checked_display_name(display_name)?;
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let holder = MayLackFirstAuthenticator::check(ctx, holder, now).await?;
        let stored = find(ctx, &holder, which).await?;
        let mut renamed = stored.message.clone();
        display_name.clone_into(&mut renamed.spec_mut().display_name);
        renamed.metadata_mut().updated_at = Some(now.to_proto());
        let mut transaction = Transaction::at(now);
        transaction.push(Operation::Put(
            codec::encode(stored.uid, stored.created_at, &renamed, SecretWrite::Keep),
            Expected::Revision(stored.revision),
        ));
        transaction.push(Operation::Audit(audit::done(
            ctx,
            caller,
            step_up::entry(&holder, "authenticator.updated", &renamed),
        )));
        match step_up::commit(ctx, transaction).await {
            Ok(()) => return Ok(renamed),
            Err(error) => retry_conflict(error)?,
        }
    }
}

/// Deletes an Authenticator and ends the Sessions that depend on it.
///
/// # Errors
/// Returns `NotFound` if the User has no such Authenticator, or `PermissionDenied` if the Session must pass another
/// check first.
pub(crate) async fn delete(
    ctx: &Context,
    holder: &Holder,
    which: &AuthenticatorSelector<'_>,
    caller: &Caller,
) -> Result<(), Error> {
    let mut holder = Cow::Borrowed(holder);
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let stored = find(ctx, &holder, which).await?;
        let all = holder.authenticators(ctx, now).await?;
        let mut transaction = Transaction::at(now);
        if authenticator::is_registered(&stored.message) {
            let holder = MayLackFirstAuthenticator::check(ctx, &holder, now).await?;
            holder.check_fresh_among(&all, now)?;
            check_last(ctx, &holder, &stored, &all, now)?;
            // Two concurrent deletions must not remove the last two Authenticators.
            let others = all.iter().filter(|one| one.uid != stored.uid);
            for other in others {
                transaction.push(Operation::Unchanged(
                    Kind::Authenticator,
                    other.uid,
                    other.revision,
                ));
            }
        }
        transaction.push(Operation::Delete(
            Kind::Authenticator,
            stored.uid,
            Some(stored.revision),
        ));
        end_sessions(ctx, &mut transaction, &stored, now).await?;
        transaction.push(Operation::Audit(audit::done(
            ctx,
            caller,
            step_up::entry(&holder, "authenticator.deleted", &stored.message),
        )));
        match step_up::commit(ctx, transaction).await {
            Ok(()) => return Ok(()),
            // The Authenticator created another Session in the meantime.
            Err(CommitError::LimitReached { .. }) => {}
            Err(error) => {
                retry_conflict(error)?;
                holder = Cow::Owned(holder.reload(ctx).await?);
            }
        }
    }
}

async fn end_sessions(
    ctx: &Context,
    transaction: &mut Transaction,
    stored: &Stored<Authenticator>,
    now: UnixMillis,
) -> Result<(), Error> {
    let uid = stored.uid.to_string();
    let (sessions, _) =
        load::by_index::<Session>(&*ctx.store, index::AUTHENTICATOR, &uid, u32::MAX >> 8, now)
            .await?;
    for session in sessions {
        transaction.push(Operation::Delete(Kind::Session, session.uid, None));
    }
    transaction.push(Operation::Limit {
        kind: Kind::Session,
        index: index::AUTHENTICATOR,
        value: uid,
        below: 1,
    });
    Ok(())
}

/// Checks that the remaining Authenticators satisfy the rules.
fn check_last(
    ctx: &Context,
    holder: &Holder,
    stored: &Stored<Authenticator>,
    all: &[Stored<Authenticator>],
    now: UnixMillis,
) -> Result<(), Error> {
    let session = &holder.session.message;
    let counts = |one: &Stored<Authenticator>| authenticator::counts(session, &one.message);
    let mut left = all.iter().filter(|one| one.uid != stored.uid);
    if !counts(stored) || left.any(counts) {
        return Ok(());
    }
    let provider = provider(ctx, session);
    let messages = |without: Option<Uid>| -> Vec<Authenticator> {
        let kept = all.iter().filter(|one| Some(one.uid) != without);
        kept.map(|one| one.message.clone()).collect()
    };
    for authenticators in [messages(None), messages(Some(stored.uid))] {
        let login = Login {
            user: &holder.user.message,
            session,
            identity_provider: provider.as_ref().map(|entry| &*entry.provider.message),
            authenticators: &authenticators,
        };
        if enforcement::is_enforced(ctx, &login, now) {
            return Err(Error::precondition(
                "It is the last of your Authenticators, and the rules of this Cluster require one: add another first",
            )
            .because("last_authenticator"));
        }
    }
    Ok(())
}

/// Returns the `IdentityProvider` that authenticated the Session initially.
pub(crate) fn provider(
    ctx: &Context,
    session: &Session,
) -> Option<std::sync::Arc<crate::directory::ProviderEntry>> {
    use api::core_v1::session::status::authentication::info::Details;
    let status = session.status.as_ref()?;
    let info = status.initial_authentication.as_ref()?.info.as_ref()?;
    let Some(Details::IdentityProvider(by)) = &info.details else {
        return None;
    };
    let reference = by.identity_provider_ref.as_ref()?;
    ctx.directory.identity_provider("", &reference.uid)
}

/// Checks that the Session can add an Authenticator of this type.
fn check_type(holder: &Holder, r#type: Type) -> Result<(), Error> {
    if r#type == Type::Unknown {
        return Err(Error::invalid("type must be FIDO, TOTP or TPM"));
    }
    let session = &holder.session.message;
    let user = &holder.user.message;
    let is_human = user.spec.as_ref().map(user::Spec::r#type) == Some(user::spec::Type::Human);
    if matches!(r#type, Type::Fido | Type::Totp) && !is_human {
        return Err(Error::denied(format!(
            "Only a User of type HUMAN can have an Authenticator of type {}",
            r#type.as_str_name()
        )));
    }
    if r#type == Type::Fido && !session::is_browser(session) {
        return Err(Error::denied(
            "Passkeys and security keys are added in the browser: open the page of the Cluster, Authenticators",
        ));
    }
    if !authenticator::fits(session, r#type) {
        return Err(Error::denied(format!(
            "A Session of this type cannot have an Authenticator of type {}",
            r#type.as_str_name()
        )));
    }
    Ok(())
}

fn checked_display_name(text: &str) -> Result<&str, Error> {
    if authenticator::is_display_name(text) {
        Ok(text)
    } else {
        Err(Error::new(
            ErrorKind::InvalidArgument,
            "The display name must be at most 120 printable ASCII characters",
        ))
    }
}
