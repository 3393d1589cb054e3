//! Tests of the problems that are rejected when a resource is written.

use api::core_v1::{Condition, condition};
use policy::{EvalType, Problem, RuleList, check_condition, check_eval, check_policy};
use rstest::rstest;

use crate::support::{all, allow, cel, match_any, prioritised, rules};

fn refused(source: &str) -> Problem {
    check_condition(RuleList::Policy, &cel(source))
        .expect_err(source)
        .remove(0)
}

#[rstest]
#[case("ctx.usr.spec.email == ''", "no field `usr`", "did you mean `user`?")]
#[case("ctx.user.spec.mail == ''", "no field `mail`", "did you mean `email`?")]
#[case(
    "ctx.user.spec.type == 'HUMEN'",
    "no value \"HUMEN\"",
    "did you mean `HUMAN`?"
)]
#[case(
    "ctx.user.spec.type in ['HUMAN', 'ROBOT']",
    "no value \"ROBOT\"",
    "WORKLOAD"
)]
#[case("'ROBOT' != ctx.user.spec.type", "no value \"ROBOT\"", "WORKLOAD")]
#[case("ctx.user.spec.type == HUMAN", "unknown name `HUMAN`", "\"HUMAN\"")]
#[case("ctx.user.spec.type == 1", "compared by name", "as a string")]
#[case("user.spec.email == ''", "unknown name `user`", "write ctx.user")]
#[case("ctx.user.spec.email", "must return bool, not string", "compare it")]
#[case("ctx.user.spec.groups", "must return bool, not list", "in …")]
#[case("ctx.user", "must return bool, not User", "select a field")]
#[case("ctx == ctx", "`ctx` has no value", "ctx.user")]
#[case(
    "ctx.request.http.size == '1'",
    "does not accept (int, string)",
    "string("
)]
#[case(
    "ctx.session.spec.expiresAt > '2026-01-01'",
    "does not accept (timestamp, string)",
    "timestamp("
)]
#[case(
    "ctx.user.spec.email.startWith('a')",
    "unknown function `.startWith()`",
    "startsWith"
)]
#[case(
    "ctx.user.spec.email.matches('(')",
    "invalid regular expression: a group is not closed",
    "RE2"
)]
#[case("ctx.user.spec.email = 'a'", "`=` is not an operator", "==")]
#[case("a && true", "unknown name `a`", "")]
#[case("User{} == null", "messages cannot be constructed", "")]
fn mistakes_are_named_with_a_suggestion(
    #[case] source: &str,
    #[case] message: &str,
    #[case] suggestion: &str,
) {
    let problem = refused(source);
    assert!(problem.message.contains(message), "{problem}");
    let found = problem.suggestion.clone().unwrap_or_default();
    assert!(found.contains(suggestion), "{problem}");
}

#[test]
fn a_problem_has_its_path_line_and_column() {
    let spec = rules(vec![
        allow(match_any(true)),
        allow(all(vec![
            cel("true"),
            cel("ctx.user.spec.email != '' &&\n  ctx.user.spec.mail == ''"),
        ])),
    ]);
    let problems = check_policy(&spec).unwrap_err();
    assert_eq!(problems.len(), 1);
    let problem = &problems[0];
    assert_eq!(problem.path, "rules[1].condition.all.of[1].match");
    assert_eq!((problem.line, problem.column), (2, 17));
}

#[test]
fn all_problems_of_a_policy_are_reported_at_once() {
    let spec = rules(vec![
        allow(cel("ctx.a == 1 || ctx.b == 2")),
        prioritised(allow(match_any(true)), 5),
        Default::default(),
    ]);
    let problems = check_policy(&spec).unwrap_err();
    let paths: Vec<&str> = problems
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "rules[0].condition.match",
            "rules[0].condition.match",
            "rules[1].priority",
            "rules[2].condition",
            "rules[2].effect"
        ]
    );
}

#[test]
fn opa_is_refused_clearly() {
    let opa = condition::Opa {
        r#type: Some(condition::opa::Type::Inline("match = true".into())),
    };
    let condition = Condition {
        r#type: Some(condition::Type::Opa(opa)),
    };
    let problem = check_condition(RuleList::Policy, &condition)
        .unwrap_err()
        .remove(0);
    assert_eq!(problem.path, "condition.opa.inline");
    assert!(problem.to_string().contains("OPA is not supported"));
}

#[test]
fn conditions_nest_sixteen_deep_and_no_deeper() {
    let nested = |depth: usize| (1..depth).fold(cel("true"), |inner, _| all(vec![inner]));
    assert!(check_condition(RuleList::Policy, &nested(16)).is_ok());
    let problem = check_condition(RuleList::Policy, &nested(17))
        .unwrap_err()
        .remove(0);
    assert!(problem.message.contains("deeper than 16"));
}

#[rstest]
#[case(
    RuleList::Enforcement,
    r#"ctx.identityProvider.status.type in ["SAML", "OIDC"]"#
)]
#[case(RuleList::Enforcement, "size(ctx.authenticatorList.items) == 0")]
#[case(
    RuleList::Enforcement,
    "ctx.authenticatorList.items.exists(a, a.status.isRegistered)"
)]
#[case(
    RuleList::AuthenticatorPostAuthentication,
    r#"ctx.authenticator.status.type == "TOTP""#
)]
#[case(
    RuleList::AuthenticatorPostAuthentication,
    "ctx.authenticator.status.info.fido.isHardware"
)]
#[case(
    RuleList::AuthenticatorPostAuthentication,
    "ctx.info.authenticator.userVerified"
)]
#[case(
    RuleList::IdentityProviderPostAuthentication,
    r#"ctx.authenticationInfo.aal == "AAL1""#
)]
#[case(
    RuleList::Aal,
    r#"ctx.assertionMap.acr == "2" || ctx.assertion.contains("mfa")"#
)]
fn every_list_has_its_fields(#[case] list: RuleList, #[case] source: &str) {
    check_condition(list, &cel(source)).unwrap();
}

#[rstest]
#[case(RuleList::Enforcement, "ctx.request.ip == ''")]
#[case(RuleList::Policy, "ctx.identityProvider.status.isLocked")]
#[case(RuleList::Aal, "ctx.user.spec.email == ''")]
#[case(RuleList::Enforcement, "attrs.x == 1")]
fn no_list_has_the_fields_of_another(#[case] list: RuleList, #[case] source: &str) {
    check_condition(list, &cel(source)).unwrap_err();
}

#[test]
fn secrets_of_authenticators_are_not_in_ctx() {
    for source in [
        "has(ctx.authenticator.status.authenticationAttempt)",
        "has(ctx.authenticator.status.info.totp.sharedSecret)",
    ] {
        check_condition(RuleList::AuthenticatorPostAuthentication, &cel(source)).unwrap_err();
    }
}

#[test]
fn w59_an_expression_that_must_return_a_string_is_checked() {
    check_eval(RuleList::Policy, "ctx.user.spec.email", EvalType::String).unwrap();
    check_eval(RuleList::Policy, "ctx.user.spec.type", EvalType::String).unwrap();
    let problem = check_eval(RuleList::Policy, "ctx.service.spec.port", EvalType::String)
        .unwrap_err()
        .remove(0);
    assert!(problem.message.contains("must return string, not int"));
}
