//! Tests of shadow Policies.

use api::core_v1::policy::Spec;
use policy::{Decision, PolicySet, Reason, decide, decide_with_shadow, explain};
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use crate::support::*;

fn shadow(spec: Spec) -> Spec {
    Spec {
        is_shadow: true,
        ..spec
    }
}

fn beside(
    policies: &PolicySet,
    attached: &[&str],
    inline: Vec<Spec>,
) -> (Decision, Option<Decision>) {
    decide_with_shadow(
        policies,
        Some(&subject()),
        &target(attached, inline),
        &request(),
        NOW,
    )
}

#[test]
fn a_shadow_policy_says_what_it_would_change_and_changes_nothing() {
    let allowing = rules(vec![allow(match_any(true))]);
    let denying = rules(vec![deny(cel(
        "ctx.request.http.path.startsWith('/admin')",
    ))]);
    let (decision, would) = beside(
        &PolicySet::default(),
        &[],
        vec![allowing.clone(), shadow(denying.clone())],
    );
    assert!(decision.allowed);
    let would = would.unwrap();
    assert!(!would.allowed);
    let Reason::Rule { policy, .. } = would.reason else {
        panic!("{would:?}");
    };
    assert_eq!(&*policy, "api.default/inlinePolicies[1]");

    // A shadow decision that agrees is not reported.
    let elsewhere = shadow(rules(vec![deny(cel("ctx.request.http.path == '/other'"))]));
    let (_, would) = beside(&PolicySet::default(), &[], vec![allowing, elsewhere]);
    assert_eq!(would, None);
}

#[test]
fn a_shadow_policy_that_allows_opens_nothing() {
    let (decision, would) = beside(
        &PolicySet::default(),
        &[],
        vec![shadow(rules(vec![allow(match_any(true))]))],
    );
    assert_eq!(decision.reason, Reason::NoMatch);
    assert!(would.unwrap().allowed);
}

#[test]
fn the_parents_of_a_shadow_policy_are_in_its_shadow_unless_attached_otherwise() {
    let set = PolicySet::new([
        policy("base", rules(vec![deny(match_any(true))])),
        policy("trial.base", shadow(Spec::default())),
        policy("open", rules(vec![allow(match_any(true))])),
    ]);
    let (decision, would) = beside(&set, &["open", "trial.base"], vec![]);
    assert!(decision.allowed);
    assert!(!would.unwrap().allowed);
    for order in [
        ["open", "trial.base", "base"],
        ["base", "trial.base", "open"],
    ] {
        let (decision, would) = beside(&set, &order, vec![]);
        assert!(!decision.allowed);
        assert_eq!(would, None);
    }
}

#[test]
fn an_explanation_has_both_sides() {
    let target = target(
        &[],
        vec![
            rules(vec![allow(match_any(true))]),
            shadow(rules(vec![prioritised(deny(match_any(true)), -4)])),
        ],
    );
    let found = explain(
        &PolicySet::default(),
        Some(&subject()),
        &target,
        &request(),
        NOW,
    );
    assert!(found.decision.allowed);
    assert_eq!(found.steps.len(), 1);
    let (would, steps) = found.shadow.unwrap();
    assert!(!would.allowed);
    assert_eq!((steps.len(), steps[0].priority), (1, -4));
}

proptest! {
    #[test]
    fn shadow_policies_never_change_a_decision(
        plan in prop::collection::vec((any::<bool>(), any::<bool>(), -4..=4, any::<bool>()), 0..8)
    ) {
        let made: Vec<Spec> = plan
            .iter()
            .map(|(allows, matches, priority, is_shadow)| {
                let rule = if *allows { allow(match_any(*matches)) } else { deny(match_any(*matches)) };
                Spec { is_shadow: *is_shadow, ..rules(vec![prioritised(rule, *priority)]) }
            })
            .collect();
        let active: Vec<Spec> = made.iter().filter(|spec| !spec.is_shadow).cloned().collect();
        let lit: Vec<Spec> = made.iter().map(|spec| Spec { is_shadow: false, ..spec.clone() }).collect();
        let decided = |specs: Vec<Spec>| {
            decide(&PolicySet::default(), Some(&subject()), &target(&[], specs), &request(), NOW)
        };
        let (decision, would) = beside(&PolicySet::default(), &[], made);
        prop_assert_eq!(decision.allowed, decided(active).allowed);
        let all = decided(lit).allowed;
        prop_assert_eq!(would.map_or(decision.allowed, |would| would.allowed), all);
        prop_assert!(true);
    }
}
