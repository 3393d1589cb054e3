//! Tests of `apply` and `diff`.

use api::platform_v1::ApplyRequest;
use tonic::Code;

use crate::program::World;

const APPLY: &str = "platform.v1.MainService/Apply";

const USERS: &str = "\
kind: User
metadata: {name: alice}
spec: {type: HUMAN}
---
kind: Group
metadata: {name: dev}
";

fn last(world: &World) -> ApplyRequest {
    world.cluster.request(APPLY)
}

#[test]
fn applies_a_file_in_one_call_and_reports_the_results() {
    let world = World::logged_in();
    world.write("a.yaml", USERS);
    let stdout = world.ctl("apply a.yaml").ok();
    insta::assert_snapshot!(stdout);
    assert_eq!(world.cluster.methods(), [APPLY]);
    let stdout = world.ctl("apply a.yaml").ok();
    assert!(
        stdout.ends_with("0 created, 0 updated, 0 deleted, 2 unchanged\n"),
        "{stdout}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&world.ctl("apply a.yaml -o json").ok()).unwrap();
    assert_eq!(json["results"][1]["action"], "UNCHANGED");
}

#[test]
fn warnings_of_the_cluster_are_shown_on_standard_error_g8() {
    let world = World::logged_in();
    let warning = vec!["The Service web.default is private".to_owned()];
    let mut state = world.cluster.state();
    let create = "core.v1.MainService/CreateService".to_owned();
    state.warnings.insert(create, warning.clone());
    state.warnings.insert("Service".to_owned(), warning);
    drop(state);
    let shown = "warning: The Service web.default is private\n";
    let ended = world.ctl("create service --upstream http://127.0.0.1:9 web");
    assert!(ended.stderr.contains(shown), "{}", ended.stderr);
    assert_eq!(ended.ok(), "");
    world.write(
        "s.yaml",
        "kind: Service\nmetadata: {name: web}\nspec: {mode: HTTP}\n",
    );
    for line in [
        "apply s.yaml",
        "apply s.yaml -o json",
        "apply --dry-run s.yaml",
    ] {
        let ended = world.ctl(line);
        assert!(ended.stderr.contains(shown), "{line}: {}", ended.stderr);
        assert_eq!(ended.code, 0);
    }
    world.write("a.yaml", USERS);
    assert_eq!(world.ctl("apply a.yaml").stderr, "");
}

#[test]
fn reads_directories_in_order_and_standard_input() {
    let world = World::logged_in();
    world.write(
        "d/2.yml",
        "kind: User\nmetadata: {name: bob}\nspec: {groups: [dev]}\n",
    );
    world.write("d/1.yaml", "kind: Group\nmetadata: {name: dev}\n");
    world.write(
        "d/sub/3.yaml",
        "kind: ClusterConfig\nmetadata: {name: whatever}\n",
    );
    world.write("d/notes.txt", "not yaml: [");
    world.write("d/.hidden.yaml", "not yaml: [");
    let stdout = world.ctl("apply ./d").ok();
    insta::assert_snapshot!(stdout);
    let ended = world.run(
        "octeliumctl",
        &["apply", "-"],
        "{\"kind\": \"Group\", \"metadata\": {\"name\": \"ops\"}}",
    );
    assert!(ended.ok().starts_with("group/ops created\n"));
}

#[test]
fn e04_every_problem_is_reported_with_its_position_and_nothing_is_sent() {
    let world = World::logged_in();
    world.write(
        "d/a.yaml",
        "kind: User\nmetadata: {name: alice}\nspec:\n  tpye: HUMAN\n",
    );
    world.write(
        "d/b.yaml",
        "kind: User\nmetadata: {name: bob}\nspec:\n  type: HUMAN\n  type: WORKLOAD\n",
    );
    world.write(
        "d/c.yaml",
        "kind: Group\nmetadata: {name: dev}\n---\nkind: Group\nmetadata: {name: dev}\n",
    );
    world.write("d/e.yaml", "kind: Session\nmetadata: {name: alice-x}\n");
    let stderr = world.ctl("apply d").failed(1);
    insta::assert_snapshot!(stderr);
    assert!(world.cluster.methods().is_empty());
}

#[test]
fn e04_a_huge_file_is_refused_without_reading_it_all() {
    let world = World::logged_in();
    let path = world.home.path().join("huge.yaml");
    // A sparse file takes no disk space.
    std::fs::File::create(&path)
        .unwrap()
        .set_len(100 << 20)
        .unwrap();
    let stderr = world.ctl("apply huge.yaml").failed(1);
    assert_eq!(stderr, "error: huge.yaml: larger than the limit of 8 MiB\n");
}

#[test]
fn refusals_of_the_cluster_are_reported_with_their_position() {
    let world = World::logged_in();
    world.write(
        "a.yaml",
        "kind: User\nmetadata: {name: alice}\n---\nkind: User\nmetadata: {name: bad_one}\n",
    );
    let stderr = world.ctl("apply a.yaml").failed(1);
    insta::assert_snapshot!(stderr);
    assert!(
        world.cluster.get("User", "alice").is_none(),
        "all or nothing"
    );
    world.cluster.refuse(APPLY, Code::PermissionDenied, "no");
    world.ctl("apply a.yaml").failed(5);
}

#[test]
fn a_dry_run_changes_nothing() {
    let world = World::logged_in();
    world.write("a.yaml", USERS);
    let stdout = world.ctl("apply --dry-run a.yaml").ok();
    insta::assert_snapshot!(stdout);
    assert!(last(&world).dry_run);
    assert!(world.cluster.get("User", "alice").is_none());
}

#[test]
fn kinds_can_be_chosen() {
    let world = World::logged_in();
    world.write(
        "a.yaml",
        &format!("{USERS}---\nkind: Secret\nmetadata: {{name: s}}\ndata: {{value: v}}\n"),
    );
    let sent = |line: &str| {
        world.ctl(line).ok();
        let kinds: Vec<_> = last(&world)
            .resources
            .iter()
            .map(|r| r.kind().unwrap())
            .collect();
        kinds
    };
    assert_eq!(sent("apply a.yaml"), ["Group", "User"]);
    assert_eq!(sent("apply --include user a.yaml"), ["User"]);
    assert_eq!(sent("apply --exclude User a.yaml"), ["Group"]);
    assert_eq!(
        sent("apply --include-secret a.yaml"),
        ["Secret", "Group", "User"]
    );
    let ended = world.ctl("apply a.yaml");
    assert!(
        ended.stderr.contains("--include-secret"),
        "{}",
        ended.stderr
    );
    let stderr = world.ctl("apply --include Uesr a.yaml").failed(2);
    assert!(stderr.contains("did you mean User?"), "{stderr}");
    world.ctl("apply --include Session a.yaml").failed(2);
}

#[test]
fn prune_deletes_what_the_files_do_not_name() {
    let world = World::logged_in();
    world.cluster.put(USERS);
    world.cluster.put("{kind: User, metadata: {name: mallory}}");
    world.write("a.yaml", USERS);
    let stdout = world.ctl("apply --prune a.yaml").ok();
    insta::assert_snapshot!(stdout);
    assert_eq!(last(&world).prune_kinds.len(), 7);
    assert!(!last(&world).allow_prune_all);
    assert!(world.cluster.get("User", "mallory").is_none());
}

#[test]
fn e03_pruning_all_of_a_kind_needs_a_confirmation_and_shows_the_plan() {
    let world = World::logged_in();
    world.cluster.put(USERS);
    world.write(
        "a.yaml",
        "kind: User\nmetadata: {name: alice}\nspec: {type: HUMAN}\n",
    );
    let ended = world.ctl("apply --prune a.yaml");
    assert_eq!(ended.stdout, "");
    insta::assert_snapshot!(ended.failed(2));
    assert!(world.cluster.get("Group", "dev").is_some());

    std::fs::create_dir(world.home.path().join("empty")).unwrap();
    let stderr = world.ctl("apply --prune empty").failed(2);
    assert!(stderr.contains("user/alice would be deleted"), "{stderr}");
    assert!(world.cluster.get("User", "alice").is_some());
    assert!(last(&world).dry_run, "nothing but a plan was asked for");

    world.ctl("apply --prune --yes empty").ok();
    assert!(last(&world).allow_prune_all);
    assert!(world.cluster.get("User", "alice").is_none());
}

#[test]
fn the_exit_code_of_diff_reports_differences() {
    let world = World::logged_in();
    world.write("a.yaml", USERS);
    world.ctl("apply a.yaml").ok();
    let ended = world.ctl("diff a.yaml");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""));

    world.write("a.yaml", "kind: User\nmetadata: {name: alice}\nspec: {type: HUMAN, groups: [dev], email: a@example.com}\n---\nkind: User\nmetadata: {name: bob}\n");
    let ended = world.ctl("diff a.yaml --prune");
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    insta::assert_snapshot!(ended.stdout);
    assert!(last(&world).dry_run);

    world.write("b.yaml", "kind: User\nmetadata: {name: bad_one}\n");
    world.ctl("diff b.yaml").failed(1);
}

#[test]
fn the_cluster_config_needs_no_name() {
    let world = World::logged_in();
    let document = "kind: ClusterConfig\nspec: {}\n";
    world.run("octeliumctl", &["apply", "-"], document).ok();
    let Some(api::platform_v1::resource::Resource::ClusterConfig(config)) =
        last(&world).resources.remove(0).resource
    else {
        panic!("no ClusterConfig");
    };
    assert!(config.metadata.is_some());
}
