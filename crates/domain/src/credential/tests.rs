use std::time::Duration;

use api::core_v1::{Credential, credential::Spec, credential::Status, credential::spec::Type};
use proptest::prelude::*;
use rstest::rstest;

use super::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

fn id(byte: u8) -> Uid {
    Uid::from_bytes(&[byte; 16]).unwrap()
}

/// Returns a Credential whose first secret has the token id 1 and the version 1.
fn issued() -> Credential {
    let mut credential = Credential {
        spec: Some(Spec::default()),
        status: Some(Status::default()),
        ..Credential::default()
    };
    rotate(&mut credential, Rotation::EndSessions, id(1), NOW).unwrap();
    credential
}

fn with_spec(change: impl FnOnce(&mut Spec)) -> Credential {
    let mut credential = issued();
    change(credential.spec.as_mut().unwrap());
    credential
}

fn at(offset: Duration) -> UnixMillis {
    NOW.saturating_add(offset)
}

#[test]
fn a_current_secret_authenticates_and_another_does_not() {
    let credential = issued();
    assert_eq!(
        redeem(&credential, id(1), NOW),
        Ok(Generation::Current { version: 1 })
    );
    assert_eq!(redeem(&credential, id(2), NOW), Err(Refusal::Superseded));
}

#[test]
fn a_credential_without_a_secret_accepts_none() {
    let credential = Credential {
        spec: Some(Spec::default()),
        status: Some(Status::default()),
        ..Credential::default()
    };
    assert_eq!(redeem(&credential, id(0), NOW), Err(Refusal::Superseded));
    assert_eq!(
        accepts_version(&credential, 0, NOW),
        Err(Refusal::Superseded)
    );
    assert_eq!(
        redeem(&Credential::default(), id(0), NOW),
        Err(Refusal::Incomplete)
    );
}

#[rstest]
#[case::disabled(with_spec(|spec| spec.is_disabled = true), Refusal::Disabled)]
#[case::expired(with_spec(|spec| spec.expires_at = Some(NOW.to_proto())), Refusal::Expired)]
#[case::locked(
    { let mut it = issued(); it.status.as_mut().unwrap().is_locked = true; it },
    Refusal::Locked
)]
fn w12_a_revoked_credential_ends_its_sessions(
    #[case] credential: Credential,
    #[case] expected: Refusal,
) {
    assert_eq!(redeem(&credential, id(1), NOW), Err(expected));
    assert_eq!(accepts_version(&credential, 1, NOW), Err(expected));
    let mut rotated = credential.clone();
    let refused = rotate(&mut rotated, Rotation::EndSessions, id(2), NOW);
    assert_eq!(refused, Err(expected));
    assert_eq!(rotated, credential);
}

#[test]
fn e06_expiry_is_exact_in_any_year() {
    for end in [
        NOW,
        UnixMillis(2_147_483_648_000),
        UnixMillis(253_402_300_799_000),
    ] {
        let credential = with_spec(|spec| spec.expires_at = Some(end.to_proto()));
        assert!(redeem(&credential, id(1), UnixMillis(end.0 - 1)).is_ok());
        assert_eq!(redeem(&credential, id(1), end), Err(Refusal::Expired));
        assert_eq!(
            redeem(&credential, id(1), end.saturating_add(DAY)),
            Err(Refusal::Expired)
        );
    }
}

#[test]
fn w02_a_limited_credential_is_used_up_but_keeps_its_sessions() {
    let mut credential = with_spec(|spec| spec.max_authentications = 2);
    assert!(counted(&credential));
    for _ in 0..2 {
        assert!(redeem(&credential, id(1), NOW).is_ok());
        assert_eq!(record_use(&mut credential, 1, NOW), AfterUse::Keep);
    }
    assert_eq!(redeem(&credential, id(1), NOW), Err(Refusal::UsedUp));
    assert_eq!(accepts_version(&credential, 1, NOW), Ok(()));
    let status = credential.status.unwrap();
    assert_eq!(status.total_authentications, 2);
    assert_eq!(status.last_used_at, Some(NOW.to_proto()));
}

