//! Compares random patterns on random texts with RE2 itself (`scripts/re2-oracle`).

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use super::{Error, Pattern, check_translation};

const PATTERNS: usize = 10_000;
const TEXTS: usize = 16;

const ATOMS: &[&str] = &[
    "a",
    "b",
    "k",
    "K",
    "s",
    "S",
    "\u{17f}",
    "\u{212a}",
    "\u{e9}",
    "\u{c9}",
    "\u{df}",
    "\u{3c3}",
    "\u{3c2}",
    "1",
    "\u{663}",
    "-",
    "--",
    "&",
    "&&",
    "~~",
    ",",
    "!",
    "<",
    ">",
    " ",
    "#",
    "_",
    "\n",
    "{",
    "}",
    "]",
    "{,2}",
    "{01}",
    "{id}",
    "{a,b}",
    "{9999999999}",
    "/",
    ":",
    "=",
    ".",
    "^",
    "$",
    r"\A",
    r"\z",
    r"\Z",
    r"\b",
    r"\B",
    r"\b{start}",
    r"\<",
    r"\>",
    r"\d",
    r"\D",
    r"\s",
    r"\S",
    r"\w",
    r"\W",
    r"\pL",
    r"\PL",
    r"\pN",
    r"\pNd",
    r"\p{Lu}",
    r"\p{^Ll}",
    r"\P{^Lu}",
    r"\p{Greek}",
    r"\P{Latin}",
    r"\p{Any}",
    r"\p{Cs}",
    r"\pC",
    r"\p{latin}",
    r"\p{Foo}",
    r"\x41",
    r"\x{e9}",
    r"\x{000061}",
    r"\x{110000}",
    r"\x{d800}",
    r"\xg",
    r"\n",
    r"\012",
    r"\0",
    r"\12",
    r"\1",
    r"\8",
    r"\.",
    r"\-",
    r"\]",
    r"\_",
    r"\ ",
    r"\&",
    r"\~",
    r"\{",
    r"\}",
    r"\#",
    r"\a",
    r"\e",
    r"\h",
    r"\v",
    r"\u0041",
    r"\C",
    r"\Qa*\E",
    r"\Q\E",
    r"\E",
    "(?i)",
    "(?-i)",
    "(?s)",
    "(?m)",
    "(?U)",
    "(?x)",
    "(?u)",
    "(?i-s)",
    "(?)",
    "(?-)",
];
const ITEMS: &[&str] = &[
    "a",
    "b",
    "k",
    "s",
    "\u{e9}",
    "1",
    "-",
    "--",
    "&&",
    "~~",
    "^",
    "[",
    "[[",
    "]",
    ",",
    "!",
    ".",
    "+",
    "a-c",
    "!--",
    "+-.",
    "a-",
    "-z",
    "z-a",
    r"\d",
    r"\D-",
    r"\w",
    r"\W",
    r"\s",
    r"\S",
    r"\n",
    r"\]",
    r"\[",
    r"\-",
    r"\\",
    r"\^",
    r"\b",
    r"\pL",
    r"\PL",
    r"\p{Greek}",
    r"\P{^Lu}",
    r"a-\x{e9}",
    r"\x30-\x39",
    r"\101-\103",
    "[:alpha:]",
    "[:^digit:]",
    "[:word:]",
    "[:space:]",
    "[:punct:]",
    "[:foo:]",
    "[:alpha",
    "[=a=]",
    "[.a.]",
    "\n",
    " ",
    "#",
];
const OPERATORS: &[&str] = &[
    "*", "+", "?", "*?", "+?", "??", "{2}", "{0}", "{1,2}", "{2,}", "{0,3}?", "{3,2}", "{1001}",
    "++", "*+", "**", "{2}{2}", "?+",
];
const GROUPS: &[&str] = &[
    "(", "(?:", "(?i:", "(?s:", "(?m:", "(?-i:", "(?i-s:", "(?P<n>", "(?<m>", "(?P<1a>", "(?x:",
    "(?=", "(?!", "(?<=", "(?>", "(?P=n", "(?'n'",
];
const LETTERS: &[char] = &[
    'a',
    'b',
    'c',
    'A',
    'k',
    'K',
    's',
    'S',
    '\u{17f}',
    '\u{212a}',
    '\u{e9}',
    '\u{c9}',
    '\u{df}',
    '\u{3c3}',
    '\u{3c2}',
    '1',
    '9',
    '\u{663}',
    '-',
    '+',
    '.',
    ',',
    '&',
    '~',
    '!',
    '<',
    '>',
    ' ',
    '#',
    '_',
    '\n',
    '\t',
    '{',
    '}',
    '[',
    ']',
    '^',
    '\\',
    ':',
    '=',
    '/',
    '\u{1f600}',
    '\u{378}',
    '\u{200b}',
];

