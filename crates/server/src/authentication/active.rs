//! Sessions that passed every check, and types for Sessions for which one named check is skipped.
//!
//! Code that creates or raises a Session for another one, or uses a right of a browser's Session, takes one of these
//! types. Only this module creates them, from the current state of the store.

use std::{ops::Deref, sync::Arc};

use api::core_v1::{
    Credential, Device, IdentityProvider, Session, User,
    session::status::{AuthenticatorAction, authentication::info::Details},
};
use domain::{clock::UnixMillis, credential::Refusal, id::Uid, kind::Kind, session};
use store::{Operation, Transaction};

use super::{
    authenticator::Holder,
    refresh::{self, Read},
};
use crate::{
    Context, Error,
    directory::ProviderEntry,
    document::{codec::Stored, load},
};

/// A Session and the objects it depends on, read together.
#[derive(Clone, Copy)]
pub(crate) struct Snapshot<'a> {
    pub(crate) session: &'a Stored<Session>,
    pub(crate) user: &'a Stored<User>,
    pub(crate) credential: Option<&'a Stored<Credential>>,
    pub(crate) device: Option<&'a Stored<Device>>,
}

/// A Session that passed all checks. It is ACTIVE and has not expired. Its User, Credential, `IdentityProvider` and
/// Device exist and are active. No Authenticator is required of it, and all Groups of its User exist.
pub(crate) struct ActiveSession(Box<Checked>);

struct Checked {
    session: Stored<Session>,
    user: Stored<User>,
    guards: Vec<Operation>,
}

/// A [`Holder`] whose Session passed all checks of [`ActiveSession`] except one: it may still have to register its
/// first Authenticator.
pub(crate) struct MayLackFirstAuthenticator<'a>(&'a Holder);

/// A [`Holder`] whose Session passed all checks of [`ActiveSession`] except one: it may still have to use an
/// Authenticator.
pub(crate) struct MayAwaitAuthenticator<'a>(&'a Holder);

/// The reason why a Session is not active.
#[derive(Debug)]
pub(crate) enum NotActive {
    /// A check failed.
    Refused(Refusal),
    /// A check could not run.
    Failed(Error),
}

impl From<Error> for NotActive {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<NotActive> for Error {
    fn from(error: NotActive) -> Self {
        match error {
            NotActive::Refused(refusal) => {
                Self::denied(format!("The Session cannot be used for this: {refusal}"))
                    .because(refusal.reason())
            }
            NotActive::Failed(error) => error,
        }
    }
}

impl ActiveSession {
    /// Runs all checks.
    ///
    /// # Errors
    /// Returns [`NotActive`] if a check fails or cannot run.
    pub(crate) async fn check(
        ctx: &Context,
        snapshot: Snapshot<'_>,
        now: UnixMillis,
    ) -> Result<Self, NotActive> {
        if let Some(refusal) = refusal(ctx, snapshot, now).await? {
            return Err(NotActive::Refused(refusal));
        }
        Ok(Self(Box::new(Checked {
            session: snapshot.session.clone(),
            user: snapshot.user.clone(),
            guards: guards(ctx, snapshot),
        })))
    }

    /// Reads a Session and runs all checks.
    ///
    /// # Errors
    /// Returns [`NotActive`] if a check fails or cannot run.
    pub(crate) async fn read(ctx: &Context, uid: Uid, now: UnixMillis) -> Result<Self, NotActive> {
        let read = refresh::read_ignoring_approval_and_authenticator(ctx, uid, now).await?;
        Self::check(ctx, read.snapshot(), now).await
    }

    pub(crate) fn uid(&self) -> Uid {
        self.0.session.uid
    }

    pub(crate) fn session(&self) -> &Session {
        &self.0.session.message
    }

    pub(crate) fn user(&self) -> &Stored<User> {
        &self.0.user
    }

