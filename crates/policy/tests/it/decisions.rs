//! Tests of which rule decides.

use std::sync::Arc;

use api::core_v1::{self, policy::Spec};
use policy::{
    Effect, Explanation, PolicySet, Reason, StepOutcome, Subject, Target, check_policy, decide,
    explain,
};

use crate::support::*;

fn failing() -> core_v1::Condition {
    cel("ctx.user.spec.groups[9] == 'x'")
}

fn reason(rule: &str, effect: Effect) -> Reason {
    Reason::Rule {
        policy: Arc::from("api.default/inlinePolicies[0]"),
        rule: Arc::from(rule),
        effect,
        error: None,
    }
}

#[test]
fn no_policy_denies() {
    let decision = decide(
        &PolicySet::default(),
        Some(&subject()),
        &target(&[], vec![]),
        &request(),
        NOW,
    );
    assert!(!decision.allowed);
    assert_eq!(decision.reason, Reason::NoMatch);
}

#[test]
fn the_first_match_by_priority_decides_and_deny_comes_first() {
    let decision = decided(rules(vec![allow(match_any(true)), deny(match_any(true))]));
    assert_eq!(decision.reason, reason("rules[1]", Effect::Deny));

    let decision = decided(rules(vec![
        prioritised(deny(match_any(true)), 0),
        prioritised(allow(match_any(true)), -1),
    ]));
    assert!(decision.allowed);
    assert_eq!(decision.reason, reason("rules[1]", Effect::Allow));

    let decision = decided(rules(vec![
        prioritised(allow(match_any(true)), 4),
        prioritised(deny(match_any(true)), 3),
        prioritised(deny(match_any(false)), -4),
    ]));
    assert_eq!(decision.reason, reason("rules[1]", Effect::Deny));
}

#[test]
fn priorities_hold_across_policies_and_owners() {
    let mut alice = alice();
    alice.spec.as_mut().unwrap().authorization = Some(core_v1::user::spec::Authorization {
        policies: vec!["weak".to_owned()],
        inline_policies: vec![inline(rules(vec![prioritised(deny(match_any(true)), -2)]))],
    });
    let subject = Subject::new(&alice, &[], &session(), None);
    let set = PolicySet::new([
        policy("weak", rules(vec![prioritised(allow(match_any(true)), -1)])),
        policy(
            "strong",
            rules(vec![prioritised(allow(match_any(true)), -3)]),
        ),
    ]);
    let request = request();
    assert!(!decide(&set, Some(&subject), &target(&[], vec![]), &request, NOW).allowed);
    assert!(
        decide(
            &set,
            Some(&subject),
            &target(&["strong"], vec![]),
            &request,
            NOW
        )
        .allowed
    );
}

