//! New secrets for a Credential.

use std::time::Duration;

use api::core_v1::{self, credential::spec::Type};

use super::{Refusal, recovery_until, usable};
use crate::{clock::UnixMillis, id::Uid};

/// 9999-12-31T23:59:59Z, the last second that a timestamp of the wire may hold.
const LAST_SECOND: i64 = 253_402_300_799;

/// What becomes of the generation before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It ends at once, with every Session that it made.
    EndSessions,
    /// Its secret ends at once; the Sessions that it made live on as those of the new one.
    KeepSessions,
    /// Its secret and its Sessions work for this long beside the new one.
    Overlap(Duration),
}

/// Gives `credential` the secret `new_token_id` at `now`. Also used for its first secret.
///
/// Whatever generation was before the one that is replaced ends at once, so that never three live.
///
/// # Errors
/// For a Credential that is disabled, locked or expired, for a recovery Credential, and for [`Rotation::KeepSessions`] of one whose secret is
/// the access token of its Session. Nothing is changed then.
pub fn rotate(
    credential: &mut core_v1::Credential,
    rotation: Rotation,
    new_token_id: Uid,
    now: UnixMillis,
) -> Result<(), Refusal> {
    if recovery_until(credential).is_some() {
        return Err(Refusal::Recovery);
    }
    usable(credential, now)?;
    let is_access_token = credential
        .spec
        .as_ref()
        .is_some_and(|spec| spec.r#type() == Type::AccessToken);
    if is_access_token && rotation == Rotation::KeepSessions {
        return Err(Refusal::SessionIsSecret);
    }
    let status = credential.status.as_mut().ok_or(Refusal::Incomplete)?;
    let keeps_version = rotation == Rotation::KeepSessions && status.version != 0;
    let version = if keeps_version {
        status.version
    } else {
        status
            .version
            .checked_add(1)
            .ok_or(Refusal::RotatedTooOften)?
    };

    let replaced_token_id = std::mem::replace(&mut status.token_id, new_token_id.to_string());
    let replaced_version = std::mem::replace(&mut status.version, version);
    status.previous_token_id.clear();
    status.previous_version = 0;
    status.previous_expires_at = None;
    if let Rotation::Overlap(duration) = rotation
        && !replaced_token_id.is_empty()
        && !duration.is_zero()
    {
        let until = now
            .saturating_add(duration)
            .min(UnixMillis::from_seconds(LAST_SECOND));
        status.previous_token_id = replaced_token_id;
        status.previous_version = replaced_version;
        status.previous_expires_at = Some(until.to_proto());
    }
    status.last_rotation_at = Some(now.to_proto());
    status.total_rotations = status.total_rotations.saturating_add(1);
    Ok(())
}