#[test]
fn the_last_use_deletes_a_credential_that_asked_for_it() {
    let mut credential = with_spec(|spec| {
        spec.max_authentications = 2;
        spec.auto_delete = true;
    });
    assert_eq!(record_use(&mut credential, 1, NOW), AfterUse::Keep);
    assert_eq!(record_use(&mut credential, 1, NOW), AfterUse::Delete);
}

#[test]
fn an_unlimited_credential_is_never_used_up() {
    let mut credential = with_spec(|spec| spec.auto_delete = true);
    assert!(!counted(&credential));
    assert_eq!(record_use(&mut credential, u32::MAX, NOW), AfterUse::Keep);
    assert_eq!(record_use(&mut credential, 1, NOW), AfterUse::Keep);
    assert!(redeem(&credential, id(1), NOW).is_ok());
}

#[test]
fn rotating_ends_the_secret_and_its_sessions() {
    let mut credential = issued();
    rotate(&mut credential, Rotation::EndSessions, id(2), at(HOUR)).unwrap();
    assert_eq!(
        redeem(&credential, id(1), at(HOUR)),
        Err(Refusal::Superseded)
    );
    assert_eq!(
        accepts_version(&credential, 1, at(HOUR)),
        Err(Refusal::Superseded)
    );
    assert_eq!(
        redeem(&credential, id(2), at(HOUR)),
        Ok(Generation::Current { version: 2 })
    );
    let status = credential.status.unwrap();
    assert_eq!(status.total_rotations, 2);
    assert_eq!(status.last_rotation_at, Some(at(HOUR).to_proto()));
}

#[test]
fn keeping_sessions_changes_the_secret_alone() {
    let mut credential = issued();
    rotate(&mut credential, Rotation::KeepSessions, id(2), NOW).unwrap();
    assert_eq!(redeem(&credential, id(1), NOW), Err(Refusal::Superseded));
    assert_eq!(
        redeem(&credential, id(2), NOW),
        Ok(Generation::Current { version: 1 })
    );
    assert_eq!(accepts_version(&credential, 1, NOW), Ok(()));
}

#[test]
fn a_session_that_is_its_own_secret_cannot_be_kept() {
    let mut credential = with_spec(|spec| spec.set_type(Type::AccessToken));
    let before = credential.clone();
    let refused = rotate(&mut credential, Rotation::KeepSessions, id(2), NOW);
    assert_eq!(refused, Err(Refusal::SessionIsSecret));
    assert_eq!(credential, before);
}

#[test]
fn a06_both_generations_work_until_the_overlap_ends_and_never_after() {
    let mut credential = issued();
    rotate(&mut credential, Rotation::Overlap(DAY), id(2), NOW).unwrap();
    let end = at(DAY);
    for now in [NOW, at(HOUR), UnixMillis(end.0 - 1)] {
        let old = Generation::Overlapping {
            version: 1,
            until: end,
        };
        assert_eq!(redeem(&credential, id(1), now), Ok(old));
        assert_eq!(
            redeem(&credential, id(2), now),
            Ok(Generation::Current { version: 2 })
        );
        assert_eq!(accepts_version(&credential, 1, now), Ok(()));
        assert_eq!(accepts_version(&credential, 2, now), Ok(()));
    }
    for now in [end, at(DAY * 365)] {
        assert_eq!(redeem(&credential, id(1), now), Err(Refusal::Superseded));
        assert_eq!(
            accepts_version(&credential, 1, now),
            Err(Refusal::Superseded)
        );
        assert_eq!(accepts_version(&credential, 2, now), Ok(()));
    }
    assert_eq!(version_ends_at(&credential, 1), Some(end));
    assert_eq!(version_ends_at(&credential, 2), None);
}

#[test]
fn a06_two_quick_rotations_do_not_leave_three_live_secrets() {
    let mut credential = issued();
    rotate(&mut credential, Rotation::Overlap(DAY), id(2), NOW).unwrap();
    rotate(&mut credential, Rotation::Overlap(DAY), id(3), at(HOUR)).unwrap();
    assert_eq!(
        redeem(&credential, id(1), at(HOUR)),
        Err(Refusal::Superseded)
    );
    assert_eq!(
        accepts_version(&credential, 1, at(HOUR)),
        Err(Refusal::Superseded)
    );
    assert_eq!(redeem(&credential, id(2), at(HOUR)).unwrap().version(), 2);
    assert_eq!(redeem(&credential, id(3), at(HOUR)).unwrap().version(), 3);
}

