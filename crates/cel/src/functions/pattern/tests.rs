use super::*;

/// Checks cases of pattern, text, and whether RE2 finds a match.
fn check(cases: &[(&str, &str, bool)]) {
    for (pattern, text, matches) in cases {
        let compiled = Pattern::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        assert_eq!(compiled.is_match(text), *matches, "{pattern} {text}");
    }
}

#[test]
fn classes_are_those_of_re2() {
    check(&[
        (r"^\d+$", "12", true),
        (r"^\d+$", "\u{663}", false),
        (r"^[\d.]+$", "1.2", true),
        (r"^[^\d]+$", "ab", true),
        (r"^[^\d]+$", "a1", false),
        (r"^\w+$", "a_1", true),
        (r"^\w+$", "\u{e9}", false),
        (r"^[\w-]+$", "a-b", true),
        (r"^.$", "\u{e9}", true),
        (r"\bcat\b", "a cat!", true),
        (r"^[[a]+$", "[a", true),
        (r"^[]a]+$", "]a", true),
        (r"^[^]a]+$", "b", true),
        (r"^[[:alpha:]]+$", "ab", true),
        (r"^[[:foo]+$", "[:fo", true),
        (r"^\[\]$", "[]", true),
        (r"^\\d$", "\\d", true),
        (r"(?i)^abc$", "ABC", true),
        (r"(?i)^\w$", "\u{17f}", true),
        (r"^\pC$", "\u{378}", false),
        (r"^[a-\x{10FFFF}]$", "\u{1f600}", true),
    ]);
}

#[test]
fn operators_of_the_crate_are_literals_in_brackets_s09() {
    check(&[
        ("^[!--]$", ",", true),
        ("^[!--]$", "+", true),
        ("^[!--]$", "-", true),
        ("^[!--]$", ".", false),
        ("^[a&&b]+$", "&a", true),
        ("^[a~~b]+$", "~ab", true),
        ("^[a[b]]$", "a]", true),
        ("^[a[b]]$", "[]", true),
        ("^[a-c--e]$", "-", true),
        (r"^[\d--9]+$", "5", true),
    ]);
}

#[test]
fn escapes_and_groups_of_the_crate_are_not_taken_over_s09() {
    check(&[
        (r"^\<a\>$", "<a>", true),
        (r"\<a\>", "a", false),
        (r"^a\b{start}$", "a{start}", true),
        (r"a\b{start}", "a", false),
        (r"\Bb", "ab", true),
        (r"^\Q[a*\E+$", "[a**", true),
        (r"^\101\x{0042}\x43$", "ABC", true),
        (r"(?i:a)b", "Ab", true),
        (r"(?i:a)b", "AB", false),
        (r"a(?i)b|c", "C", true),
        (r"(a(?i)b)c", "aBC", false),
        (r"(?P<name>a)(?<other>b)", "ab", true),
        (r"(?U)^a+$", "aa", true),
    ]);
    for pattern in [
        "(?x)a",
        "(?u)a",
        "(?R)a",
        "a++",
        "a*+",
        "a**",
        "a{2}{3}",
        r"\u0041",
        r"\U00000041",
        r"\h",
        r"\Z",
        r"\G",
        r"\1",
        r"\C",
        r"\p{Latn}",
        r"\p{latin}",
        r"\p{sc=Greek}",
        r"\p{Lowercase}",
        r"[[:foo:]]",
        r"[\b]",
        "(?=a)",
        "(?<=a)",
        "(?>a)",
        "(?#a)",
        r"a\",
        "a)",
        "(a",
        "[a",
        "[b-a]",
        r"[a-\d]",
        "*a",
        "a{1001}",
        "(a{32}){32}",
        r"\x{110000}",
        r"\x{D800}",
    ] {
        assert!(
            matches!(Pattern::new(pattern), Err(Error::InvalidRegex(_))),
            "{pattern}"
        );
    }
}

#[test]
fn braces_that_bound_nothing_are_literals_s09() {
    check(&[
        ("^/users/{id}$", "/users/{id}", true),
        ("^a{,2}$", "a{,2}", true),
        ("^a{,2}$", "aa", false),
        ("^a{02}$", "a{02}", true),
        ("^{$", "{", true),
        ("^}]$", "}]", true),
        ("^a{2}$", "aa", true),
        ("^a{2,}$", "aaa", true),
        ("^(a{31}){32}", &"a".repeat(31 * 32), true),
    ]);
}

#[test]
fn patterns_have_bounds() {
    for pattern in [
        "(".repeat(60) + &")".repeat(60),
        r"(\pL{100}){10}".to_owned(),
        "a*".to_owned() + &"(?i)*".repeat(2),
    ] {
        assert!(
            matches!(Pattern::new(&pattern), Err(Error::InvalidRegex(_))),
            "{pattern}"
        );
    }
    let deep = "((?i)".repeat(50) + "a*(?m)*" + &"|b)*(?s)*".repeat(50);
    check_translation(&deep);
    assert!(Pattern::new(&deep).is_ok());
}
