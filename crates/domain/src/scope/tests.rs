use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn scopes(texts: &[&str]) -> Vec<Scope> {
    parse(
        &texts
            .iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>(),
    )
    .unwrap()
}

fn refuse(text: &str) -> ScopeError {
    parse(&[text.to_owned()]).unwrap_err()
}

#[rstest]
#[case("service:*")]
#[case("service:nginx")]
#[case("service:nginx.prod")]
#[case("service:prod/*")]
#[case("api:*")]
#[case("api:core")]
#[case("api:core.MainService")]
#[case("api:core.MainService/GetUser")]
fn each_form_reads_and_is_written_back(#[case] text: &str) {
    let parsed = scopes(&[text]);
    assert_eq!(parsed.iter().flat_map(format).collect::<Vec<_>>(), [text]);
}

#[rstest]
#[case("")]
#[case("*")]
#[case("service")]
#[case("service:")]
#[case("service:* ")]
#[case(" service:*")]
#[case("Service:*")]
#[case("service:Nginx")]
#[case("service:a.b.c")]
#[case("service:prod/nginx")]
#[case("service:*/*")]
#[case("service:nginx.*")]
#[case("service:a.b/*")]
#[case("service:bücher")]
#[case("api:")]
#[case("api:Core")]
#[case("api:core.")]
#[case("api:core.Main.Service")]
#[case("api:core/GetUser")]
#[case("api:core.MainService/")]
#[case("api:core.MainService/Get/User")]
#[case("api:core.*")]
#[case("openid")]
#[case("service:nginx\n")]
fn scopes_of_unknown_form_are_refused(#[case] text: &str) {
    let message = refuse(text).to_string();
    assert!(!message.contains('\n'), "{message}");
}

#[test]
fn too_many_too_long_and_repeated_scopes_are_refused() {
    let many: Vec<String> = (0..129).map(|i| format!("service:svc{i}")).collect();
    assert_eq!(parse(&many), Err(ScopeError::TooMany { count: 129 }));
    assert!(parse(&many[..128]).is_ok());
    assert!(matches!(
        refuse(&format!("api:{}", "a".repeat(253))),
        ScopeError::TooLong { length: 257 }
    ));
    let twice = [
        "service:nginx".to_owned(),
        "service:nginx.default".to_owned(),
    ];
    assert!(matches!(parse(&twice), Err(ScopeError::Duplicate { .. })));
}

#[rstest]
#[case(&[], "nginx.default", true)]
#[case(&["service:*"], "nginx.default", true)]
#[case(&["service:nginx"], "nginx.default", true)]
#[case(&["service:nginx"], "nginx.prod", false)]
#[case(&["service:nginx.prod"], "nginx.prod", true)]
#[case(&["service:nginx.prod"], "nginx.default", false)]
#[case(&["service:prod/*"], "nginx.prod", true)]
#[case(&["service:prod/*"], "prod.default", false)]
#[case(&["service:prod/*"], "nginx.preprod", false)]
#[case(&["service:aa", "service:bb"], "bb.default", true)]
#[case(&["api:*"], "nginx.default", false)]
fn scopes_restrict_services(#[case] given: &[&str], #[case] service: &str, #[case] expected: bool) {
    assert_eq!(allows_service(&scopes(given), service, false), expected);
}

#[rstest]
#[case(&[], true)]
#[case(&["service:*"], false)]
#[case(&["service:default.octelium-api"], true)]
#[case(&["service:octelium-api/*"], true)]
#[case(&["service:auth.octelium-api"], false)]
#[case(&["api:core.MainService/GetUser"], true)]
#[case(&["service:nginx"], false)]
fn w64_the_api_is_not_one_of_all_services(#[case] given: &[&str], #[case] expected: bool) {
    assert_eq!(
        allows_service(&scopes(given), "default.octelium-api", true),
        expected
    );
    assert_eq!(
        allows_method(&scopes(given), "core", "MainService", "GetUser"),
        expected
    );
}

#[rstest]
#[case(&["api:*"], true)]
#[case(&["api:core"], true)]
#[case(&["api:core.MainService"], true)]
#[case(&["api:core.MainService/GetUser"], true)]
#[case(&["api:core.MainService/DeleteUser"], false)]
#[case(&["api:core.Main"], false)]
#[case(&["api:cor"], false)]
#[case(&["api:user"], false)]
#[case(&["service:*", "api:user"], false)]
fn scopes_restrict_methods(#[case] given: &[&str], #[case] expected: bool) {
    assert_eq!(
        allows_method(&scopes(given), "core", "MainService", "GetUser"),
        expected
    );
}

#[test]
fn an_empty_message_allows_nothing() {
    let empty = [
        Scope::default(),
        Scope {
            r#type: Some(scope::Type::Service(Service::default())),
        },
    ];
    assert!(!allows_service(&empty, "nginx.default", false));
    assert!(!allows_service(&empty, "default.octelium-api", true));
    assert!(!allows_method(&empty, "core", "MainService", "GetUser"));
}

#[test]
fn a_hash_tells_sets_apart() {
    let sets: [&[&str]; 6] = [
        &[],
        &["service:*"],
        &["api:*"],
        &["service:aa", "service:bb"],
        &["service:aa"],
        &["service:aa/*"],
    ];
    let hashes: std::collections::HashSet<_> = sets.iter().map(|set| hash(&scopes(set))).collect();
    assert_eq!(hashes.len(), sets.len());
    assert!(hashes.iter().all(|hash| hash.len() == 43));
    assert_eq!(
        hash(&scopes(&["service:nginx"])),
        hash(&scopes(&["service:nginx.default"]))
    );
}

fn any_scope() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("service:*".to_owned()),
        Just("api:*".to_owned()),
        "service:[a-z][a-z0-9]{1,5}(\\.[a-z][a-z0-9]{1,5})?",
        "service:[a-z][a-z0-9]{1,5}/\\*",
        "api:[a-z]{2,5}(\\.[A-Z][a-z]{1,5}(/[A-Z][a-z]{1,5})?)?",
    ]
}

proptest! {
    #[test]
    fn the_order_of_scopes_does_not_matter(
        texts in prop::collection::btree_set(any_scope(), 0..8).prop_map(Vec::from_iter).prop_shuffle(),
    ) {
        if let Ok(shuffled) = parse(&texts) {
            let mut sorted = texts.clone();
            sorted.sort();
            prop_assert_eq!(hash(&parse(&sorted).unwrap()), hash(&shuffled));
            let repeated = [shuffled.clone(), shuffled.clone()].concat();
            prop_assert_eq!(hash(&repeated), hash(&shuffled));
        }
    }

    #[test]
    fn written_scopes_are_read_back(text in any_scope()) {
        let parsed = parse(&[text]).unwrap();
        let written: Vec<String> = parsed.iter().flat_map(format).collect();
        prop_assert_eq!(parse(&written).unwrap(), parsed);
    }

    #[test]
    fn any_text_reads_without_a_panic(text in ".{0,300}") {
        let _ = parse(&[text]);
    }
}