#[test]
fn a06_a_rotation_without_overlap_ends_a_running_one() {
    for rotation in [
        Rotation::EndSessions,
        Rotation::KeepSessions,
        Rotation::Overlap(Duration::ZERO),
    ] {
        let mut credential = issued();
        rotate(&mut credential, Rotation::Overlap(DAY), id(2), NOW).unwrap();
        rotate(&mut credential, rotation, id(3), NOW).unwrap();
        for old in [1, 2] {
            assert_eq!(redeem(&credential, id(old), NOW), Err(Refusal::Superseded));
        }
        assert_eq!(
            accepts_version(&credential, 1, NOW),
            Err(Refusal::Superseded)
        );
        assert!(redeem(&credential, id(3), NOW).is_ok());
    }
}

#[test]
fn a06_an_overlap_that_has_ended_does_not_begin_again_when_the_clock_jumps_back() {
    let mut credential = issued();
    rotate(&mut credential, Rotation::Overlap(HOUR), id(2), NOW).unwrap();
    assert!(redeem(&credential, id(1), NOW).is_ok());
    // Small clock differences between replicas are tolerated.
    assert!(
        redeem(
            &credential,
            id(1),
            NOW.saturating_sub(Duration::from_secs(5))
        )
        .is_ok()
    );
    for now in [NOW.saturating_sub(DAY), at(DAY)] {
        assert_eq!(redeem(&credential, id(1), now), Err(Refusal::Superseded));
        assert!(redeem(&credential, id(2), now).is_ok());
    }
}

#[test]
fn a06_the_first_secret_has_none_before_it() {
    let mut credential = Credential {
        spec: Some(Spec::default()),
        status: Some(Status::default()),
        ..Credential::default()
    };
    rotate(&mut credential, Rotation::Overlap(DAY), id(1), NOW).unwrap();
    let status = credential.status.as_ref().unwrap();
    assert_eq!(status.previous_expires_at, None);
    assert_eq!(
        accepts_version(&credential, 0, NOW),
        Err(Refusal::Superseded)
    );

    let mut kept = Credential {
        status: Some(Status::default()),
        ..credential
    };
    rotate(&mut kept, Rotation::KeepSessions, id(1), NOW).unwrap();
    assert_eq!(
        redeem(&kept, id(1), NOW),
        Ok(Generation::Current { version: 1 })
    );
}

#[test]
fn e06_an_overlap_ends_within_the_years_of_the_wire() {
    let mut credential = issued();
    rotate(
        &mut credential,
        Rotation::Overlap(Duration::MAX),
        id(2),
        NOW,
    )
    .unwrap();
    let end = credential.status.unwrap().previous_expires_at.unwrap();
    assert_eq!((end.seconds, end.nanos), (253_402_300_799, 0));
}

#[test]
fn versions_do_not_wrap_around() {
    let mut credential = issued();
    credential.status.as_mut().unwrap().version = u32::MAX;
    let before = credential.clone();
    let refused = rotate(&mut credential, Rotation::EndSessions, id(2), NOW);
    assert_eq!(refused, Err(Refusal::RotatedTooOften));
    assert_eq!(credential, before);
}

#[test]
fn only_a_bound_credential_requires_its_verifier() {
    let verifier = [7_u8; 32];
    let mut bound = issued();
    let challenge = digest::digest(&digest::SHA256, &verifier);
    bound.status.as_mut().unwrap().pkce = Some(core_v1::credential::status::Pkce {
        code_challenge: challenge.as_ref().to_vec(),
    });
    assert_eq!(check_verifier(&bound, &verifier), Ok(()));
    assert_eq!(
        check_verifier(&bound, &[8; 32]),
        Err(Refusal::WrongVerifier)
    );
    assert_eq!(check_verifier(&bound, &[]), Err(Refusal::WrongVerifier));
    assert_eq!(check_verifier(&issued(), &[]), Ok(()));
    assert_eq!(
        check_verifier(&issued(), &verifier),
        Err(Refusal::WrongVerifier)
    );

    bound.status.as_mut().unwrap().pkce = Some(core_v1::credential::status::Pkce::default());
    assert_eq!(check_verifier(&bound, &[]), Err(Refusal::WrongVerifier));
}

