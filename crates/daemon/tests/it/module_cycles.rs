//! Import cycles between the top-level modules of a package.
//!
//! The test reads the code without compiling it. It finds imports and paths with `crate`, `self` or `super`, outside of
//! `#[cfg(test)]`. It does not find a module that uses a type only through values or traits of another module.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use crate::tidy::{assert_none, read, relative, root};

const PACKAGES: &[&str] = &[
    "authn", "cel", "cli", "daemon", "domain", "gateway", "policy", "server", "store",
];

/// Known cycles: the package, and in alphabetical order all modules that import each other, directly or through others.
/// Do not add to this list.
const KNOWN: &[(&str, &[&str])] = &[];

#[test]
fn modules_have_no_import_cycles() {
    let mut problems = Vec::new();
    for package in PACKAGES {
        let imports = Imports::of(package);
        let cycles = imports.cycles();
        let known: Vec<Vec<String>> = KNOWN
            .iter()
            .filter(|(of, _)| of == package)
            .map(|(_, modules)| modules.iter().map(|&module| module.to_owned()).collect())
            .collect();
        for cycle in cycles.iter().filter(|cycle| !known.contains(cycle)) {
            problems.push(format!(
                "crates/{package}: these modules import each other: {}",
                cycle.join(", ")
            ));
            problems.extend(imports.within(cycle));
        }
        for cycle in known.iter().filter(|cycle| !cycles.contains(*cycle)) {
            problems.push(format!(
                "crates/{package}: these modules are not a cycle now, update `KNOWN`: {}",
                cycle.join(", ")
            ));
        }
    }
    assert_none(&problems);
}

#[test]
#[allow(
    clippy::needless_raw_string_hashes,
    reason = "the text contains the end of a raw string with one hash"
)]
fn code_is_read_without_comments_strings_and_tests() {
    let code = r##"
        //! use crate::a;
        /* use crate::a; /* nested */ use crate::a; */
        use crate::{b::{self, B}, c as d};
        const A: (char, &str) = ('"', "use crate::a;");
        const R: &str = r#"use crate::a; ""#;
        #[cfg(test)]
        pub(crate) use crate::{a, a::A};
        fn f<'a>(x: &'a str) -> crate::e::E {
            super::f::g('\'', 0x1f, "\"")
        }
        #[cfg(test)]
        fn t<A, B>() -> crate::a::A {}
        mod inner {
            use super::super::h;
        }
        #[cfg(test)]
        mod tests;
    "##;
    let module = Module {
        path: vec!["m".to_owned()],
        file: root().join("m.rs"),
        folder: root().join("m"),
    };
    let mut found = Vec::new();
    collect(&module, &lex(code), &mut found);
    let found: Vec<String> = found
        .iter()
        .filter_map(|import| Some(absolute(&import.module, &import.path)?.join("::")))
        .collect();
    assert_eq!(found, ["b::self", "b::B", "c", "e::E", "f::g", "h"]);
}

/// The imports between the top-level modules of a package.
struct Imports {
    modules: BTreeSet<String>,
    /// A file with the import, by importing and imported module.
    files: BTreeMap<(String, String), String>,
}

impl Imports {
    fn of(package: &str) -> Self {
        let folder = root().join("crates").join(package).join("src");
        let file = ["lib.rs", "main.rs"]
            .map(|name| folder.join(name))
            .into_iter()
            .find(|file| file.exists())
            .unwrap();
        let tokens = lex(&read(&file));
        let modules = modules(&tokens);
        let module = Module {
            path: Vec::new(),
            file,
            folder: folder.clone(),
        };
        let mut found = Vec::new();
        collect(&module, &tokens, &mut found);

        // The root of the package can also name items of its modules: `crate::Error` is in `error`.
        let mut exports = BTreeMap::new();
        for import in found.iter().filter(|import| import.module.is_empty()) {
            let path = match import.path.first().map(String::as_str) {
                Some("crate" | "self") => &import.path[1..],
                _ => &import.path[..],
            };
            let Some(of) = path.first().filter(|first| modules.contains(*first)) else {
                continue;
            };
            if import.name == "*" {
                let code = read(&folder.join(format!("{of}.rs")));
                for name in declared(&lex(&code)) {
                    exports.insert(name, of.clone());
                }
            } else {
                exports.insert(import.name.clone(), of.clone());
            }
        }

        let mut files = BTreeMap::new();
        for import in &found {
            let path = absolute(&import.module, &import.path);
            let (Some(from), Some(path)) = (import.module.first(), path) else {
                continue;
            };
            let Some(first) = path.first() else {
                continue;
            };
            let to = modules.get(first).or_else(|| exports.get(first));
            if let Some(to) = to.filter(|to| *to != from) {
                let file = import.file.clone();
                files.entry((from.clone(), to.clone())).or_insert(file);
            }
        }
        Self { modules, files }
    }

