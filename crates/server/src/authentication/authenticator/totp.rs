//! Time-based one-time passwords (TOTP) of an app.

use std::borrow::Cow;

use api::{
    core_v1::{
        Authenticator, Session, User,
        authenticator::status::{
            Info, Type,
            info::{self, Totp, totp::Algorithm},
        },
    },
    resource::Object as _,
};
use authn::totp::{self, Parameters};
use domain::{authenticator, clock::UnixMillis, kind::Kind};
use store::{Expected, Operation, SecretWrite, Transaction};
use zeroize::Zeroizing;

use super::{
    AuthenticatorSelector, Factors, Holder, Proof, Registration, complete, failed, manage,
    registering,
    step_up::{self, StepUpFailed},
    usable,
};
use crate::{
    Caller, Context, Error, ErrorKind,
    audit::{self, Entry},
    authentication::active::MayAwaitAuthenticator,
    document::codec::{self, Stored},
    transaction::{Attempts, retry_conflict},
};

/// Creates the secret and returns its `otpauth:` URL for the app. The URL is never returned again; another call
/// creates another secret.
///
/// # Errors
/// Returns the errors of [`registering`].
pub(crate) async fn begin_registration(
    ctx: &Context,
    holder: &Holder,
    which: &AuthenticatorSelector<'_>,
) -> Result<Zeroizing<String>, Error> {
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let stored = registering(ctx, holder, which, Type::Totp).await?;
        let secret = totp::new_secret(&*ctx.rng);
        let parameters = Parameters::default();
        let url = totp::url(
            &secret,
            parameters,
            ctx.domain.host(),
            &account(&holder.user.message),
        );
        let url = url.ok_or_else(|| Error::internal("no otpauth URL could be made"))?;
        let mut begun = stored.message.clone();
        begun.status_mut().info = Some(Info {
            r#type: Some(info::Type::Totp(Totp {
                period_seconds: u32::try_from(parameters.period).unwrap_or_default(),
                digits: parameters.digits.into(),
                algorithm: Algorithm::Sha1.into(),
                ..Totp::default()
            })),
        });
        let now = ctx.now();
        let mut transaction = Transaction::at(now);
        transaction.push(Operation::Put(
            codec::encode(
                stored.uid,
                stored.created_at,
                &begun,
                SecretWrite::Set(secret),
            ),
            Expected::Revision(stored.revision),
        ));
        match ctx.store.commit(transaction).await {
            Ok(_) => return Ok(url),
            Err(error) => retry_conflict(error)?,
        }
    }
}

/// Registers the Authenticator if the code of the app is correct. The code cannot be used again.
///
/// # Errors
/// Returns the errors of [`registering`], or `PermissionDenied` if the code is wrong.
pub(crate) async fn finish_registration(
    ctx: &Context,
    holder: &Holder,
    which: &AuthenticatorSelector<'_>,
    code: &str,
    caller: &Caller,
) -> Result<Authenticator, Error> {
    let begun = registering(ctx, holder, which, Type::Totp).await?;
    let name = begun.message.name().to_owned();
    if facts(&begun.message).is_none() {
        return Err(Error::precondition(format!(
            "The registration of the Authenticator {name} was not started"
        )));
    }
    let secret = secret(ctx, &begun).await?;
    complete(ctx, holder, which, Type::Totp, caller, |stored| {
        // Another call of `begin_registration` has created another secret since this one was read.
        if stored.revision != begun.revision {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "The Authenticator {name} was changed in the meantime: start its registration again"
                ),
            )
            .because("authenticator_changed"));
        }
        let registered = accept(&stored, &secret, code, ctx.now())?.ok_or_else(wrong_code)?;
        Ok(Registration {
            stored,
            registered,
            secret: SecretWrite::Keep,
            operations: Vec::new(),
        })
    })
    .await
}

