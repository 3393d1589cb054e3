//! Properties that hold for all Policies.

use api::core_v1::policy::{
    Spec,
    spec::{Rule, rule},
};
use policy::{Effect, PolicySet, Reason, decide};
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use crate::support::*;

/// The outcome of a condition for the test User, known without the engine.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    True,
    False,
    Error,
}

const LEAVES: [(&str, Outcome); 12] = [
    ("ctx.user.spec.email == 'alice@example.com'", Outcome::True),
    ("ctx.user.spec.type == 'WORKLOAD'", Outcome::False),
    ("'dev' in ctx.user.spec.groups", Outcome::True),
    ("'hr' in ctx.user.spec.groups", Outcome::False),
    ("ctx.request.http.method in ['GET', 'PUT']", Outcome::True),
    (
        "ctx.request.http.path.startsWith('/public')",
        Outcome::False,
    ),
    ("ctx.session.status.isBrowser", Outcome::False),
    (
        "ctx.service.spec.isPublic && ctx.service.spec.port > 80",
        Outcome::True,
    ),
    (
        "ctx.request.http.headers['x-env'] != 'prod'",
        Outcome::False,
    ),
    (
        "ctx.groups.exists(g, g.metadata.name == 'ops')",
        Outcome::True,
    ),
    ("ctx.user.spec.groups[7] == 'x'", Outcome::Error),
    ("1 / (ctx.service.spec.port - 8080) == 0", Outcome::Error),
];

#[derive(Debug, Clone)]
enum Tree {
    Leaf(usize),
    Not(usize),
    All(Vec<Tree>),
    Any(Vec<Tree>),
    None(Vec<Tree>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        (0..LEAVES.len()).prop_map(Tree::Leaf),
        (0..LEAVES.len()).prop_map(Tree::Not),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let of = prop::collection::vec(inner, 1..4);
        prop_oneof![
            of.clone().prop_map(Tree::All),
            of.clone().prop_map(Tree::Any),
            of.prop_map(Tree::None),
        ]
    })
}

#[derive(Debug, Clone)]
struct Written {
    condition: Tree,
    effect: Effect,
    priority: i32,
}

fn written() -> impl Strategy<Value = Written> {
    (tree(), any::<bool>(), -4..=4).prop_map(|(condition, allows, priority)| Written {
        condition,
        effect: if allows { Effect::Allow } else { Effect::Deny },
        priority,
    })
}

fn policies() -> impl Strategy<Value = Vec<Vec<Written>>> {
    prop::collection::vec(prop::collection::vec(written(), 0..5), 0..5)
}

fn condition(tree: &Tree) -> api::core_v1::Condition {
    let of = |trees: &[Tree]| trees.iter().map(condition).collect();
    match tree {
        Tree::Leaf(index) => cel(LEAVES[*index].0),
        Tree::Not(index) => not(LEAVES[*index].0),
        Tree::All(trees) => super::support::all(of(trees)),
        Tree::Any(trees) => super::support::any(of(trees)),
        Tree::None(trees) => none(of(trees)),
    }
}

/// Evaluates a condition in the simplest way.
fn naive(tree: &Tree) -> Outcome {
    let flip = |outcome| match outcome {
        Outcome::True => Outcome::False,
        Outcome::False => Outcome::True,
        Outcome::Error => Outcome::Error,
    };
    let either = |trees: &[Tree], decisive: Outcome| {
        let outcomes: Vec<Outcome> = trees.iter().map(naive).collect();
        if outcomes.contains(&decisive) {
            decisive
        } else if outcomes.contains(&Outcome::Error) {
            Outcome::Error
        } else {
            flip(decisive)
        }
    };
    match tree {
        Tree::Leaf(index) => LEAVES[*index].1,
        Tree::Not(index) => flip(LEAVES[*index].1),
        Tree::All(trees) => either(trees, Outcome::False),
        Tree::Any(trees) => either(trees, Outcome::True),
        Tree::None(trees) => flip(either(trees, Outcome::True)),
    }
}