    /// Returns the largest sets of modules of which each imports all others, directly or through others.
    fn cycles(&self) -> BTreeSet<Vec<String>> {
        let cycle_of = |module: &String| -> Vec<String> {
            let reached = self.reached(module);
            let mutual = self.modules.iter().filter(|other| {
                reached.contains(other.as_str()) && self.reached(other).contains(module.as_str())
            });
            mutual.cloned().collect()
        };
        let cycles = self.modules.iter().map(cycle_of);
        cycles.filter(|cycle| !cycle.is_empty()).collect()
    }

    /// Returns the modules that `from` imports, directly or through others.
    fn reached(&self, from: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut next = vec![from];
        while let Some(module) = next.pop() {
            for (importing, imported) in self.files.keys() {
                if importing == module && reached.insert(imported.as_str()) {
                    next.push(imported);
                }
            }
        }
        reached
    }

    /// Describes the imports between the modules of a cycle.
    fn within(&self, cycle: &[String]) -> Vec<String> {
        let imports = self.files.iter();
        let within = imports.filter(|((from, to), _)| cycle.contains(from) && cycle.contains(to));
        within
            .map(|((from, to), file)| format!("    {from} imports {to}, in {file}"))
            .collect()
    }
}

/// A module to read.
struct Module {
    /// Names from the root of the package.
    path: Vec<String>,
    file: PathBuf,
    /// Folder of its child modules.
    folder: PathBuf,
}

/// A path in the code.
struct Import {
    /// The module that contains the path.
    module: Vec<String>,
    file: String,
    path: Vec<String>,
    /// The name that an import declares. Empty for other paths.
    name: String,
}

/// Collects the paths in a module and its child modules.
fn collect(module: &Module, tokens: &[String], found: &mut Vec<Import>) {
    let mut at = 0;
    let mut given_file = None;
    while let Some(token) = tokens.get(at) {
        let rest = &tokens[at..];
        let follows = |position: usize, text: &str| rest.get(position).is_some_and(|t| t == text);
        if starts_with(rest, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            at = behind_item(tokens, at + 7);
        } else if starts_with(rest, &["#", "[", "path", "="]) {
            given_file = rest.get(4).map(|literal| literal.replace('"', ""));
            at = behind_group(tokens, at + 1);
        } else if token == "mod" && (follows(2, ";") || follows(2, "{")) {
            let mut child = Module {
                path: [module.path.as_slice(), &rest[1..2]].concat(),
                file: module.file.clone(),
                folder: module.folder.join(&rest[1]),
            };
            if follows(2, "{") {
                let end = behind_group(tokens, at + 2);
                collect(&child, &tokens[at + 3..end - 1], found);
                at = end;
            } else {
                child.file = match given_file.take() {
                    Some(name) => module.file.with_file_name(name),
                    None => module.folder.join(format!("{}.rs", rest[1])),
                };
                collect(&child, &lex(&read(&child.file)), found);
                at += 3;
            }
        } else if token == "use" && !follows(1, "<") {
            at = collect_use(module, tokens, at + 1, &[], found);
        } else if ["crate", "self", "super"].contains(&token.as_str()) && follows(1, "::") {
            let mut path = vec![token.clone()];
            at += 1;
            while tokens.get(at).is_some_and(|separator| separator == "::") {
                path.extend(tokens.get(at + 1).cloned());
                at += 2;
            }
            found.push(import(module, path, String::new()));
        } else {
            at += 1;
        }
    }
}

/// Collects the paths of an import and returns the position behind it.
fn collect_use(
    module: &Module,
    tokens: &[String],
    start: usize,
    prefix: &[String],
    found: &mut Vec<Import>,
) -> usize {
    let mut at = start;
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "{" => {
                let end = behind_group(tokens, at);
                at += 1;
                while at < end - 1 {
                    // The comma behind the branch is skipped too.
                    at = collect_use(module, tokens, at, &path, found) + 1;
                }
                return end;
            }
            "::" => at += 1,
            "," | ";" | "}" | "as" => break,
            _ => {
                path.push(token.clone());
                at += 1;
            }
        }
    }
    let named = path.iter().rev().find(|name| *name != "self");
    let mut name = named.cloned().unwrap_or_default();
    if tokens.get(at).is_some_and(|token| token == "as") {
        name = tokens.get(at + 1).cloned().unwrap_or_default();
        at += 2;
    }
    found.push(import(module, path, name));
    at
}

fn import(module: &Module, path: Vec<String>, name: String) -> Import {
    Import {
        module: module.path.clone(),
        file: relative(&module.file),
        path,
        name,
    }
}

/// Returns the path from the root of the package. Returns `None` for a path that starts with another name: of a child
/// module, of another import, or of another package.
fn absolute(module: &[String], path: &[String]) -> Option<Vec<String>> {
    let supers = path.iter().take_while(|name| *name == "super").count();
    let (base, rest) = match path.first()?.as_str() {
        "crate" => (&module[..0], &path[1..]),
        "self" => (module, &path[1..]),
        "super" => (&module[..module.len() - supers], &path[supers..]),
        _ => return None,
    };
    Some([base, rest].concat())
}

