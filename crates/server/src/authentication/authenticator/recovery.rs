//! Recovery codes for Users who have lost their Authenticators. Each code works once, and new codes replace all old
//! ones.

use std::borrow::Cow;

use api::{
    core_v1::{Authenticator, Session},
    resource::Object as _,
};
use aws_lc_rs::digest;
use domain::{clock::UnixMillis, kind::Kind, session};
use store::{Expected, Operation, SecretWrite, Transaction};
use zeroize::Zeroizing;

use super::{Factors, Holder, step_up};
use crate::{
    Caller, Context, Error,
    audit::{self, Entry},
    authentication::active::{MayAwaitAuthenticator, MayLackFirstAuthenticator},
    document::codec::{self, Stored},
    transaction::{Attempts, retry_conflict},
};

const CODES: usize = 10;
/// 80 bits, too many to search for a code or for the preimage of its hash.
const BYTES: usize = 10;
const GROUP: usize = 4;
/// Crockford's base 32, without letters that look like others.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Creates and returns new codes, which are never returned again. Earlier codes become invalid.
///
/// # Errors
/// Returns `PermissionDenied` if the holder cannot manage Authenticators now, or `FailedPrecondition` if the User has
/// no Authenticator that a code could replace.
pub(crate) async fn renew(
    ctx: &Context,
    holder: &Holder,
    caller: &Caller,
) -> Result<Vec<Zeroizing<String>>, Error> {
    let mut holder = Cow::Borrowed(holder);
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let managing = MayLackFirstAuthenticator::check(ctx, &holder, now).await?;
        let all = managing.authenticators(ctx, now).await?;
        managing.check_fresh_among(&all, now)?;
        check_stands_in(&holder, &all)?;
        let factors = Factors::load(ctx, holder.user.uid, now).await?;
        let codes: Vec<_> = (0..CODES).map(|_| new_code(ctx)).collect();
        let hashes = codes.iter().map(|code| hash(code)).collect();
        let mut transaction = Transaction::at(now);
        transaction.push(factors.with_codes(hashes, now));
        transaction.push(step_up::unchanged_user(&holder));
        transaction.push(Operation::Audit(audit::done(
            ctx,
            caller,
            entry(&holder, "recovery_codes.renewed"),
        )));
        match step_up::commit(ctx, transaction).await {
            Ok(()) => return Ok(codes),
            Err(error) => retry_conflict(error)?,
        }
        holder = Cow::Owned(holder.reload(ctx).await?);
    }
}

/// Raises the Session of `holder` with a recovery code, and redeems the code. The code replaces an Authenticator at
/// login, but does not satisfy a Policy that requires an Authenticator.
///
/// # Errors
/// Returns `PermissionDenied` if the code is wrong or was used, `RateLimited` after too many wrong codes, or
/// `FailedPrecondition` if the User has no Authenticator that the code could replace.
pub(crate) async fn authenticate(
    ctx: &Context,
    holder: &Holder,
    code: &str,
    caller: &Caller,
) -> Result<Session, Error> {
    const EVENT: &str = "recovery_code.used";
    let _lock = ctx.authentication.lock(holder.user.uid).await;
    let wanted = hash(&normalized(code));
    let mut holder = Cow::Borrowed(holder);
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let awaiting = MayAwaitAuthenticator::check(ctx, &holder, now).await?;
        let factors = Factors::load(ctx, holder.user.uid, now).await?;
        factors.check(now)?;
        check_stands_in(&holder, &holder.authenticators(ctx, now).await?)?;
        let mut transaction = Transaction::at(now);
        let place = factors.find(&wanted);
        let mut raised = None;
        if let Some(place) = place {
            transaction.push(factors.without_code(place));
            raised = Some(settle(ctx, &mut transaction, &awaiting, caller, now));
            let event = audit::done(ctx, caller, entry(&holder, EVENT));
            transaction.push(Operation::Audit(event));
        } else {
            let event = audit::refused(ctx, caller, entry(&holder, EVENT), "code_wrong");
            transaction.push(Operation::Audit(event));
            step_up::push_failure(ctx, &mut transaction, &holder, &factors, caller, now);
        }
        match step_up::commit(ctx, transaction).await {
            Ok(()) => return raised.ok_or_else(wrong_code),
            Err(error) => retry_conflict(error)?,
        }
        holder = Cow::Owned(holder.reload(ctx).await?);
    }
}

