//! Tests of values that imitate others, and of failures that must deny.

use api::core_v1::{Condition, condition};
use policy::{PolicySet, Reason, RuleList, Subject, check_condition, decide};
use rstest::rstest;

use crate::support::*;

/// Returns whether a rule with this condition allows a User with this e-mail address.
fn lets_in(email: &str, source: &str) -> bool {
    let mut user = alice();
    email.clone_into(&mut user.spec.as_mut().unwrap().email);
    let subject = Subject::new(&user, &[group("dev"), group("ops")], &session(), None);
    let target = target(&[], vec![rules(vec![allow(cel(source))])]);
    decide(
        &PolicySet::default(),
        Some(&subject),
        &target,
        &request(),
        NOW,
    )
    .allowed
}

#[rstest]
#[case("alice@corp.com", true)]
#[case("alice@evil@corp.com", false)]
#[case("alice@corp.com@evil.com", false)]
#[case("alice@sub.corp.com", false)]
#[case("alice@notcorp.com", false)]
#[case("alice@corp.com.evil.com", false)]
// A Cyrillic o, a soft hyphen, a full-width dot, and capitals of other scripts.
#[case("alice@c\u{43e}rp.com", false)]
#[case("alice@co\u{ad}rp.com", false)]
#[case("alice@corp\u{ff0e}com", false)]
#[case("alice@\u{216d}orp.com", false)]
#[case("alice@corp.com\n", false)]
#[case("alice@corp.com\0", false)]
#[case("@corp.com", false)]
fn c12_a_domain_is_compared_whole(#[case] email: &str, #[case] expected: bool) {
    for source in [
        r#"ctx.user.spec.email.matches("^[a-z0-9.]+@corp\\.com$")"#,
        r#"ctx.user.spec.email.split("@") == ["alice", "corp.com"]"#,
        r#"cel.bind(p, ctx.user.spec.email.split("@"), size(p) == 2 && p[0] != "" && p[1] == "corp.com")"#,
    ] {
        assert_eq!(lets_in(email, source), expected, "{email:?} {source}");
    }
    assert_eq!(
        lets_in(email, r#"ctx.user.spec.email == "alice@corp.com""#),
        expected
    );
}

#[test]
fn c12_a_group_is_a_whole_name_and_never_a_part_of_a_list() {
    let mut user = alice();
    let spec = user.spec.as_mut().unwrap();
    spec.groups = vec![
        "dev,admin".to_owned(),
        "admins".to_owned(),
        "Admin".to_owned(),
    ];
    let subject = Subject::new(&user, &[], &session(), None);
    for (source, expected) in [
        (r#""admin" in ctx.user.spec.groups"#, false),
        (r#"ctx.user.spec.groups.exists(g, g == "admin")"#, false),
        (r#"ctx.user.spec.groups.hasAny(["admin"])"#, false),
        (r#""dev,admin" in ctx.user.spec.groups"#, true),
    ] {
        let target = target(&[], vec![rules(vec![allow(cel(source))])]);
        let found = decide(
            &PolicySet::default(),
            Some(&subject),
            &target,
            &request(),
            NOW,
        );
        assert_eq!(found.allowed, expected, "{source}");
    }
}

#[test]
fn c13_missing_broken_or_too_costly_policies_deny() {
    let allowing = || rules(vec![prioritised(allow(match_any(true)), -4)]);
    // An attached Policy does not exist.
    let set = PolicySet::new([policy("open", allowing())]);
    let gone = target(&["open", "gone"], vec![]);
    let found = decide(&set, Some(&subject()), &gone, &request(), NOW);
    assert!(matches!(found.reason, Reason::MissingPolicy { .. }) && !found.allowed);
    // The parent of an attached Policy does not exist.
    let set = PolicySet::new([policy("child.gone", allowing())]);
    let orphan = target(&["child.gone"], vec![]);
    assert!(!decide(&set, Some(&subject()), &orphan, &request(), NOW).allowed);
    // Stored by an older version and no longer valid: the DENY rule counts as a match, the ALLOW rule does not.
    for (rule, broken) in [
        (deny(cel("ctx.user.spec.nothing == 1")), true),
        (allow(cel("ctx.user.spec.nothing == 1")), false),
    ] {
        let found = decided(rules(vec![rule]));
        assert!(!found.allowed);
        assert_eq!(matches!(found.reason, Reason::Rule { .. }), broken);
    }
    // Too expensive.
    let costly = "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, \
                  [1,2,3,4,5,6,7,8,9].all(d, [1,2,3,4,5,6,7,8,9].all(e, [1,2,3,4,5,6,7,8,9].all(f, a+b+c+d+e+f > 0))))))";
    let found = decided(rules(vec![
        deny(cel(&format!("!({costly})"))),
        prioritised(allow(match_any(true)), 4),
    ]));
    assert!(!found.allowed, "{found:?}");
    assert!(!decided(rules(vec![allow(cel(costly))])).allowed);
}

#[test]
fn w61_w63_opa_is_refused_so_that_no_policy_fetches_or_shares_a_compiled_query() {
    let opa = Condition {
        r#type: Some(condition::Type::Opa(condition::Opa {
            r#type: Some(condition::opa::Type::Inline(
                "package octelium.condition".to_owned(),
            )),
        })),
    };
    check_condition(RuleList::Policy, &opa).unwrap_err();
    for rule in [allow(opa.clone()), deny(opa)] {
        assert!(!decided(rules(vec![rule])).allowed);
    }
}

#[test]
fn w63_equal_texts_of_different_lists_are_compiled_for_each() {
    let source = cel("ctx.user.spec.email == 'alice@example.com'");
    check_condition(RuleList::Policy, &source).unwrap();
    check_condition(RuleList::Enforcement, &source).unwrap();
    check_condition(RuleList::Aal, &source).unwrap_err();
}

#[test]
fn w64_every_decision_has_its_reason() {
    for (spec, words) in [
        (rules(vec![]), "no rule matched"),
        (
            rules(vec![allow(match_any(true))]),
            "allowed by rule rules[0]",
        ),
        (
            rules(vec![deny(match_any(true))]),
            "denied by rule rules[0]",
        ),
        (
            rules(vec![deny(cel("ctx.user.spec.groups[9] == ''"))]),
            "could not be evaluated: index out of bounds",
        ),
    ] {
        let reason = decided(spec).reason.to_string();
        assert!(reason.contains(words), "{reason}");
    }
}
