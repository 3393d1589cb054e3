//! Rotation of the secret of a Credential.

use std::time::Duration;

use api::core_v1::{self, credential::spec::Type};

use super::{Refusal, recovery_until, usable};
use crate::{clock::UnixMillis, id::Uid};

/// 9999-12-31T23:59:59Z, the latest second of a protobuf timestamp.
const LAST_SECOND: i64 = 253_402_300_799;

/// The treatment of the previous generation at a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The previous secret and its Sessions end at once.
    EndSessions,
    /// The previous secret ends at once. Its Sessions continue under the new generation.
    KeepSessions,
    /// The previous secret and its Sessions stay valid for this long.
    Overlap(Duration),
}

/// Gives `credential` the secret `new_token_id` at `now`, also for the first secret.
///
/// A generation that was still in its overlap ends at once, so at most two are valid at a time.
///
/// # Errors
/// Returns [`Refusal::Disabled`], [`Refusal::Locked`] or [`Refusal::Expired`] if the Credential is unusable,
/// [`Refusal::Recovery`] for a recovery Credential, and [`Refusal::SessionIsSecret`] for [`Rotation::KeepSessions`] if
/// the secret is the access token of the Session. The Credential is then unchanged.
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