/// Raises the Session of `holder` with a code. Each attempt is evaluated exactly once. While guesses are blocked, no
/// code is evaluated.
///
/// # Errors
/// Returns `NotFound` if the User has no such Authenticator, `PermissionDenied` if the code is wrong or the
/// Authenticator cannot be used here, or `RateLimited` after too many wrong codes.
pub(crate) async fn authenticate(
    ctx: &Context,
    holder: &Holder,
    which: &AuthenticatorSelector<'_>,
    code: &str,
    caller: &Caller,
) -> Result<Session, Error> {
    let _lock = ctx.authentication.lock(holder.user.uid).await;
    let mut holder = Cow::Borrowed(holder);
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let awaiting = MayAwaitAuthenticator::check(ctx, &holder, now).await?;
        let (stored, factors) = check(ctx, &holder, which, now).await?;
        let secret = secret(ctx, &stored).await?;
        let accepted = accept(&stored, &secret, code, now)?;
        let Some(used) = accepted else {
            let reason = "code_wrong";
            match failed(ctx, &holder, &stored, Some(&factors), &[], reason, caller).await {
                Ok(()) => return Err(wrong_code()),
                Err(error) => retry_conflict(error)?,
            }
            holder = Cow::Owned(holder.reload(ctx).await?);
            continue;
        };
        let proof = Proof {
            stored,
            used,
            fido: None,
            operations: Vec::new(),
        };
        match step_up::step_up(ctx, &awaiting, proof, Some(&factors), caller).await {
            Ok(session) => return Ok(session),
            Err(StepUpFailed::Denied(error)) => return Err(error),
            Err(StepUpFailed::Commit(error)) => retry_conflict(error)?,
        }
        holder = Cow::Owned(holder.reload(ctx).await?);
    }
}

/// Returns the Authenticator and the record of failed guesses, if a code can be tried now.
///
/// # Errors
/// Returns the errors of [`authenticate`], except for a wrong code.
pub(crate) async fn check(
    ctx: &Context,
    holder: &Holder,
    which: &AuthenticatorSelector<'_>,
    now: UnixMillis,
) -> Result<(Stored<Authenticator>, Factors), Error> {
    let stored = manage::find(ctx, holder, which).await?;
    let all = holder.authenticators(ctx, now).await?;
    usable(holder, &stored, &all)?;
    let factors = Factors::load(ctx, holder.user.uid, now).await?;
    factors.check(now)?;
    Ok((stored, factors))
}

async fn secret(
    ctx: &Context,
    stored: &Stored<Authenticator>,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let secret = ctx.store.secret(Kind::Authenticator, stored.uid).await?;
    secret.ok_or_else(|| Error::internal("a TOTP without its secret"))
}

/// Returns the Authenticator updated for the accepted `code`, or `None` if the code is not accepted.
fn accept(
    stored: &Stored<Authenticator>,
    secret: &[u8],
    code: &str,
    now: UnixMillis,
) -> Result<Option<Authenticator>, Error> {
    let facts = facts(&stored.message).ok_or_else(|| Error::internal("a TOTP without facts"))?;
    let last = facts.last_accepted_time_step;
    let Some(step) = totp::matched_step(secret, parameters(facts), code, last, now) else {
        return Ok(None);
    };
    let mut used = stored.message.clone();
    if let Some(Info {
        r#type: Some(info::Type::Totp(facts)),
    }) = &mut used.status_mut().info
    {
        facts.last_accepted_time_step = step;
        facts.last_accepted_at = Some(now.to_proto());
    }
    Ok(Some(used))
}

fn facts(authenticator: &Authenticator) -> Option<&Totp> {
    match authenticator::info(authenticator)? {
        info::Type::Totp(facts) => Some(facts),
        _ => None,
    }
}

fn parameters(facts: &Totp) -> Parameters {
    Parameters {
        algorithm: match facts.algorithm() {
            Algorithm::Sha256 => totp::Algorithm::Sha256,
            Algorithm::Sha512 => totp::Algorithm::Sha512,
            Algorithm::Sha1 | Algorithm::Unset => totp::Algorithm::Sha1,
        },
        digits: u8::try_from(facts.digits).unwrap_or_default(),
        period: facts.period_seconds.into(),
    }
}

/// Returns the account label for the app: the email address, or else the name of the User.
fn account(user: &User) -> String {
    let email = user.spec.as_ref().map_or("", |spec| spec.email.as_str());
    if email.is_empty() {
        user.name().to_owned()
    } else {
        email.to_owned()
    }
}

fn wrong_code() -> Error {
    Error::denied(
        "The code is wrong, or was used before. Wait for the next one. If that is wrong too, check the clock of the \
         device that shows it",
    )
    .because("code_wrong")
}

/// Audits a code that was refused without evaluation because guesses are blocked.
pub(crate) fn audit_blocked_attempt(
    ctx: &Context,
    holder: &Holder,
    caller: &Caller,
    error: &Error,
) {
    if let Some(reason @ "authenticator_blocked") = error.reason() {
        let entry = Entry {
            event_type: "authenticator.used",
            resource: None,
            user: holder.user.message.metadata(),
            session: holder.session.message.metadata(),
        };
        ctx.audit.add(audit::refused(ctx, caller, entry, reason));
    }
}

#[cfg(test)]
mod tests;