#[test]
fn every_owner_can_attach() {
    let set = PolicySet::new([policy("p", rules(vec![allow(match_any(true))]))]);
    let names = || vec!["p".to_owned()];
    let request = request();
    let bare = target(&[], vec![]);
    let allowed = |subject: &Subject, target: &Target| {
        decide(&set, Some(subject), target, &request, NOW).allowed
    };

    let mut group = group("dev");
    group.spec.as_mut().unwrap().authorization = Some(core_v1::group::spec::Authorization {
        policies: names(),
        ..Default::default()
    });
    assert!(allowed(
        &Subject::new(&alice(), &[group], &session(), None),
        &bare
    ));

    let mut session = session();
    session.spec.as_mut().unwrap().authorization = Some(core_v1::session::spec::Authorization {
        policies: names(),
        ..Default::default()
    });
    assert!(allowed(&Subject::new(&alice(), &[], &session, None), &bare));

    let device = core_v1::Device {
        spec: Some(core_v1::device::Spec {
            authorization: Some(core_v1::device::spec::Authorization {
                policies: names(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert!(allowed(
        &Subject::new(&alice(), &[], &crate::support::session(), Some(&device)),
        &bare
    ));

    let mut namespace = namespace();
    namespace.spec = Some(core_v1::namespace::Spec {
        authorization: Some(core_v1::namespace::spec::Authorization {
            policies: names(),
            ..Default::default()
        }),
        ..Default::default()
    });
    assert!(allowed(
        &subject(),
        &Target::new(&service(), &namespace, None)
    ));

    let cluster = core_v1::ClusterConfig {
        spec: Some(core_v1::cluster_config::Spec {
            authorization: Some(core_v1::cluster_config::spec::Authorization {
                policies: names(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let target = Target::new(&service(), &crate::support::namespace(), Some(&cluster));
    assert!(allowed(&subject(), &target));
    assert!(!allowed(&subject(), &bare));
}

#[test]
fn w56_a_missing_policy_denies_even_if_another_allows() {
    let set = PolicySet::new([policy("there", rules(vec![allow(match_any(true))]))]);
    let target = target(&["there", "gone"], vec![]);
    let decision = decide(&set, Some(&subject()), &target, &request(), NOW);
    assert!(!decision.allowed);
    assert_eq!(
        decision.reason,
        Reason::MissingPolicy {
            policy: Arc::from("gone")
        }
    );

    let mended = set.with(policy("gone", Spec::default()));
    assert!(decide(&mended, Some(&subject()), &target, &request(), NOW).allowed);
    let broken = mended.without("there");
    assert!(!decide(&broken, Some(&subject()), &target, &request(), NOW).allowed);
}

#[test]
fn a_policy_brings_its_parents() {
    let set = PolicySet::new([
        policy("child.parent", rules(vec![allow(match_any(true))])),
        policy("parent", rules(vec![deny(match_any(true))])),
    ]);
    let decision = decide(
        &set,
        Some(&subject()),
        &target(&["child.parent"], vec![]),
        &request(),
        NOW,
    );
    assert!(matches!(decision.reason, Reason::Rule { ref policy, .. } if &**policy == "parent"));
    let orphan = set.without("parent");
    let decision = decide(
        &orphan,
        Some(&subject()),
        &target(&["child.parent"], vec![]),
        &request(),
        NOW,
    );
    assert_eq!(
        decision.reason,
        Reason::MissingPolicy {
            policy: Arc::from("parent")
        }
    );
}

#[test]
fn a_disabled_policy_has_no_rules_and_is_not_missing() {
    let spec = Spec {
        is_disabled: true,
        ..rules(vec![deny(match_any(true))])
    };
    let set = PolicySet::new([policy("off", spec)]);
    let target = target(&["off"], vec![rules(vec![allow(match_any(true))])]);
    assert!(decide(&set, Some(&subject()), &target, &request(), NOW).allowed);
}

#[test]
fn b21_an_error_in_a_deny_rule_denies_and_in_an_allow_rule_does_not_allow() {
    let decision = decided(rules(vec![deny(failing()), allow(match_any(true))]));
    assert!(!decision.allowed);
    let Reason::Rule {
        effect: Effect::Deny,
        error: Some(error),
        ..
    } = &decision.reason
    else {
        panic!("{}", decision.reason);
    };
    assert_eq!(error, "index out of bounds");
    assert!(
        decision
            .reason
            .to_string()
            .contains("could not be evaluated: index out of bounds")
    );

    assert!(!decided(rules(vec![allow(failing())])).allowed);
    assert!(decided(rules(vec![allow(failing()), allow(match_any(true))])).allowed);
}

#[test]
fn b21_a_policy_is_enforced_if_its_enforcement_rule_fails() {
    let spec = |enforcement_rules| Spec {
        enforcement_rules,
        ..rules(vec![prioritised(deny(match_any(true)), -1)])
    };
    let with = |enforcement| {
        let target = target(
            &[],
            vec![spec(enforcement), rules(vec![allow(match_any(true))])],
        );
        decide(
            &PolicySet::default(),
            Some(&subject()),
            &target,
            &request(),
            NOW,
        )
        .allowed
    };
    assert!(!with(vec![ignore(failing())]));
    assert!(!with(vec![ignore(match_any(true)), enforce(failing())]));
    assert!(with(vec![ignore(match_any(true))]));
    assert!(with(vec![
        enforce(match_any(false)),
        ignore(match_any(true))
    ]));
    assert!(!with(vec![
        ignore(match_any(true)),
        enforce(match_any(true))
    ]));
    assert!(!with(vec![enforce(match_any(false))]));
}

#[test]
fn any_all_and_none_absorb_errors() {
    let matches = |condition| decided(rules(vec![allow(condition)])).allowed;
    let yes = || match_any(true);
    let no = || match_any(false);
    assert!(matches(any(vec![failing(), yes()])));
    assert!(!matches(any(vec![failing(), no()])));
    assert!(!matches(all(vec![failing(), no()])));
    assert!(!matches(all(vec![failing(), yes()])));
    assert!(!matches(none(vec![failing(), no()])));
    let denies = |condition| !decided(rules(vec![deny(condition), allow(yes())])).allowed;
    assert!(denies(any(vec![failing(), no()])));
    assert!(denies(all(vec![failing(), yes()])));
    assert!(!denies(all(vec![failing(), no()])));
    assert!(denies(none(vec![failing(), no()])));
    assert!(!denies(none(vec![failing(), yes()])));
}

#[test]
fn empty_lists_and_unset_conditions_never_match() {
    for condition in [
        all(vec![]),
        any(vec![]),
        none(vec![]),
        core_v1::Condition::default(),
    ] {
        assert!(!decided(rules(vec![allow(condition)])).allowed);
    }
}

#[test]
fn w57_not_and_none_see_defaults_where_data_is_missing() {
    let denies = |condition| !decided(rules(vec![deny(condition), allow(match_any(true))])).allowed;
    assert!(denies(cel("ctx.session.status.isBrowser == false")));
    assert!(denies(cel("ctx.device.status.isLocked == false")));
    assert!(denies(not("ctx.session.status.isBrowser")));
    assert!(!denies(not("ctx.user.spec.email == 'alice@example.com'")));
    assert!(denies(none(vec![cel("ctx.session.status.isLocked")])));
    // A failed evaluation does not count as false under negation.
    assert!(!decided(rules(vec![allow(not("ctx.user.spec.groups[9] == 'x'"))])).allowed);
    assert!(!decided(rules(vec![allow(none(vec![failing()]))])).allowed);
}

#[test]
fn w58_a_badly_typed_rule_is_refused_when_written_and_stops_only_itself_when_stored() {
    let spec = rules(vec![
        allow(cel("ctx.service.spec.port == '8080'")),
        allow(cel("ctx.service.spec.port == 8080")),
    ]);
    check_policy(&spec).unwrap_err();
    assert!(decided(spec).allowed);
    let spec = rules(vec![deny(cel("ctx.nothing")), allow(match_any(true))]);
    assert!(!decided(spec).allowed);
}

#[test]
fn w60_errors_are_kinds_and_no_words_of_the_user_change_them() {
    for text in [
        "no such key",
        "null field",
        "undefined field",
        "index out of bounds",
    ] {
        let source = format!("int('{text}') == 1");
        let decision = decided(rules(vec![deny(cel(&source)), allow(match_any(true))]));
        assert!(!decision.allowed, "{text}");
    }
}

#[test]
fn attrs_are_those_of_the_policy() {
    let spec = |level| Spec {
        attrs: Some(object([("level", number(level))])),
        ..rules(vec![allow(cel("ctx.user.spec.attrs.level >= attrs.level"))])
    };
    assert!(decided(spec(3.0)).allowed);
    assert!(!decided(spec(4.0)).allowed);
    assert!(!decided(rules(vec![allow(cel("attrs.level == 3"))])).allowed);
    assert!(decided(rules(vec![allow(cel("attrs.level == null"))])).allowed);
}

#[test]
fn an_anonymous_request_is_decided_by_the_target_alone() {
    let target = target(
        &[],
        vec![rules(vec![allow(cel(
            "!has(ctx.user) && ctx.user.spec.email == ''",
        ))])],
    );
    assert!(decide(&PolicySet::default(), None, &target, &request(), NOW).allowed);
    assert!(
        !decide(
            &PolicySet::default(),
            Some(&subject()),
            &target,
            &request(),
            NOW
        )
        .allowed
    );
}

#[test]
fn an_explanation_lists_the_rules_that_were_reached() {
    let target = target(
        &[],
        vec![
            rules(vec![
                allow(failing()),
                allow(cel("ctx.request.http.size == 0")),
            ]),
            Spec {
                enforcement_rules: vec![ignore(match_any(true))],
                ..rules(vec![deny(match_any(true))])
            },
            rules(vec![
                allow(match_any(true)),
                prioritised(deny(match_any(true)), 4),
            ]),
        ],
    );
    let Explanation {
        decision,
        steps,
        shadow,
    } = explain(
        &PolicySet::default(),
        Some(&subject()),
        &target,
        &request(),
        NOW,
    );
    assert_eq!(shadow, None);
    assert_eq!(
        decision,
        decide(
            &PolicySet::default(),
            Some(&subject()),
            &target,
            &request(),
            NOW
        )
    );
    assert!(decision.allowed);
    let outcomes: Vec<_> = steps.iter().map(|step| step.outcome.clone()).collect();
    assert_eq!(
        outcomes,
        [
            StepOutcome::NotEnforced,
            StepOutcome::Skipped("index out of bounds".to_owned()),
            StepOutcome::NotMatched,
            StepOutcome::Matched,
        ]
    );
}

#[test]
fn a_subject_is_small() {
    let set = PolicySet::new([policy("p", Spec::default())]);
    let subject = subject();
    decide(
        &set,
        Some(&subject),
        &target(&["p"], vec![]),
        &request(),
        NOW,
    );
    assert!(subject.weight() < 1_500, "{} bytes", subject.weight());
}
