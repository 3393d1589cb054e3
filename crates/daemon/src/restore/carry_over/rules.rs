//! The revocation rules for each kind. Other content, such as Policies and Groups, is restored from the backup.

use api::core_v1::{
    Authenticator, Credential, Device, Session, User, authenticator, device, session,
};
use prost_types::Timestamp;

use super::Verdict;

/// Removes a Credential that was deleted since the backup. Otherwise keeps its current secret, lock and count, and the
/// stricter of each limit.
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

/// Disables a User that was deleted since the backup, because its Credentials may still exist. Otherwise keeps it
/// disabled or locked.
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

/// Removes a Session that ended since the backup. Otherwise keeps its current state, which determines its valid tokens.
pub(super) fn session(restored: Session, former: Option<Session>) -> Verdict<Session> {
    let Some(mut former) = former else {
        return Verdict::Goes;
    };
    // A state that was set back to ACTIVE since the backup counts as content; every other state is a revocation.
    let restored_state = restored.spec.as_ref().map(session::Spec::state);
    if let (Some(spec), Some(state)) = (&mut former.spec, restored_state)
        && spec.state() == session::spec::State::Active
    {
        spec.set_state(state);
    }
    changed(restored, former)
}

/// Removes a Device that was deleted since the backup. Otherwise keeps it rejected or pending.
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

/// Removes an Authenticator that was deleted since the backup. Otherwise keeps its current state: the last accepted
/// code and the signature counter must not be set back. A rejected or pending one stays so.
pub(super) fn authenticator(
    restored: Authenticator,
    former: Option<Authenticator>,
) -> Verdict<Authenticator> {
    let Some(mut former) = former else {
        return Verdict::Goes;
    };
    // An approval since the backup counts as content; every other state is a revocation.
    let state = restored.spec.as_ref().map(authenticator::Spec::state);
    if let (Some(spec), Some(state)) = (&mut former.spec, state)
        && spec.state() == authenticator::spec::State::Active
        && state != authenticator::spec::State::Active
    {
        spec.set_state(state);
        let cloned_at = restored.status.as_ref().and_then(|status| status.cloned_at);
        former.status.get_or_insert_default().cloned_at = cloned_at;
    }
    // Keeps the metadata of the backup: those of the former store have another history, or could be another owner's.
    former.metadata.clone_from(&restored.metadata);
    changed(restored, former)
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "the callers no longer need it"
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
    fn e05_a_deleted_credential_is_removed() {
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
    fn e05_limits_that_were_relaxed_since_are_those_of_the_backup() {
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
    fn e05_an_ended_session_is_removed() {
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
    fn e05_an_authenticator_keeps_its_usage_and_is_approved_only_if_both_approved_it() {
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
    fn e05_a_removed_authenticator_stays_removed() {
        let removed = authenticator(Authenticator::default(), None);
        assert!(matches!(removed, Verdict::Goes));
    }
}