    /// Makes `transaction` fail if any checked object has changed.
    pub(crate) fn guard(&self, transaction: &mut Transaction) {
        transaction.operations.extend(self.0.guards.iter().cloned());
    }
}

impl<'a> MayLackFirstAuthenticator<'a> {
    /// Runs all checks, except that the Session may still have to register its first Authenticator.
    ///
    /// # Errors
    /// Returns `PermissionDenied` if any other check fails, or if the Session must use an existing Authenticator.
    pub(crate) async fn check(
        ctx: &Context,
        holder: &'a Holder,
        now: UnixMillis,
    ) -> Result<Self, Error> {
        let registers =
            session::action(&holder.session.message) == AuthenticatorAction::RegistrationRequired;
        match refusal(ctx, holder.snapshot(), now).await? {
            None => Ok(Self(holder)),
            Some(Refusal::AuthenticatorRequired) if registers => Ok(Self(holder)),
            Some(Refusal::AuthenticatorRequired) => Err(Error::denied(
                "Verify with one of your Authenticators before you add or remove others: octelium auth authenticator \
                 NAME",
            )
            .because(Refusal::AuthenticatorRequired.reason())),
            Some(refusal) => Err(Error::denied(format!(
                "Authenticators cannot be added or removed: {refusal}"
            ))
            .because(refusal.reason())),
        }
    }
}

impl<'a> MayAwaitAuthenticator<'a> {
    /// Runs all checks, except that the Session may still have to use or register an Authenticator.
    ///
    /// # Errors
    /// Returns `PermissionDenied` if any other check fails.
    pub(crate) async fn check(
        ctx: &Context,
        holder: &'a Holder,
        now: UnixMillis,
    ) -> Result<Self, Error> {
        match refusal(ctx, holder.snapshot(), now).await? {
            None | Some(Refusal::AuthenticatorRequired) => Ok(Self(holder)),
            Some(refusal) => Err(Error::denied(format!(
                "No Authenticator can be used for this Session: {refusal}"
            ))
            .because(refusal.reason())),
        }
    }
}

impl Deref for MayLackFirstAuthenticator<'_> {
    type Target = Holder;

    fn deref(&self) -> &Holder {
        self.0
    }
}

impl Deref for MayAwaitAuthenticator<'_> {
    type Target = Holder;

    fn deref(&self) -> &Holder {
        self.0
    }
}

impl Read {
    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            session: &self.session,
            user: &self.user,
            credential: self.credential.as_ref(),
            device: self.device.as_ref(),
        }
    }
}

/// Returns the first check that fails. A required Authenticator is reported only if every other check passes.
async fn refusal(
    ctx: &Context,
    of: Snapshot<'_>,
    now: UnixMillis,
) -> Result<Option<Refusal>, Error> {
    let checked = session::check(
        &of.session.message,
        &of.user.message,
        of.credential.map(|stored| &stored.message),
        of.device.map(|stored| &stored.message),
        now,
    );
    match checked {
        Ok(()) | Err(Refusal::AuthenticatorRequired) => {}
        Err(refusal) => return Ok(Some(refusal)),
    }
    if let Some(uid) = provider(&of.session.message) {
        let entry = provider_entry(ctx, uid, now).await?;
        if entry.is_none_or(|entry| entry.check_usable().is_err()) {
            return Ok(Some(Refusal::ProviderInactive));
        }
    }
    // If a Group is missing, its DENY Policies would be missing too.
    if ctx.directory.groups(&of.user.message, now).await?.is_none() {
        return Ok(Some(Refusal::GroupMissing));
    }
    Ok(checked.err())
}

/// Returns the uid of the `IdentityProvider` that authenticated the Session initially.
fn provider(session: &Session) -> Option<&str> {
    let status = session.status.as_ref()?;
    let info = status.initial_authentication.as_ref()?.info.as_ref()?;
    match info.details.as_ref()? {
        Details::IdentityProvider(by) => {
            let reference = by.identity_provider_ref.as_ref();
            Some(reference.map_or("", |reference| reference.uid.as_str()))
        }
        _ => None,
    }
}

async fn provider_entry(
    ctx: &Context,
    uid: &str,
    now: UnixMillis,
) -> Result<Option<Arc<ProviderEntry>>, Error> {
    if let Some(entry) = ctx.directory.identity_provider("", uid) {
        return Ok(Some(entry));
    }
    // The provider may have been created a moment ago and not be in the Directory yet.
    let Ok(uid) = uid.parse() else {
        return Ok(None);
    };
    let stored = load::by_uid::<IdentityProvider>(&*ctx.store, uid, now).await?;
    Ok(stored.map(|stored| Arc::new(ProviderEntry::new(stored.into()))))
}

fn guards(ctx: &Context, of: Snapshot<'_>) -> Vec<Operation> {
    let mut guards = vec![
        Operation::Unchanged(Kind::Session, of.session.uid, of.session.revision),
        Operation::Unchanged(Kind::User, of.user.uid, of.user.revision),
    ];
    if let Some(credential) = of.credential {
        let (uid, revision) = (credential.uid, credential.revision);
        guards.push(Operation::Unchanged(Kind::Credential, uid, revision));
    }
    if let Some(device) = of.device {
        guards.push(Operation::Unchanged(
            Kind::Device,
            device.uid,
            device.revision,
        ));
    }
    let provider = provider(&of.session.message);
    if let Some(entry) = provider.and_then(|uid| ctx.directory.identity_provider("", uid)) {
        let (uid, revision) = (entry.provider.uid, entry.provider.revision);
        guards.push(Operation::Unchanged(Kind::IdentityProvider, uid, revision));
    }
    guards
}