/// Returns the names of the child modules, except those of tests.
fn modules(tokens: &[String]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if starts_with(&tokens[at..], &["#", "[", "cfg", "(", "test", ")", "]"]) {
            at = behind_item(tokens, at + 7);
            continue;
        }
        if token == "mod" {
            names.extend(tokens.get(at + 1).cloned());
        }
        at += 1;
    }
    names
}

/// Returns the names of the items in the code.
fn declared(tokens: &[String]) -> BTreeSet<String> {
    let keywords = [
        "const", "enum", "fn", "static", "struct", "trait", "type", "union",
    ];
    let pairs = tokens.windows(2);
    pairs
        .filter(|pair| keywords.contains(&pair[0].as_str()))
        .map(|pair| pair[1].clone())
        .collect()
}

/// Returns the position behind the item, field or match arm at `start`.
fn behind_item(tokens: &[String], start: usize) -> usize {
    let mut at = start;
    while starts_with(&tokens[at..], &["#", "["]) {
        at = behind_group(tokens, at + 1);
    }
    let mut angles = 0_usize;
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            ";" => return at + 1,
            "," if angles == 0 => return at + 1,
            ")" | "]" | "}" => return at,
            "(" | "[" => at = behind_group(tokens, at) - 1,
            "{" => {
                let end = behind_group(tokens, at);
                // A list of imports is not the end of the item.
                if tokens[at - 1] != "::" {
                    return end;
                }
                at = end - 1;
            }
            "<" => angles += 1,
            // Not the arrows `->` and `=>`.
            ">" if !matches!(tokens[at - 1].as_str(), "-" | "=") => {
                angles = angles.saturating_sub(1);
            }
            _ => {}
        }
        at += 1;
    }
    at
}

/// Returns the position behind the group that opens at `start`.
fn behind_group(tokens: &[String], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

fn starts_with(tokens: &[String], words: &[&str]) -> bool {
    let mut pairs = tokens.iter().zip(words);
    tokens.len() >= words.len() && pairs.all(|(token, word)| token == word)
}

/// Splits code into words, `::` and single characters. Leaves out comments, numbers, characters and lifetimes. A string
/// is its content behind a quotation mark.
fn lex(code: &str) -> Vec<String> {
    let code: Vec<char> = code.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&first) = code.get(at) {
        let second = code.get(at + 1).copied().unwrap_or(' ');
        match (first, second) {
            ('/', '/') => at = position(&code, at, |character| character == '\n'),
            ('/', '*') => at = behind_comment(&code, at),
            (':', ':') => {
                tokens.push("::".to_owned());
                at += 2;
            }
            ('"', _) => {
                let end = behind_string(&code, at);
                tokens.push(code[at..end - 1].iter().collect());
                at = end;
            }
            ('\'', _) => at = behind_character(&code, at),
            _ if is_part_of_word(first) => {
                let end = position(&code, at, |character| !is_part_of_word(character));
                let word: String = code[at..end].iter().collect();
                at = behind_raw_string(&code, &word, end).unwrap_or(end);
                if at == end && !first.is_ascii_digit() {
                    tokens.push(word);
                }
            }
            _ => {
                if !first.is_whitespace() {
                    tokens.push(first.to_string());
                }
                at += 1;
            }
        }
    }
    tokens
}

fn is_part_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Returns the first position from `start` whose character `is_end`, or the end of the code.
fn position(code: &[char], start: usize, is_end: impl Fn(char) -> bool) -> usize {
    let found = code[start..]
        .iter()
        .position(|&character| is_end(character));
    found.map_or(code.len(), |offset| start + offset)
}

/// Returns the position behind the comment at `start`. Comments nest.
fn behind_comment(code: &[char], start: usize) -> usize {
    let mut at = start;
    let mut depth = 0;
    while at + 1 < code.len() {
        match (code[at], code[at + 1]) {
            ('/', '*') => {
                depth += 1;
                at += 2;
            }
            ('*', '/') => {
                depth -= 1;
                at += 2;
            }
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    code.len()
}

fn behind_string(code: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while code[at] != '"' {
        at += if code[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Returns the position behind the raw string with this prefix, or `None` if it is not one.
fn behind_raw_string(code: &[char], prefix: &str, start: usize) -> Option<usize> {
    if !matches!(prefix, "r" | "br" | "cr") {
        return None;
    }
    let quote = position(code, start, |character| character != '#');
    if code.get(quote) != Some(&'"') {
        return None;
    }
    let mut end = vec!['"'];
    end.extend_from_slice(&code[start..quote]);
    let mut windows = code[quote + 1..].windows(end.len());
    let length = windows.position(|window| window == end)?;
    Some(quote + 1 + length + end.len())
}

/// Returns the position behind the character or the lifetime at `start`.
fn behind_character(code: &[char], start: usize) -> usize {
    match (code.get(start + 1), code.get(start + 2)) {
        (Some('\\'), _) => position(code, start + 3, |character| character == '\'') + 1,
        (_, Some('\'')) => start + 3,
        _ => position(code, start + 1, |character| !is_part_of_word(character)),
    }
}
