//! The table of threats. Every id in the name of a test has a row in `docs/threats.md`, and every row names a test.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::{assert_none, read, relative, root, sources};

const TABLE: &str = "docs/threats.md";

#[test]
fn every_id_in_the_name_of_a_test_has_a_row() {
    let rows: BTreeSet<String> = rows().into_iter().map(|row| row.id).collect();
    let mut found = 0;
    let mut problems = Vec::new();
    for function in functions().into_iter().filter(|function| function.is_test) {
        for id in ids(&function.name) {
            found += 1;
            if !rows.contains(&id) {
                problems.push(format!("{TABLE}: no row for {id} of {}", function.path()));
            }
        }
    }
    assert!(found > 100, "found only {found} ids in the names of tests");
    assert_none(&problems);
}

#[test]
fn every_row_names_a_test_that_exists() {
    let functions = functions();
    let paths: BTreeSet<String> = functions.iter().map(Function::path).collect();
    let mut problems = Vec::new();
    for row in rows() {
        if paths.contains(&row.test) {
            continue;
        }
        let name = row.test.rsplit("::").next().unwrap_or_default();
        let elsewhere = functions.iter().find(|function| function.name == name);
        problems.push(match elsewhere {
            Some(function) => format!("{TABLE}: the test of {} is now {}", row.id, function.path()),
            None => format!(
                "{TABLE}: the test of {} does not exist: {}",
                row.id, row.test
            ),
        });
    }
    assert_none(&problems);
}

#[test]
fn every_id_has_one_row() {
    let mut counts = BTreeMap::new();
    for cells in tables() {
        *counts.entry(cells[0].clone()).or_insert(0) += 1;
    }
    let twice = counts.into_iter().filter(|(_, count)| *count > 1);
    let problems: Vec<String> = twice
        .map(|(id, count)| format!("{TABLE}: {id} has {count} rows"))
        .collect();
    assert_none(&problems);
}

#[test]
fn only_whole_segments_at_either_end_of_a_name_are_ids() {
    for (name, expected) in [
        ("a01_w2_parallel_uses", vec!["A01", "W2"]),
        ("w39b_of_a_tpm", vec!["W39b"]),
        ("w02_a_code_is_used_up_s11", vec!["W02", "S11"]),
        ("what_is_revoked_d1", vec!["D1"]),
        ("a_code_of_b02_is_read", vec![]),
        ("w3c_vectors", vec![]),
        ("a_name_of_sha256", vec![]),
        ("s100_requests", vec![]),
    ] {
        assert_eq!(ids(name), expected, "{name}");
    }
}

/// A row of a table whose threat has a test.
struct Row {
    id: String,
    test: String,
}

/// Returns the rows of four cells: id, threat, defense, test.
fn rows() -> Vec<Row> {
    let rows: Vec<Row> = tables()
        .into_iter()
        .filter(|cells| cells.len() == 4)
        .map(|cells| Row {
            id: cells[0].clone(),
            test: cells[3].trim_matches('`').to_owned(),
        })
        .collect();
    assert!(rows.len() > 100, "{TABLE} has only {} rows", rows.len());
    rows
}

/// Returns the cells of every row that starts with an id.
fn tables() -> Vec<Vec<String>> {
    let text = read(&root().join(TABLE));
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    rows.map(|row| {
        let cells = row.trim_end().trim_end_matches('|').split(" | ");
        cells.map(|cell| cell.trim().to_owned()).collect()
    })
    .filter(|cells: &Vec<String>| is_id(&cells[0].to_lowercase()))
    .collect()
}

struct Function {
    /// The crate and the modules in the path of the file.
    module: String,
    name: String,
    /// True if an attribute marks it as a test. Functions of the store's conformance suite have none.
    is_test: bool,
}

impl Function {
    fn path(&self) -> String {
        format!("{}::{}", self.module, self.name)
    }
}

fn functions() -> Vec<Function> {
    let mut found = Vec::new();
    for file in sources() {
        let module = module(&relative(&file));
        let mut is_test = false;
        for line in read(&file).lines().map(str::trim_start) {
            let attributes = ["#[test]", "#[tokio::test", "#[rstest"];
            is_test |= attributes.iter().any(|start| line.starts_with(start));
            if let Some(name) = function_name(line) {
                found.push(Function {
                    module: module.clone(),
                    name,
                    is_test,
                });
                is_test = false;
            }
        }
    }
    found
}

/// Returns the name of the function that `line` declares.
fn function_name(line: &str) -> Option<String> {
    let (before, after) = line.split_once("fn ")?;
    let mut words = before.split_whitespace();
    if !words.all(|word| word.starts_with("pub") || matches!(word, "async" | "const" | "unsafe")) {
        return None;
    }
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let name: String = after
        .chars()
        .take_while(|&letter| is_part(letter))
        .collect();
    (!name.is_empty()).then_some(name)
}

/// Returns the module of a file: `crates/server/tests/it/web/portal.rs` is `server::web::portal`.
fn module(path: &str) -> String {
    let path = path.trim_start_matches("crates/").trim_end_matches(".rs");
    let (package, rest) = path.split_once('/').unwrap_or((path, ""));
    let places = ["src/", "tests/it/", "tests/"];
    let inner = places.iter().find_map(|place| rest.strip_prefix(place));
    [package, inner.unwrap_or(rest)]
        .join("/")
        .replace('/', "::")
}

/// Returns the ids at the start and at the end of the name of a test.
fn ids(name: &str) -> Vec<String> {
    let segments: Vec<&str> = name.split('_').collect();
    let first = segments.iter().take_while(|segment| is_id(segment)).count();
    let rest = &segments[first..];
    let last = rest
        .iter()
        .rev()
        .take_while(|segment| is_id(segment))
        .count();
    let ends = segments[..first].iter().chain(&rest[rest.len() - last..]);
    ends.map(|id| id[..1].to_uppercase() + &id[1..]).collect()
}

/// Accepts a letter of the list and one or two digits. After two digits, a letter can distinguish parts (`w39b`).
fn is_id(segment: &str) -> bool {
    let Some(number) = segment.strip_prefix(['a', 'b', 'c', 'd', 'e', 'g', 'r', 's', 'w']) else {
        return false;
    };
    let digits = number.trim_end_matches(|letter| matches!(letter, 'a'..='f'));
    let is_number =
        matches!(digits.len(), 1 | 2) && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number && (number == digits || digits.len() == 2 && number.len() == 3)
}
