//! The layout of the sources: dependencies, lengths of files, and forbidden content.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The packages of the workspace that each package may use outside its tests.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("domain", &["api"]),
    ("cel", &["strict-json"]),
    ("policy", &["api", "domain", "cel"]),
    ("store", &["api", "domain"]),
    ("authn", &["api", "domain", "strict-json"]),
    ("strict-json", &[]),
    ("budget", &[]),
    (
        "server",
        &["api", "domain", "policy", "store", "authn", "budget"],
    ),
    ("gateway", &["api", "domain", "policy", "budget"]),
    ("tbs", &[]),
    ("cli", &["api", "domain", "policy", "tbs"]),
    (
        "daemon",
        &[
            "api", "domain", "policy", "store", "authn", "server", "gateway",
        ],
    ),
];

/// The maximum length of a file, in lines without its tests.
const MAX_LINES: usize = 600;

#[test]
fn packages_depend_in_one_direction() {
    let mut problems = Vec::new();
    let packages = folders(&root().join("crates"));
    for package in &packages {
        let Some((_, allowed)) = DIRECTIONS.iter().find(|(name, _)| name == package) else {
            problems.push(format!(
                "crates/{package}: its place in the layout is not declared"
            ));
            continue;
        };
        let manifest = root().join("crates").join(package).join("Cargo.toml");
        for dependency in dependencies(&read(&manifest)) {
            let ours = packages.contains(&dependency);
            if ours && !allowed.contains(&dependency.as_str()) {
                problems.push(format!("crates/{package} must not depend on {dependency}"));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn only_the_daemon_and_the_store_name_a_backend() {
    let mut problems = Vec::new();
    for file in sources() {
        let path = relative(&file);
        if path.starts_with("crates/store/") || path.starts_with("crates/daemon/") {
            continue;
        }
        for backend in ["store::sqlite", "store::postgres"] {
            // Tests may use a real backend instead of a fake.
            if without_tests(&path, &read(&file)).contains(backend) {
                problems.push(format!("{path} names {backend}"));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn files_are_short() {
    let mut problems = Vec::new();
    for file in sources() {
        let path = relative(&file);
        let lines = without_tests(&path, &read(&file)).lines().count();
        if lines > MAX_LINES {
            problems.push(format!(
                "{path}: {lines} lines without its tests, {MAX_LINES} at most"
            ));
        }
    }
    assert_none(&problems);
}

#[test]
fn files_are_named_for_what_they_hold() {
    let mut problems = Vec::new();
    for file in sources() {
        let path = relative(&file);
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        if ["mod", "common", "util", "utils", "helpers", "misc"].contains(&name.as_str()) {
            problems.push(format!("{path}: the name says nothing"));
        }
    }
    assert_none(&problems);
}

#[test]
fn nothing_is_left_unfinished() {
    // Written in two parts, so that this file does not match.
    let forbidden = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["todo", "!("],
        ["unimplemented", "!("],
        ["dbg", "!("],
        ["#[ig", "nore"],
        ["thread::", "sleep("],
        ["/ho", "me/"],
        ["/ro", "ot/"],
        ["/wo", "rk/"],
    ]
    .map(|parts| parts.concat());
    let mut problems = Vec::new();
    for file in sources() {
        for (number, line) in read(&file).lines().enumerate() {
            for word in &forbidden {
                if line.contains(word.as_str()) {
                    problems.push(format!("{}:{}: {word}", relative(&file), number + 1));
                }
            }
        }
    }
    assert_none(&problems);
}

/// Removes everything behind `#[cfg(test)]`. Returns an empty text for a test file.
fn without_tests(path: &str, text: &str) -> String {
    let is_test = path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.contains("/benches/")
        || path.contains("/examples/");
    if is_test {
        return String::new();
    }
    let before = text
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"));
    before.collect::<Vec<_>>().join("\n")
}

/// Returns the names under `[dependencies]` and `[build-dependencies]`.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut section = "";
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if matches!(section, "[dependencies]" | "[build-dependencies]") {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if !name.is_empty() && !name.starts_with('#') {
                names.push(name.to_owned());
            }
        }
    }
    names
}

pub(crate) fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(&root().join("crates"), &mut found);
    assert!(found.len() > 20, "the sources are not where they should be");
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn folders(parent: &Path) -> Vec<String> {
    let entries = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.path().join("Cargo.toml").exists());
    folders
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

pub(crate) fn relative(file: &Path) -> String {
    let relative = file.strip_prefix(root()).unwrap();
    relative.to_string_lossy().into_owned()
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned()
}

pub(crate) fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

pub(crate) fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
