//! Tests of `policy why` and `policy test`.

use api::platform_v1::DecisionRequest;
use serde_json::Value;

use crate::program::World;

const RESOURCES: &str = "\
kind: Policy
metadata: {name: readers}
spec:
  rules:
    - name: read
      effect: ALLOW
      condition: {match: 'ctx.request.http.method == \"GET\" && \"dev\" in ctx.user.spec.groups'}
    - effect: DENY
      priority: -1
      condition: {match: 'ctx.request.http.path.startsWith(\"/admin\")'}
---
kind: Policy
metadata: {name: unused}
spec:
  rules:
    - effect: DENY
      condition: {matchAny: true}
---
kind: Group
metadata: {name: dev}
---
kind: User
metadata: {name: alice}
spec: {type: HUMAN, groups: [dev]}
---
kind: User
metadata: {name: bob}
spec: {type: HUMAN}
---
kind: Service
metadata: {name: web}
spec:
  mode: HTTP
  authorization: {policies: [readers]}
";

const CASES: &str = "\
kind: PolicyTest
cases:
  - name: developers read
    request: {user: alice, service: web}
    expect: ALLOW
    policy: readers
    rule: read
  - name: nobody administers
    request: {user: alice, service: web, path: /admin}
    expect: DENY
    rule: 'rules[1]'
  - name: others do not read
    request: {user: bob, service: web}
    expect: DENY
";

#[test]
fn cases_are_decided_with_files_only_and_coverage_is_reported() {
    let world = World::new();
    world.write("d/resources.yaml", RESOURCES);
    world.write("cases.yaml", CASES);
    let stdout = world.ctl("policy test d cases.yaml").ok();
    assert!(
        stdout.contains("ok   cases.yaml:1:1: developers read\n"),
        "{stdout}"
    );
    assert!(
        stdout.contains("Rules that no test case reaches:\n  unused rules[0]\n"),
        "{stdout}"
    );
    assert!(
        stdout.ends_with("3 passed, 0 failed; 2 of 3 rules matched\n"),
        "{stdout}"
    );
    assert!(world.cluster.methods().is_empty());
}

#[test]
fn a_case_with_an_unexpected_decision_fails_the_command() {
    let world = World::new();
    world.write("d/resources.yaml", RESOURCES);
    world.write(
        "cases.yaml",
        "kind: PolicyTest\ncases:\n\
         - {name: wrong, request: {user: bob, service: web}, expect: ALLOW}\n\
         - {name: other rule, request: {user: alice, service: web}, expect: ALLOW, policy: unused}\n\
         - {name: unknown, request: {user: carol, service: web}, expect: DENY}\n",
    );
    let ended = world.ctl("policy test d cases.yaml -o json");
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (&report["passed"], &report["failed"]),
        (&0.into(), &3.into())
    );
    assert_eq!(report["cases"][0]["reason"], "no rule matched");
    assert_eq!(report["cases"][1]["rule"], "read");
    let unknown = report["cases"][2]["failure"].as_str().unwrap();
    assert!(
        unknown.contains("the files do not contain the User carol"),
        "{unknown}"
    );
    assert_eq!(report["rules"][0]["matched"], 1);
}

#[test]
fn parsing_is_strict_and_reports_positions() {
    let world = World::new();
    world.write("d/resources.yaml", RESOURCES);
    world.write(
        "cases.yaml",
        "kind: PolicyTest\ncases:\n  - name: a\n    reqest: {user: alice}\n    expect: MAYBE\n",
    );
    let stderr = world.ctl("policy test d cases.yaml").failed(1);
    assert!(
        stderr.contains("cases.yaml:4:5: unknown field `reqest`"),
        "{stderr}"
    );
    assert!(stderr.contains("cases.yaml:5:13:"), "{stderr}");
    world.write("cases.yaml", "kind: PolicyTest\ncases: [{name: a}]\n");
    let stderr = world.ctl("policy test d cases.yaml").failed(1);
    assert!(
        stderr.contains("a: expect must be ALLOW or DENY"),
        "{stderr}"
    );
    let stderr = world.ctl("policy test d").failed(1);
    assert!(
        stderr.contains("the files contain no test cases"),
        "{stderr}"
    );
    world.write(
        "bad.yaml",
        "kind: Policy\nmetadata: {name: bad}\nspec: {rules: [{effect: ALLOW, condition: {match: ctx.usr == 1}}]}\n",
    );
    world.write("cases.yaml", CASES);
    let stderr = world.ctl("policy test d bad.yaml cases.yaml").failed(1);
    assert!(
        stderr.contains("Policy bad: rules[0].condition.match: 1:5: ") && stderr.contains("`user`"),
        "{stderr}"
    );
}

#[test]
fn why_sends_the_given_facts_and_shows_the_rules_in_order() {
    let world = World::logged_in();
    let stdout = world
        .ctl("policy why --user alice --service web --path /admin?a=1 --header X-Team=red --ip 192.0.2.1 --at 2026-01-02T15:04:05Z")
        .ok();
    for line in [
        "denied: denied by rule rules[1] of Policy readers\n",
        "readers   rules[1]   DENY     -1         matched: decides\n",
        "With the shadow Policies it would be allowed: allowed by rule rules[0] of Policy trial\n",
        "It would be allowed if the User verified their identity with a passkey or security key, within the last 5 \
         minutes\n  Authenticators of the User: fido-abcdef\n",
        "  Service web.default: readers\n",
        "Not given:\n  no Session is given\n",
    ] {
        assert!(stdout.contains(line), "{line}{stdout}");
    }
    let sent: DecisionRequest = world
        .cluster
        .request("platform.v1.MainService/ExplainDecision");
    assert_eq!((sent.path.as_str(), sent.query.as_str()), ("/admin", "a=1"));
    assert_eq!(sent.headers["x-team"], "red");
    assert_eq!(sent.at.unwrap().seconds, 1_767_366_245);
    let json: Value = serde_json::from_str(
        &world
            .ctl("policy why --user alice --service web -o json")
            .ok(),
    )
    .unwrap();
    assert_eq!(json["steps"][0]["outcome"], "MATCHED");
    world
        .ctl("policy why --user alice --service web --at noon")
        .failed(2);
    world
        .ctl("policy why --user alice --service web --header x")
        .failed(2);
}
