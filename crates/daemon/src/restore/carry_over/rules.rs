//! What was revoked, kind by kind. Content, as Policies and Groups, is that of the backup.

use api::core_v1::{
    Authenticator, Credential, Device, Session, User, authenticator, device, session,
};
use prost_types::Timestamp;

use super::Verdict;

/// Deleted since: goes. Otherwise the secret, the lock and the count are those of now, and of what limits it the
/// stricter holds.
pub(super) fn credential(restored: Credential, former: Option<Credential>) -> Verdict<Credential> {
    let Some(former) = former else {
        return Verdict::Goes;
    };
    let mut credential = restored.clone();
    credential.status = former.status;
    let spec = credential.spec.get_or_insert_default();
    let limits = former.spec.unwrap_or_default();
    spec.is_disabled |= limits.is_disabled;
    spec.expires_at = earliest(spec.expires_at, limits.expires_at);
    spec.max_authentications = match (spec.max_authentications, limits.max_authentications) {
        (0, other) | (other, 0) => other,
        (one, other) => one.min(other),
    };
    changed(restored, credential)
}

/// Deleted since: comes back disabled, since its Credentials may be there still. Otherwise it stays disabled or
/// locked.
pub(super) fn user(restored: User, former: Option<User>) -> Verdict<User> {
    let mut user = restored.clone();
    let is_disabled = former
        .as_ref()
        .is_none_or(|former| former.spec.as_ref().is_some_and(|spec| spec.is_disabled));
    let is_locked = former
        .and_then(|former| former.status)
        .is_some_and(|status| status.is_locked);
    user.spec.get_or_insert_default().is_disabled |= is_disabled;
    user.status.get_or_insert_default().is_locked |= is_locked;
    changed(restored, user)
}

/// Ended since: goes. Otherwise it is as it is now: which of its tokens are good depends on it.
pub(super) fn session(restored: Session, former: Option<Session>) -> Verdict<Session> {
    let Some(mut former) = former else {
        return Verdict::Goes;
    };
    // A state that was set back to ACTIVE since is content; every other is a revocation.
    let restored_state = restored.spec.as_ref().map(session::Spec::state);
    if let (Some(spec), Some(state)) = (&mut former.spec, restored_state)
        && spec.state() == session::spec::State::Active
    {
        spec.set_state(state);
    }
    changed(restored, former)
}

/// Deleted since: goes. Otherwise it stays rejected or pending.
pub(super) fn device(restored: Device, former: Option<Device>) -> Verdict<Device> {
    let Some(former) = former else {
        return Verdict::Goes;
    };
    let mut device = restored.clone();
    let state = former.spec.map(|spec| spec.state()).unwrap_or_default();
    if state != device::spec::State::Active {
        device.spec.get_or_insert_default().set_state(state);
    }
    changed(restored, device)
}

/// Deleted since: goes. Otherwise it is as it is now: the code that was accepted last and the counter of its signatures
/// do not go back. It stays rejected or pending.
pub(super) fn authenticator(
    restored: Authenticator,
    former: Option<Authenticator>,
) -> Verdict<Authenticator> {
    let Some(mut former) = former else {
        return Verdict::Goes;
    };
    // Approved since is content; everything else is a revocation.
    let state = restored.spec.as_ref().map(authenticator::Spec::state);
    if let (Some(spec), Some(state)) = (&mut former.spec, state)
        && spec.state() == authenticator::spec::State::Active
        && state != authenticator::spec::State::Active
    {
        spec.set_state(state);
        let cloned_at = restored.status.as_ref().and_then(|status| status.cloned_at);
        former.status.get_or_insert_default().cloned_at = cloned_at;
    }
    // Of another history, and never that of somebody else.
    former.metadata.clone_from(&restored.metadata);
    changed(restored, former)
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "the callers are done with it"
)]
fn changed<T: PartialEq>(before: T, after: T) -> Verdict<T> {
    if before == after {
        Verdict::Stays
    } else {
        Verdict::Becomes(after)
    }
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) if (other.seconds, other.nanos) < (one.seconds, one.nanos) => {
            Some(other)
        }
        (Some(one), _) => Some(one),
        (None, other) => other,
    }
}

#[cfg(test)]
mod tests {
    use api::core_v1::{credential, user};

    use super::*;

    fn credential_with(token_id: &str, is_disabled: bool, expires_at: i64) -> Credential {
        Credential {
            spec: Some(credential::Spec {
                is_disabled,
                expires_at: (expires_at > 0).then_some(Timestamp {
                    seconds: expires_at,
                    nanos: 0,
                }),
                ..credential::Spec::default()
            }),
            status: Some(credential::Status {
                token_id: token_id.to_owned(),
                ..credential::Status::default()
            }),
            ..Credential::default()
        }
    }

    fn outcome<T>(verdict: Verdict<T>) -> T {
        match verdict {
            Verdict::Becomes(message) => message,
            Verdict::Stays => panic!("it stays"),
            Verdict::Goes => panic!("it goes"),
        }
    }

    #[test]
    fn e05_a_credential_that_was_deleted_goes() {
        assert!(matches!(
            credential(credential_with("old", false, 0), None),
            Verdict::Goes
        ));
    }

    #[test]
    fn e05_a_credential_keeps_its_present_secret_and_the_stricter_limits() {
        let now = credential_with("new", true, 50);
        let carried = outcome(credential(credential_with("old", false, 100), Some(now)));
        assert_eq!(carried, credential_with("new", true, 50));
    }

    #[test]
    fn e05_what_was_loosened_since_is_as_in_the_backup() {
        let now = credential_with("token", false, 0);
        let restored = credential_with("token", true, 100);
        assert!(matches!(credential(restored, Some(now)), Verdict::Stays));
    }

    #[test]
    fn e05_a_user_who_was_deleted_comes_back_disabled() {
        let user = outcome(super::user(User::default(), None));
        assert!(user.spec.is_some_and(|spec: user::Spec| spec.is_disabled));
    }

    #[test]
    fn e05_a_session_that_ended_goes() {
        assert!(matches!(session(Session::default(), None), Verdict::Goes));
    }

    fn authenticator_with(
        state: authenticator::spec::State,
        successful_authentications: u32,
    ) -> Authenticator {
        Authenticator {
            spec: Some(authenticator::Spec {
                state: state.into(),
                ..authenticator::Spec::default()
            }),
            status: Some(authenticator::Status {
                is_registered: true,
                successful_authentications,
                ..authenticator::Status::default()
            }),
            ..Authenticator::default()
        }
    }

    #[test]
    fn e05_an_authenticator_keeps_what_it_was_used_for_and_is_approved_by_both_alone() {
        use authenticator::spec::State::{Active, Pending, Rejected};
        for (backup, now, expected) in [
            (Active, Active, Active),
            (Active, Rejected, Rejected),
            (Active, Pending, Pending),
            (Pending, Rejected, Rejected),
            (Rejected, Pending, Pending),
            (Pending, Active, Pending),
            (Rejected, Active, Rejected),
        ] {
            let former = Some(authenticator_with(now, 8));
            let carried = outcome(authenticator(authenticator_with(backup, 3), former));
            assert_eq!(
                carried,
                authenticator_with(expected, 8),
                "{backup:?} {now:?}"
            );
        }
    }

    #[test]
    fn e05_an_authenticator_that_was_removed_goes() {
        let removed = authenticator(Authenticator::default(), None);
        assert!(matches!(removed, Verdict::Goes));
    }
}
