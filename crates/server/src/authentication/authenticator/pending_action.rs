//! Reevaluation of the action that a Session waits for after its creation.

use std::borrow::Cow;

use api::{
    core_v1::{Authenticator, Session, session::status::AuthenticatorAction},
    platform_v1::AuditEvent,
    resource::Object as _,
};
use domain::{clock::UnixMillis, kind::Kind, session};
use store::{Expected, Operation, SecretWrite, Transaction};

use super::{Holder, enforcement, manage, step_up};
use crate::{
    Caller, Context, Error,
    audit::{self, Entry},
    directory::Login,
    document::codec,
    transaction::{Attempts, is_conflict},
};

/// Returns the action that the Session waits for. Evaluates the rules of its login again if the action became
/// obsolete. That is the case if the User's Authenticators are gone, or if the User has one by now.
///
/// # Errors
/// Returns `Unauthenticated` if the Session has ended.
pub(crate) async fn reconsidered(
    ctx: &Context,
    holder: &Holder,
) -> Result<AuthenticatorAction, Error> {
    let mut holder = Cow::Borrowed(holder);
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let present = session::action(&holder.session.message);
        let all = holder.authenticators(ctx, now).await?;
        let has_any = holder.has_any(&all);
        let all: Vec<Authenticator> = all.into_iter().map(|one| one.message).collect();
        let is_settled = match present {
            AuthenticatorAction::Unset => true,
            AuthenticatorAction::AuthenticationRequired
            | AuthenticatorAction::AuthenticationRecommended => has_any,
            AuthenticatorAction::RegistrationRequired
            | AuthenticatorAction::RegistrationRecommended => !has_any,
        };
        if is_settled {
            return Ok(present);
        }
        let began = as_created(&holder.session.message);
        let provider = manage::provider(ctx, &began);
        let login = Login {
            user: &holder.user.message,
            session: &began,
            identity_provider: provider.as_ref().map(|entry| &*entry.provider.message),
            authenticators: &all,
        };
        let action = enforcement::action(ctx, &login, now);
        if action == present || wait_for(ctx, &holder, action, None, now).await? {
            return Ok(action);
        }
        holder = Cow::Owned(holder.reload(ctx).await?);
    }
}

/// Declines a recommended action, and audits that. A required action stays.
///
/// # Errors
/// Returns `Unauthenticated` if the Session has ended.
pub(crate) async fn decline(ctx: &Context, holder: &Holder, caller: &Caller) -> Result<(), Error> {
    let mut holder = Cow::Borrowed(holder);
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let declined = session::action(&holder.session.message);
        let is_recommended = matches!(
            declined,
            AuthenticatorAction::AuthenticationRecommended
                | AuthenticatorAction::RegistrationRecommended
        );
        if !is_recommended {
            return Ok(());
        }
        let entry = Entry {
            event_type: "session.authenticator_declined",
            resource: holder
                .session
                .message
                .metadata()
                .map(|metadata| (Kind::Session, metadata)),
            user: holder.user.message.metadata(),
            session: holder.session.message.metadata(),
        };
        let mut event = audit::done(ctx, caller, entry);
        let declined = declined.as_str_name().to_owned();
        event.attrs.insert("declined".to_owned(), declined);
        let unset = AuthenticatorAction::Unset;
        if wait_for(ctx, &holder, unset, Some(event), ctx.now()).await? {
            return Ok(());
        }
        holder = Cow::Owned(holder.reload(ctx).await?);
    }
}

/// Returns the Session as the rules saw it at login, without the authentications of later refreshes.
fn as_created(session: &Session) -> Session {
    let mut began = session.clone();
    if let Some(status) = &mut began.status {
        status
            .authentication
            .clone_from(&status.initial_authentication);
    }
    began
}

/// Stores the action. Returns `false` if the Session changed in the meantime.
async fn wait_for(
    ctx: &Context,
    holder: &Holder,
    action: AuthenticatorAction,
    event: Option<AuditEvent>,
    now: UnixMillis,
) -> Result<bool, Error> {
    let mut session = holder.session.message.clone();
    session.status_mut().set_authenticator_action(action);
    let mut transaction = Transaction::at(now);
    transaction.push(Operation::Put(
        codec::encode(
            holder.session.uid,
            holder.session.created_at,
            &session,
            SecretWrite::Keep,
        ),
        Expected::Revision(holder.session.revision),
    ));
    if let Some(event) = event {
        transaction.push(Operation::Audit(event));
    }
    match step_up::commit(ctx, transaction).await {
        Ok(()) => Ok(true),
        Err(error) if is_conflict(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
