//! Tests of the rule lists used during authentication, and of expressions of Services.

use api::core_v1::{
    Authenticator, IdentityProvider, authenticator, identity_provider,
    session::status::authentication::Info,
};
use policy::{Condition, Facts, NamesExpression, OnError, RuleList, Rules, Scope, TextExpression};

use crate::support::*;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Effect {
    Enforce,
    Ignore,
}

fn saml() -> IdentityProvider {
    IdentityProvider {
        status: Some(identity_provider::Status {
            r#type: identity_provider::status::Type::Saml.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn totp() -> Authenticator {
    Authenticator {
        status: Some(authenticator::Status {
            r#type: authenticator::status::Type::Totp.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[test]
fn the_first_match_of_a_list_decides() {
    let conditions = [
        cel("size(ctx.authenticatorList.items) == 0"),
        cel("ctx.identityProvider.status.type in ['SAML', 'OIDC']"),
        match_any(true),
    ];
    let rules = Rules::new(
        RuleList::Enforcement,
        [
            (Some(&conditions[0]), OnError::Pass, Effect::Ignore),
            (Some(&conditions[1]), OnError::Match, Effect::Enforce),
            (Some(&conditions[2]), OnError::Pass, Effect::Ignore),
        ],
    );
    let first = |facts: &Facts| {
        let found = rules.first_match(facts, NOW).unwrap();
        (found.index, found.effect)
    };
    let (user, session) = (alice(), session());
    let without = Facts::enforcement(&user, &session, Some(&saml()), &[]);
    assert_eq!(first(&without), (0, Effect::Ignore));
    let with = Facts::enforcement(&user, &session, Some(&saml()), &[totp()]);
    assert_eq!(first(&with), (1, Effect::Enforce));
    let passkey = Facts::enforcement(&user, &session, None, &[totp()]);
    assert_eq!(first(&passkey), (2, Effect::Ignore));
}

#[test]
fn b21_w36_a_rule_that_restricts_matches_where_it_fails() {
    let failing = cel("ctx.user.spec.groups[9] == 'x'");
    let broken = cel("ctx.nothing");
    let facts = Facts::authenticator_post_authentication(&alice(), None, &totp(), &Info::default());
    for condition in [&failing, &broken] {
        let rules = |on_error| {
            Rules::new(
                RuleList::AuthenticatorPostAuthentication,
                [(Some(condition), on_error, Effect::Enforce)],
            )
        };
        let found = rules(OnError::Match).first_match(&facts, NOW).unwrap();
        assert!(found.error.is_some());
        assert_eq!(rules(OnError::Pass).first_match(&facts, NOW), None);
    }
    let rules = Rules::new(
        RuleList::Enforcement,
        [(Some(&match_any(true)), OnError::Match, Effect::Enforce)],
    );
    assert!(rules.first_match(&facts, NOW).unwrap().error.is_some());
}

#[test]
fn assurance_levels_see_the_claims() {
    let claims = object([
        ("acr", text("urn:mfa")),
        ("auth_time", number(1_795_000_000.0)),
    ]);
    let facts = Facts::aal("<Assertion/>", &claims);
    for source in [
        "ctx.assertionMap.acr == 'urn:mfa'",
        "ctx.assertionMap.auth_time > 1790000000",
        "ctx.assertionMap.amr == null && !has(ctx.assertionMap.amr)",
        "ctx.assertion.startsWith('<Assertion')",
    ] {
        let rules = Rules::new(RuleList::Aal, [(Some(&cel(source)), OnError::Pass, 2)]);
        assert_eq!(
            rules.first_match(&facts, NOW).map(|found| found.effect),
            Some(2),
            "{source}"
        );
    }
    let facts = Facts::identity_provider_post_authentication(&alice(), &saml(), &Info::default());
    let condition =
        cel("ctx.identityProvider.status.type == 'SAML' && ctx.user.spec.type == 'HUMAN'");
    let rules = Rules::new(
        RuleList::IdentityProviderPostAuthentication,
        [(Some(&condition), OnError::Pass, 1)],
    );
    assert!(rules.first_match(&facts, NOW).is_some());
}

#[test]
fn w40_expressions_of_a_service_see_ctx_and_fail_rather_than_yield_nothing() {
    let (subject, target, request) = (subject(), target(&[], vec![]), request());
    let scope = Scope {
        subject: Some(&subject),
        target: &target,
        request: &request,
        now: NOW,
    };
    let text = |source: &str| TextExpression::compile(source).unwrap().evaluate(&scope);
    assert_eq!(text("ctx.user.spec.email").unwrap(), "alice@example.com");
    assert_eq!(
        text("ctx.user.spec.type + '/' + string(ctx.service.spec.port)").unwrap(),
        "HUMAN/8080"
    );
    assert_eq!(
        text("ctx.groups.map(g, g.metadata.name).join(',')").unwrap(),
        "dev,ops"
    );
    assert_eq!(
        text("ctx.user.spec.groups[7]").unwrap_err().to_string(),
        "index out of bounds"
    );
    text("ctx.user.spec.attrs.level").unwrap_err();
    let condition = Condition::compile(&cel("ctx.request.http.method == 'GET'")).unwrap();
    assert_eq!(condition.holds(&scope), Ok(true));
}

#[test]
fn c12_groups_come_from_claims_as_names_or_not_at_all() {
    let claims = object([
        ("groups", list([text("dev"), text("a,b")])),
        ("team", text("ops")),
        ("levels", list([number(1.0)])),
    ]);
    let facts = Facts::provisioning("", &claims, "42", "alice@example.com");
    let names = |source: &str| {
        NamesExpression::compile(source)
            .unwrap()
            .evaluate(&facts, NOW)
    };
    assert_eq!(names("ctx.assertionMap.groups").unwrap(), ["dev", "a,b"]);
    assert_eq!(names("ctx.assertionMap.team").unwrap(), ["ops"]);
    assert_eq!(
        names("ctx.email.endsWith('@example.com') ? ['staff'] : []").unwrap(),
        ["staff"]
    );
    assert!(names("ctx.assertionMap.absent").unwrap().is_empty());
    // A value of another type is an error and does not count as an empty list.
    names("ctx.assertionMap.levels").unwrap_err();
    names("ctx.assertionMap.groups[5]").unwrap_err();
    for wrong in [
        "1",
        "[1]",
        "ctx.user",
        "ctx.assertionMap",
        "ctx.identifier ==",
    ] {
        assert!(NamesExpression::compile(wrong).is_err(), "{wrong}");
    }
    let other = Facts::aal("", &claims);
    NamesExpression::compile("'x'")
        .unwrap()
        .evaluate(&other, NOW)
        .unwrap_err();
}