/// The `SplitMix64` generator with a fixed seed, so that every run has the same patterns.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    fn pick<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.below(options.len())]
    }

    fn pattern(&mut self, depth: usize) -> String {
        let mut pattern = String::new();
        for _ in 0..=self.below(3) {
            match self.below(10) {
                0..=3 => pattern += self.pick(ATOMS),
                4..=5 => pattern.push(self.pick(LETTERS)),
                6..=7 => {
                    pattern += self.pick(&["[", "[", "[^"]);
                    for _ in 0..=self.below(3) {
                        pattern += self.pick(ITEMS);
                    }
                    pattern += "]";
                }
                8 if depth > 0 => {
                    pattern += self.pick(GROUPS);
                    pattern += &self.pattern(depth - 1);
                    pattern += ")";
                }
                9 if depth > 0 => {
                    pattern += &self.pattern(depth - 1);
                    pattern += "|";
                    pattern += &self.pattern(depth - 1);
                }
                _ => {}
            }
            if self.below(5) == 0 {
                pattern += self.pick(OPERATORS);
            }
        }
        // Anchors half of the single constructs, so that they must match the whole text.
        if depth == 2 && self.below(2) == 0 {
            return format!("^(?:{pattern})$");
        }
        pattern
    }

    fn text(&mut self) -> String {
        (0..self.below(4)).map(|_| self.pick(LETTERS)).collect()
    }
}

/// Returns the matches of RE2 for each pattern, or `None` if RE2 rejects the pattern.
fn ask_re2(cases: &[(String, Vec<String>)]) -> Vec<Option<Vec<bool>>> {
    let program = std::env::current_exe().unwrap();
    let target = program.ancestors().nth(3).unwrap();
    let python = target.join("test-tools/python/bin/python");
    assert!(
        python.exists(),
        "{} is not there: run scripts/install-test-tools",
        python.display()
    );
    let mut oracle = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/re2-oracle"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = oracle.stdin.take().unwrap();
    let cases = serde_json::to_vec(cases).unwrap();
    // The script reads all input before it writes.
    input.write_all(&cases).unwrap();
    drop(input);
    let output = oracle.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "scripts/re2-oracle failed: run scripts/install-test-tools"
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns whether a pattern is rejected on purpose although RE2 accepts it.
fn is_limit(reason: &str) -> bool {
    reason.contains(r"\C matches a byte")
        || reason.contains("names no character")
        || reason.contains("too large")
        || reason.contains("more than two operators")
}

#[test]
fn patterns_match_what_re2_matches_s09() {
    let mut random = Random(9);
    let cases: Vec<(String, Vec<String>)> = (0..PATTERNS)
        .map(|_| {
            let pattern = random.pattern(2);
            (pattern, (0..TEXTS).map(|_| random.text()).collect())
        })
        .collect();
    let (mut accepted, mut matched, mut unmatched, mut different) = (0, 0, 0, Vec::new());
    for ((pattern, texts), expected) in cases.iter().zip(ask_re2(&cases)) {
        check_translation(pattern);
        match (Pattern::new(pattern), expected) {
            (Ok(compiled), Some(expected)) => {
                accepted += 1;
                for (text, expected) in texts.iter().zip(expected) {
                    *(if expected {
                        &mut matched
                    } else {
                        &mut unmatched
                    }) += 1;
                    if compiled.is_match(text) != expected {
                        different.push(format!("{pattern:?} on {text:?}: RE2 says {expected}"));
                    }
                }
            }
            (Ok(_), None) => different.push(format!("{pattern:?} is refused by RE2")),
            (Err(Error::InvalidRegex(reason)), Some(_)) if !is_limit(reason) => {
                different.push(format!("{pattern:?} is refused here: {reason}"));
            }
            (Err(_), _) => {}
        }
    }
    assert!(
        different.is_empty(),
        "{} differences: {:#?}",
        different.len(),
        &different[..different.len().min(40)]
    );
    assert!(accepted > PATTERNS / 4, "{accepted} patterns accepted");
    assert!(
        matched > PATTERNS / 2 && unmatched > PATTERNS,
        "{matched} matches, {unmatched} others"
    );
}

/// Compares every ASCII character inside and outside of brackets, escaped and not, with and without case folding.
#[test]
fn each_ascii_character_means_what_it_means_to_re2_s09() {
    let texts: Vec<String> = (0..128_u8)
        .map(|byte| char::from(byte).to_string())
        .collect();
    let cases: Vec<(String, Vec<String>)> = texts
        .iter()
        .flat_map(|c| {
            [
                "^{}$",
                r"^\{}$",
                "^[{}]$",
                r"^[\{}]$",
                "^[^{}]$",
                "^[a{}z]$",
                "^[!-{}]$",
                "(?i)^[{}]$",
                "^a{{}}$",
            ]
            .map(|shape| shape.replacen("{}", c, 1))
        })
        .map(|pattern| (pattern, texts.clone()))
        .collect();
    for ((pattern, texts), expected) in cases.iter().zip(ask_re2(&cases)) {
        let found = Pattern::new(pattern);
        let Some(expected) = expected else {
            assert!(found.is_err(), "{pattern:?} is refused by RE2");
            continue;
        };
        match found {
            Ok(compiled) => {
                for (text, expected) in texts.iter().zip(expected) {
                    assert_eq!(compiled.is_match(text), expected, "{pattern:?} on {text:?}");
                }
            }
            Err(error) => assert!(is_limit(&error.to_string()), "{pattern:?}: {error}"),
        }
    }
}