/// Finds the deciding rule by sorting all rules.
fn naive_decision(policies: &[Vec<Written>]) -> Option<(usize, usize, Effect)> {
    let mut all: Vec<(usize, usize, &Written)> = policies
        .iter()
        .enumerate()
        .flat_map(|(policy, rules)| {
            rules
                .iter()
                .enumerate()
                .map(move |(index, rule)| (policy, index, rule))
        })
        .collect();
    all.sort_by_key(|(_, _, rule)| (rule.priority, rule.effect == Effect::Allow));
    all.into_iter()
        .find(|(_, _, rule)| match naive(&rule.condition) {
            Outcome::True => true,
            Outcome::False => false,
            Outcome::Error => rule.effect == Effect::Deny,
        })
        .map(|(policy, index, rule)| (policy, index, rule.effect))
}

fn spec(rules: &[Written]) -> Spec {
    let rules = rules
        .iter()
        .map(|written| Rule {
            condition: Some(condition(&written.condition)),
            effect: match written.effect {
                Effect::Allow => rule::Effect::Allow.into(),
                Effect::Deny => rule::Effect::Deny.into(),
            },
            priority: written.priority,
            ..Rule::default()
        })
        .collect();
    Spec {
        rules,
        ..Spec::default()
    }
}

fn decision(policies: &[Vec<Written>]) -> policy::Decision {
    let target = target(&[], policies.iter().map(|rules| spec(rules)).collect());
    decide(
        &PolicySet::default(),
        Some(&subject()),
        &target,
        &request(),
        NOW,
    )
}

proptest! {
    // PROPTEST_CASES sets the number of cases.
    #[test]
    fn c14_the_compiled_matcher_agrees_with_a_naive_one(policies in policies()) {
        let found = decision(&policies);
        match (naive_decision(&policies), found.reason) {
            (None, reason) => prop_assert_eq!(reason, Reason::NoMatch),
            (Some((policy, rule, effect)), Reason::Rule { policy: by, rule: name, effect: did, .. }) => {
                prop_assert_eq!(&*by, format!("api.default/inlinePolicies[{policy}]"));
                prop_assert_eq!(&*name, format!("rules[{rule}]"));
                prop_assert_eq!(did, effect);
                prop_assert_eq!(found.allowed, effect == Effect::Allow);
            }
            (wanted, reason) => prop_assert!(false, "wanted {:?}, found {:?}", wanted, reason),
        }
    }

    #[test]
    fn adding_a_deny_rule_never_allows(policies in policies(), extra in written()) {
        let before = decision(&policies).allowed;
        let mut more = policies;
        more.push(vec![Written { effect: Effect::Deny, ..extra }]);
        prop_assert!(before || !decision(&more).allowed);
    }

    #[test]
    fn without_an_allow_rule_nothing_is_allowed(policies in policies()) {
        let denying: Vec<Vec<Written>> = policies
            .into_iter()
            .map(|rules| {
                rules.into_iter().map(|rule| Written { effect: Effect::Deny, ..rule }).collect()
            })
            .collect();
        prop_assert!(!decision(&denying).allowed);
    }

    #[test]
    fn any_text_is_parsed_or_refused(source in ".{0,200}") {
        let _ = policy::check_condition(policy::RuleList::Policy, &cel(&source));
    }

    #[test]
    fn any_tokens_are_parsed_or_refused(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "ctx", ".", "user", "spec", "email", "(", ")", "[", "]", "{", "}", "==", "in", "&&", "||", "!", "-",
                "?", ":", ",", "1", "1u", "2.5", "'a'", "b'a'", "null", "true", "size", "has", "all", "map", "x",
                "groups", "matches", "+", "%",
            ]),
            0..40,
        )
    ) {
        let source = tokens.join(" ");
        let _ = decided(rules(vec![allow(cel(&source))]));
    }
}
