use std::fmt::Write as _;

use super::*;
use crate::core_v1::{condition, credential, user};
use crate::platform_v1::resource::Resource as Body;

fn problems(text: &str) -> Vec<String> {
    parse("f.yaml", text.as_bytes())
        .expect_err("this must be refused")
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn check(text: &str, expected: &[&str]) {
    assert_eq!(problems(text), expected, "of\n{text}");
}

fn one(text: &str) -> Resource {
    let mut resources = parse("f.yaml", text.as_bytes()).expect("this must be taken");
    assert_eq!(resources.len(), 1);
    resources.remove(0).1
}

#[test]
fn reads_several_documents_with_their_positions() {
    let text = "\
# comment
kind: User
metadata: {name: alice, labels: {team: no, tier: \"1\"}}
spec:
  type: HUMAN # comment
  email: alice@example.com
  groups: [dev, ops]
  session:
    clientDuration: {hours: 3}
---
---
kind: Group
metadata:
  name: dev
";
    let resources = parse("f.yaml", text.as_bytes()).unwrap();
    let places: Vec<_> = resources
        .iter()
        .map(|(p, r)| (p.line, r.kind(), r.name()))
        .collect();
    assert_eq!(
        places,
        [(2, Some("User"), "alice"), (12, Some("Group"), "dev")]
    );
    let Some(Body::User(user)) = &resources[0].1.resource else {
        panic!()
    };
    assert_eq!(user.api_version, "core/v1");
    assert_eq!(user.metadata.as_ref().unwrap().labels["team"], "no");
    let spec = user.spec.as_ref().unwrap();
    assert_eq!(spec.r#type(), user::spec::Type::Human);
    assert_eq!(spec.groups, ["dev", "ops"]);
    let Some(Body::Group(group)) = &resources[1].1.resource else {
        panic!()
    };
    assert!(group.spec.is_some(), "an absent spec is an empty one");
}

#[test]
fn reads_json_and_lists() {
    let text = r#"{"kind": "CredentialList", "items": [
	{"metadata": {"name": "a"}, "spec": {"type": "OAUTH2", "user": "w", "expiresAt": "2030-01-02T03:04:05Z"}},
	{"metadata": {"name": "b"}, "spec": {"maxAuthentications": 3}}
]}"#;
    let resources = parse("f.json", text.as_bytes()).unwrap();
    assert_eq!(resources.len(), 2);
    let Some(Body::Credential(credential)) = &resources[0].1.resource else {
        panic!()
    };
    let spec = credential.spec.as_ref().unwrap();
    assert_eq!(spec.r#type(), credential::spec::Type::Oauth2);
    assert_eq!(spec.expires_at.unwrap().seconds, 1_893_553_445);
}

#[test]
fn anchors_are_expanded() {
    let text = "\
kind: Policy
metadata: {name: p}
spec:
  rules:
  - effect: ALLOW
    condition: &c {any: {of: [{match: ctx.user.spec.type == 'HUMAN'}, {matchAny: true}]}}
  - effect: DENY
    condition: *c
";
    let Some(Body::Policy(policy)) = one(text).resource else {
        panic!()
    };
    let rules = policy.spec.unwrap().rules;
    assert_eq!(rules[0].condition, rules[1].condition);
    assert!(matches!(
        rules[1].condition.as_ref().unwrap().r#type,
        Some(condition::Type::Any(_))
    ));
}

#[test]
fn e04_an_unknown_field_is_named_with_its_place_and_a_suggestion() {
    check(
        "kind: User\nmetadata:\n  name: alice\nspec:\n  type: HUMAN\n  gruops: [dev]\n  colour: red\n",
        &[
            "f.yaml:6:3: unknown field `gruops` in User.spec; did you mean `groups`?",
            "f.yaml:7:3: unknown field `colour` in User.spec",
        ],
    );
    check(
        "kind: Usr\nmetadata: {name: a}\n",
        &["f.yaml:1:7: unknown kind `Usr`; did you mean `User`?"],
    );
    check(
        "kind: User\nmetadata: {name: a}\nspec: {type: human}\n",
        &["f.yaml:3:14: User.spec.type: unknown value `human`; did you mean `HUMAN`?"],
    );
}

#[test]
fn e04_a_duplicate_key_is_refused() {
    check(
        "kind: User\nmetadata:\n  name: alice\n  name: bob\n",
        &["f.yaml:4:3: duplicate key `name`, first at line 3"],
    );
    check(
        "kind: User\nmetadata: {name: a}\nspec: {attrs: {x: 1, x: 2}}\n",
        &["f.yaml:3:22: duplicate key `x`, first at line 3"],
    );
}

#[test]
fn e04_ambiguous_booleans_are_refused() {
    check(
        "kind: User\nmetadata: {name: a}\nspec:\n  isDisabled: no\n  attrs: {country: NO}\n",
        &[
            "f.yaml:4:15: User.spec.isDisabled must be `true` or `false`, found `no`",
            "f.yaml:5:20: User.spec.attrs.country: `NO` is a boolean to some readers and a string to others; write \"NO\", `true` or `false`",
        ],
    );
}

#[test]
fn e04_wrong_types_are_refused() {
    check(
        "\
kind: Service
metadata: {name: 12, displayName: true}
spec:
  port: \"80\"
  mode: [HTTP]
  isPublic: \"true\"
  authorization: yes
  region: {a: b}
",
        &[
            "f.yaml:2:18: Service.metadata.name must be a string, found a number; put it in quotes",
            "f.yaml:2:35: Service.metadata.displayName must be a string, found a boolean; put it in quotes",
            "f.yaml:4:9: Service.spec.port must be a whole number, found a string; remove the quotes",
            "f.yaml:5:9: Service.spec.mode must be one of MODE_UNSET, TCP, UDP, HTTP, SSH, KUBERNETES, POSTGRES, MYSQL, GRPC, WEB, DNS, SOCKS5, RDP_WEB, MCP, LLM, found a list",
            "f.yaml:6:13: Service.spec.isPublic must be `true` or `false`, found a string; remove the quotes",
            "f.yaml:7:18: Service.spec.authorization must be a mapping, found `yes`",
            "f.yaml:8:11: Service.spec.region must be a string, found a mapping",
        ],
    );
    check(
        "kind: Credential\nmetadata: {name: a}\nspec: {maxAuthentications: -1, expiresAt: tomorrow, user: 0755}\n",
        &[
            "f.yaml:3:28: Credential.spec.maxAuthentications: -1 is out of range",
            "f.yaml:3:43: Credential.spec.expiresAt must be a time such as 2026-12-31T23:59:59Z, found a string",
            "f.yaml:3:59: Credential.spec.user must be a string, found a number; put it in quotes",
        ],
    );
    check(
        "kind: Secret\nmetadata: {name: a}\ndata: {value: a, valueBytes: b}\n",
        &["f.yaml:3:18: `valueBytes` and `value` exclude each other in Secret.data"],
    );
}

#[test]
fn e04_errors_about_a_secret_do_not_contain_it() {
    let found =
        problems("kind: Secret\nmetadata: {name: a}\ndata: {valueBytes: hunter2!, value: 31337}\n");
    assert_eq!(found.len(), 2, "{found:?}");
    for message in found {
        assert!(
            !message.contains("hunter2") && !message.contains("31337"),
            "{message}"
        );
    }
}

#[test]
fn e04_tabs_nul_tags_and_other_encodings_are_refused_with_their_place() {
    let first = |bytes: &[u8]| parse("f.yaml", bytes).unwrap_err()[0].to_string();
    let tab = first(b"kind: User\nmetadata:\n\tname: a\n");
    assert!(
        tab.starts_with("f.yaml:3:2: ") && tab.contains("spaces"),
        "{tab}"
    );
    assert_eq!(
        first(b"kind: User\nmetadata: {name: a\0b}\n"),
        "f.yaml:2:19: the control character U+0000 cannot stand in YAML; write it as an escape in double quotes"
    );
    assert_eq!(
        first(b"kind: User\nmetadata: {name: !!str 12}\n"),
        "f.yaml:2:18: tags (`!\u{2026}`) are not supported; the field decides the type"
    );
    assert_eq!(first(b"kind: User\n# \xff\n"), "f.yaml:2:3: not UTF-8");
    assert!(first(b"%YAML 1.1\n---\nkind: User\n").starts_with("f.yaml:1:1: "));
    let unclosed = first(b"kind: User\nspec: [\n");
    assert!(unclosed.starts_with("f.yaml:"), "{unclosed}");
    assert_eq!(
        first(b"kind: User\nmetadata: {name: a}\n<<: {a: b}\n"),
        "f.yaml:3:1: merge keys (`<<`) are not supported; write the fields out"
    );
}

#[test]
fn e04_an_alias_bomb_is_refused_quickly() {
    let mut text = "kind: User\nmetadata: {name: a}\nspec:\n  attrs:\n    a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let below = level - 1;
        let uses = vec![format!("*a{below}"); 9].join(", ");
        writeln!(text, "    a{level}: &a{level} [{uses}]").unwrap();
    }
    let found = problems(&text);
    assert!(found[0].contains("too much"), "{found:?}");

    let long = "x".repeat(1 << 20);
    let uses = vec!["*a"; 1000].join(", ");
    let text = format!("kind: User\nspec: {{attrs: {{a: &a {long}, b: [{uses}]}}}}\n");
    assert!(problems(&text)[0].contains("too much"));

    check(
        "kind: User\nspec: {attrs: &a {b: *a}}\n",
        &["f.yaml:2:22: an alias cannot be inside the value that it refers to"],
    );
}

#[test]
fn e04_deep_nesting_is_refused() {
    for open in ["[", "{a: ", "- ", "? "] {
        let found = problems(&format!("kind: User\nspec:\n  {}", open.repeat(50_000)));
        assert_eq!(found.len(), 1, "{}", found[0]);
    }
}

#[test]
fn e04_a_huge_text_is_refused_before_it_is_parsed() {
    let text = vec![b'a'; MAX_BYTES + 1];
    let found = parse("f.yaml", &text).unwrap_err();
    assert_eq!(
        found[0].to_string(),
        "f.yaml: the text is larger than the limit of 8 MiB; split it"
    );
}

#[test]
fn documents_that_are_not_resources_are_refused() {
    check(
        "42\n",
        &["f.yaml:1:1: expected a mapping with `kind`, `metadata` and `spec`, found a number"],
    );
    check(
        "metadata: {name: a}\n",
        &["f.yaml:1:1: `kind` is missing: each document needs one, such as `kind: User`"],
    );
    check(
        "kind: User\n",
        &["f.yaml:1:1: `metadata.name` is missing: which User is meant?"],
    );
    assert_eq!(one("kind: ClusterConfig\n").kind(), Some("ClusterConfig"));
    assert!(parse("f.yaml", b"").unwrap().is_empty());
    assert!(parse("f.yaml", b"\n---\n# nothing\n").unwrap().is_empty());
}

#[test]
fn the_number_of_reported_problems_is_limited() {
    let lines: Vec<String> = (0..100).map(|i| format!("x{i}: 1")).collect();
    let text = format!("kind: User\n{}\n", lines.join("\n"));
    assert_eq!(problems(&text).len(), MAX_PROBLEMS);
}

#[test]
fn written_documents_can_be_read_again() {
    let text = r#"
kind: Policy
metadata:
  name: p
  displayName: "no"
  description: "two\nlines: # not a comment"
  annotations: {a: "0755", b: "~", c: "1e3", d: "true", e: "", f: "- x", g: " x ", h: "2026-01-01", i: "\x07"}
  createdAt: 2026-11-22T03:04:05.678Z
spec:
  attrs: {list: [1, 2.5, "3", null, true, {k: v}], big: 9007199254740991}
  rules:
  - {effect: DENY, priority: -4, condition: {none: {of: [{not: "a"}, {match: "b"}]}}}
"#;
    let resource = one(text);
    let dynamic = resource.dynamic().unwrap();
    let yaml = to_yaml(&dynamic);
    assert_eq!(one(&yaml), resource, "{yaml}");
    assert_eq!(one(&to_json(&dynamic).to_string()), resource);
    insta::assert_snapshot!(yaml);
}
