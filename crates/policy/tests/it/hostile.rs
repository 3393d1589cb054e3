//! Tests that hostile expressions are rejected or bounded.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use policy::{RuleList, check_condition};
use rstest::rstest;

use crate::support::{allow, cel, decided, deny, match_any, rules};

fn check(source: &str) -> Result<(), String> {
    check_condition(RuleList::Policy, &cel(source)).map_err(|problems| problems[0].to_string())
}

#[rstest]
#[case::sum("1".to_owned() + &"+1".repeat(2047) + " > 0")]
#[case::concatenation("'a'".to_owned() + &"+'a'".repeat(1000) + " == ''")]
#[case::parentheses("(".repeat(4096))]
#[case::closed_parentheses("(".repeat(2000) + "true" + &")".repeat(2000))]
#[case::lists("[".repeat(4096))]
#[case::closed_lists("[".repeat(2000) + &"]".repeat(2000))]
#[case::maps("{1:".repeat(2000) + "1" + &"}".repeat(2000))]
#[case::negations("!".repeat(5000) + "true")]
#[case::minuses("-".repeat(5000) + "ctx.service.spec.port > 0")]
#[case::conditionals("true?".repeat(1500) + "true" + &":true".repeat(1500))]
#[case::selections("attrs".to_owned() + &".a".repeat(3000))]
#[case::indexes("attrs".to_owned() + &"[0]".repeat(2500))]
#[case::calls("size(".repeat(1500))]
#[case::nodes("[".to_owned() + &"1,".repeat(4990) + "1] == []")]
#[case::too_long("true ".to_owned() + &" ".repeat(10_000))]
#[case::macros("[1].all(x,".repeat(900))]
#[case::large_pattern("'a'.matches('(a{1000}){1000}')".to_owned())]
#[case::nested_pattern(format!("'a'.matches('{}')", "(".repeat(4000) + &")".repeat(4000)))]
#[case::open_text("'".to_owned() + &"a".repeat(9000))]
#[case::nothing(String::new())]
fn c24_deep_or_large_expressions_are_refused(#[case] source: String) {
    let started = Instant::now();
    check(&source).expect_err("must be refused");
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// Returns an expression that doubles a text `times` times.
fn doubling(times: usize) -> String {
    let mut source = String::from("cel.bind(a0, 'aaaaaaaaaaaaaaaa', ");
    for index in 1..=times {
        write!(source, "cel.bind(a{index}, a{0} + a{0}, ", index - 1).unwrap();
    }
    source + &format!("size(a{times}) > 0") + &")".repeat(times + 1)
}

#[rstest]
#[case::doubling(doubling(26))]
#[case::nested_loops({
    let list = "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]";
    format!("{list}.all(a, {list}.all(b, {list}.all(c, {list}.all(d, {list}.all(e, a+b+c+d+e > 0)))))")
})]
#[case::nested_maps({
    let list = "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]";
    format!("size({list}.map(a, {list}.map(b, {list}.map(c, {list}.map(d, {list})))).map(x, x)) > 0")
})]
#[case::replacing("'a'.replace('a', 'aaaaaaaaaaaaaaaa').replace('a', 'aaaaaaaaaaaaaaaa').replace('a', 'aaaaaaaaaaaaaaaa').replace('a', 'aaaaaaaaaaaaaaaa').replace('a', 'aaaaaaaaaaaaaaaa').replace('a', 'aaaaaaaaaaaaaaaa').size() > 0".to_owned())]
#[case::cheap_steps({
    let list = "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]";
    let steps = "ctx.user.spec.email == 'x' || ".repeat(150);
    format!("{list}.all(a, {list}.all(b, {list}.all(c, {steps} true)))")
})]
#[case::formatting("'%.1000f'.format([1.0]).replace('0', '%.1000f').size() > 0 && [1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, '%.1000f'.format([1.0]) != ''))))".to_owned())]
#[case::patterns("[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, ctx.user.spec.email.matches('a{' + string(a + b) + '}') || true))".to_owned())]
fn c24_expensive_expressions_stop_and_deny(#[case] source: String) {
    check(&source).expect("is well-formed");
    let started = Instant::now();
    let decision = decided(rules(vec![deny(cel(&source)), allow(match_any(true))]));
    assert!(!decision.allowed);
    let reason = decision.reason.to_string();
    assert!(reason.contains("costs too much"), "{reason}");
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn c24_many_expensive_rules_share_one_budget() {
    let expensive = "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, a+b+c+d > 0))))";
    let many = (0..100)
        .map(|_| allow(cel(&format!("!{expensive}"))))
        .collect();
    let started = Instant::now();
    let decision = decided(rules(many));
    assert!(!decision.allowed);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn as_much_nesting_as_the_language_asks_for_is_accepted() {
    let deep = "(".repeat(32) + "true" + &")".repeat(32);
    check(&deep).unwrap();
    check(&("true".to_owned() + &" && true".repeat(500))).unwrap();
    check(&("1".to_owned() + &" + 1".repeat(60) + " > 0")).unwrap();
    let lists = "[".repeat(40) + &"]".repeat(40) + " == []";
    check(&lists).unwrap();
}