fn wrong_code() -> Error {
    Error::denied("This is not one of your recovery codes, or it was used before")
        .because("code_wrong")
}

/// Stages the Session as a recovery code raises it.
fn settle(
    ctx: &Context,
    transaction: &mut Transaction,
    holder: &MayAwaitAuthenticator<'_>,
    caller: &Caller,
    now: UnixMillis,
) -> Session {
    let mut session = holder.session.message.clone();
    let info = session::internal_info(ctx.client_origin(caller));
    session::settle(&mut session, ctx.new_uid(), now, info);
    transaction.push(Operation::Put(
        codec::encode(
            holder.session.uid,
            holder.session.created_at,
            &session,
            SecretWrite::Keep,
        ),
        Expected::Revision(holder.session.revision),
    ));
    session
}

/// Checks that the User has an Authenticator that a code can replace. Otherwise a User who must register the first
/// Authenticator could use a code instead.
fn check_stands_in(holder: &Holder, all: &[Stored<Authenticator>]) -> Result<(), Error> {
    if holder.has_any(all) {
        return Ok(());
    }
    Err(Error::precondition(
        "A recovery code replaces an Authenticator, and you have none that can be used here: add one first",
    )
    .because("authenticator_missing"))
}

/// Returns the number of unused codes and their creation time.
///
/// # Errors
/// Returns the error of the store.
pub(crate) async fn remaining(
    ctx: &Context,
    holder: &Holder,
) -> Result<Option<(usize, UnixMillis)>, Error> {
    let factors = Factors::load(ctx, holder.user.uid, ctx.now()).await?;
    Ok(factors.recovery())
}

/// Creates a code of 16 characters in groups of four: `0a1b-2c3d-4e5f-6g7h`.
fn new_code(ctx: &Context) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0_u8; BYTES]);
    ctx.rng.fill(bytes.as_mut_slice());
    let mut text = Zeroizing::new(String::with_capacity(BYTES * 2));
    let mut written = 0;
    for chunk in bytes.chunks(5) {
        let value = chunk
            .iter()
            .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        for shift in (0..8).rev() {
            if written > 0 && written % GROUP == 0 {
                text.push('-');
            }
            let index = usize::try_from(value >> (shift * 5) & 31).unwrap_or_default();
            text.push(char::from(ALPHABET.get(index).copied().unwrap_or(b'0')));
            written += 1;
        }
    }
    text
}

/// Converts a typed code to its canonical form.
fn normalized(code: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(code.len()));
    let digits = code.chars().filter(char::is_ascii_alphanumeric);
    for (index, digit) in digits.enumerate() {
        if index > 0 && index % GROUP == 0 {
            text.push('-');
        }
        text.push(match digit.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            digit => digit,
        });
    }
    text
}

fn hash(code: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, code.as_bytes())
        .as_ref()
        .to_vec()
}

fn entry<'a>(holder: &'a Holder, event_type: &'static str) -> Entry<'a> {
    let user = holder.user.message.metadata();
    Entry {
        event_type,
        resource: user.map(|metadata| (Kind::User, metadata)),
        user,
        session: holder.session.message.metadata(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_however_it_is_typed() {
        for typed in [
            "0a1b-2c3d-4e5f-6g7h",
            "OA1B 2C3D 4E5F 6G7H",
            "oaib2c3d4e5f6g7h",
        ] {
            assert_eq!(normalized(typed).as_str(), "0a1b-2c3d-4e5f-6g7h", "{typed}");
        }
    }
}