fn any_rotation() -> impl Strategy<Value = Rotation> {
    prop_oneof![
        Just(Rotation::EndSessions),
        Just(Rotation::KeepSessions),
        (0_u64..200_000).prop_map(|seconds| Rotation::Overlap(Duration::from_secs(seconds))),
    ]
}

proptest! {
    #[test]
    fn a06_never_more_than_two_generations_live(
        steps in prop::collection::vec((any_rotation(), -100_000_i64..100_000), 1..12),
    ) {
        let mut credential = issued();
        let mut now = NOW;
        let mut ids = vec![id(1)];
        for (number, (rotation, jump)) in (2..).zip(steps) {
            now = UnixMillis(now.0 + jump * 1000);
            let before = credential.status.clone().unwrap();
            rotate(&mut credential, rotation, id(number), now).unwrap();
            ids.push(id(number));
            let live: Vec<_> = ids.iter().filter_map(|id| redeem(&credential, *id, now).ok()).collect();
            prop_assert!(live.len() <= 2);
            let overlaps = live.iter().any(|one| matches!(one, Generation::Overlapping { .. }));
            prop_assert_eq!(live.len(), 1 + usize::from(overlaps));
            prop_assert_eq!(redeem(&credential, id(number), now).map(Generation::version),
                Ok(credential.status.as_ref().unwrap().version));
            let versions = (0..=before.version + 1)
                .filter(|version| accepts_version(&credential, *version, now).is_ok());
            prop_assert!(versions.count() <= 2);
        }
    }

    #[test]
    fn a06_an_overlap_never_outlasts_its_end(
        overlap in 1_u64..1_000_000, jumps in prop::collection::vec(-2_000_000_i64..2_000_000, 1..10),
    ) {
        let mut credential = issued();
        rotate(&mut credential, Rotation::Overlap(Duration::from_secs(overlap)), id(2), NOW).unwrap();
        let end = at(Duration::from_secs(overlap));
        for jump in jumps {
            let now = UnixMillis(NOW.0 + jump * 1000);
            if now >= end {
                prop_assert_eq!(redeem(&credential, id(1), now), Err(Refusal::Superseded));
            }
        }
    }
}

#[rstest]
#[case::as_it_is_made(Some(15), Some(15), Some(15))]
#[case::prolonged(Some(15), Some(1_000_000), Some(15))]
#[case::without_an_expiry(Some(15), None, Some(15))]
#[case::shortened(Some(15), Some(5), Some(5))]
#[case::from_before_the_field_existed(None, Some(1_000_000), Some(15))]
fn the_end_of_a_recovery_credential_cannot_be_moved_away_s05(
    #[case] until: Option<u64>,
    #[case] expires: Option<u64>,
    #[case] ends: Option<u64>,
) {
    let minutes = |minutes: u64| at(Duration::from_mins(minutes));
    let mut credential = issued();
    credential.metadata = Some(api::meta_v1::Metadata {
        created_at: Some(NOW.to_proto()),
        ..Default::default()
    });
    credential.spec.as_mut().unwrap().expires_at = expires.map(|at| minutes(at).to_proto());
    let status = credential.status.as_mut().unwrap();
    status.recovery = true;
    status.recovery_until = until.map(|at| minutes(at).to_proto());
    let ends = ends.map(minutes).unwrap();
    assert_eq!(recovery_until(&credential), Some(ends));
    assert_eq!(version_ends_at(&credential, 1), Some(ends));
    assert!(redeem(&credential, id(1), UnixMillis(ends.0 - 1)).is_ok());
    assert_eq!(redeem(&credential, id(1), ends), Err(Refusal::Expired));
    assert_eq!(accepts_version(&credential, 1, ends), Err(Refusal::Expired));
    let rotated = rotate(&mut credential, Rotation::EndSessions, id(2), NOW);
    assert_eq!(rotated, Err(Refusal::Recovery));
}

#[test]
fn a_recovery_credential_that_does_not_say_when_it_ends_has_ended_s05() {
    let mut credential = issued();
    credential.status.as_mut().unwrap().recovery = true;
    assert_eq!(redeem(&credential, id(1), NOW), Err(Refusal::Expired));
}
