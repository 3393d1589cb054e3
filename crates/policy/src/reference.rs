//! Generates `docs/policy-reference.md` from the contract and the tables of functions.
//!
//! `UPDATE_REFERENCE=1 cargo test -p policy --lib reference` writes the page again.

use std::{collections::BTreeMap, fmt::Write as _};

use cel::schema::{EnumType, Kind, MessageType, Shape};

use crate::RuleList;

const LISTS: [(RuleList, &str); 6] = [
    (
        RuleList::Policy,
        "Policies: rules, enforcement rules, and conditions and expressions of Services",
    ),
    (
        RuleList::Enforcement,
        "Authentication and registration enforcement rules",
    ),
    (
        RuleList::AuthenticatorPostAuthentication,
        "Post-authentication rules of Authenticators",
    ),
    (
        RuleList::IdentityProviderPostAuthentication,
        "Post-authentication rules of IdentityProviders",
    ),
    (RuleList::Aal, "Assurance level rules of IdentityProviders"),
    (
        RuleList::Provisioning,
        "Creation of Users and mapping of Groups of IdentityProviders",
    ),
];

const OPERATORS: &str = "\
`! -x` · `* / %` · `+ -` · `== != < <= > >= in` · `&&` · `||` · `c ? a : b`, `a.b`, `a[i]`, `a.?b`, `a[?i]`, `[a, ?b]`, `{k: v, ?k: v}`

`&&` and `||` ignore an error of one side if the other side decides. Integers never wrap: overflow and division by zero are
errors. Timestamps and durations are added, subtracted and compared. Numbers of different types compare by value.
";

/// Macros: form and result.
const MACROS: [(&str, &str); 14] = [
    (
        "has(a.b)",
        "true if the field is set, or the map has the key",
    ),
    (
        "list.all(x, condition)",
        "true if the condition is true for every element of the list, or key of the map",
    ),
    (
        "list.exists(x, condition)",
        "true if the condition is true for at least one element or key",
    ),
    (
        "list.exists_one(x, condition)",
        "true if the condition is true for exactly one element or key",
    ),
    (
        "list.filter(x, condition)",
        "the elements or keys for which the condition is true",
    ),
    (
        "list.map(x, value)",
        "the list of the values, one for each element or key",
    ),
    (
        "list.map(x, condition, value)",
        "the list of the values for the elements or keys for which the condition is true",
    ),
    (
        "all, exists, existsOne (x, y, condition)",
        "the same, where x and y are index and element of a list, or key and value of a map",
    ),
    (
        "transformList(x, y, value), transformList(x, y, condition, value)",
        "the list of the values",
    ),
    (
        "transformMap(x, y, value), transformMap(x, y, condition, value)",
        "a map with the same keys and the new values",
    ),
    (
        "transformMapEntry(x, y, {key: value}), transformMapEntry(x, y, condition, {key: value})",
        "a map of the new entries",
    ),
    (
        "cel.bind(name, value, body)",
        "the result of the body, in which the name has the value",
    ),
    (
        "optional.optMap(x, value)",
        "an optional with the result for the value of the optional, or none",
    ),
    (
        "optional.optFlatMap(x, optional)",
        "the same, if the result is itself an optional",
    ),
];

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "the test writes the page on request"
)]
fn the_reference_page_is_current() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/policy-reference.md"
    );
    let page = page();
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap();
    assert!(
        found == page,
        "docs/policy-reference.md is stale: UPDATE_REFERENCE=1 cargo test -p policy --lib reference"
    );
}

#[test]
fn the_reference_page_has_no_secrets() {
    let page = page();
    for secret in [
        "sharedSecret",
        "akBytes",
        "authenticationAttempt`",
        "attestationParameters",
    ] {
        assert!(!page.contains(secret), "{secret}");
    }
    for there in [
        "`ctx.user`",
        "isAttestationVerified",
        "net.isIPInRange",
        "`CLIENTLESS`",
    ] {
        assert!(page.contains(there), "{there}");
    }
}

fn page() -> String {
    let mut page = String::from(
        "# Reference of conditions\n\nThis page lists everything that an expression can use: every field of `ctx` in \
         each rule list, and every \
         function. [policy.md](policy.md) explains how decisions are made and what the values are.\n\nThis page is \
         generated \
         from the contract and the engine: `UPDATE_REFERENCE=1 cargo test -p policy --lib reference` writes it, and a \
         test fails if it is stale.\n\n## `ctx`\n",
    );
    let mut messages: Vec<&'static MessageType> = Vec::new();
    for (list, title) in LISTS {
        let root = list.schema().root();
        let _ = write!(page, "\n### {title}\n\n| field | type |\n|---|---|\n");
        for field in &root.fields {
            let _ = writeln!(page, "| `ctx.{}` | {} |", field.name, shape(field.shape));
        }
        reach(root, &mut messages);
    }
    page.push_str(
        "\n`attrs` in Policies: a map of the attributes of the Policy that has the rule.\n",
    );
    page.push_str("\n## Messages\n");
    let mut enums: BTreeMap<&str, &'static EnumType> = BTreeMap::new();
    for message in messages {
        let _ = write!(
            page,
            "\n### {}\n\n| field | type |\n|---|---|\n",
            message.short_name()
        );
        for field in &message.fields {
            let _ = writeln!(page, "| `{}` | {} |", field.name, shape(field.shape));
            for kind in kinds(field.shape) {
                if let Kind::Enum(names) = kind {
                    enums.insert(names.short_name(), names);
                }
            }
        }
        for (alias, path) in message.aliases {
            let _ = writeln!(page, "| `{alias}` | short for `{}` |", path.join("."));
        }
    }
    page.push_str("\n## Enums\n\nEnum values are strings.\n\n| enum | values |\n|---|---|\n");
    for (name, names) in enums {
        let values: Vec<String> = names.names().map(|value| format!("`{value}`")).collect();
        let _ = writeln!(page, "| {name} | {} |", values.join(", "));
    }
    functions(&mut page);
    page
}

fn functions(page: &mut String) {
    let _ = write!(
        page,
        "\n## Operators\n\n{OPERATORS}\n## Macros\n\n| form | result |\n|---|---|\n"
    );
    for (form, yields) in MACROS {
        let _ = writeln!(page, "| `{form}` | {yields} |");
    }
    page.push_str(
        "\n## Functions\n\nA function that begins with a dot is called on its first argument: `text.contains(part)`. \
         `A` and `B` \
         are any types.\n",
    );
    for (title, lines) in cel::tables() {
        let _ = write!(
            page,
            "\n### {title}\n\n| function | arguments and result |\n|---|---|\n"
        );
        for (name, signatures) in lines {
            let signatures: Vec<String> = signatures
                .iter()
                .map(|signature| format!("`{}`", signature.replace("->", "→").trim()))
                .collect();
            let _ = writeln!(page, "| `{name}` | {} |", signatures.join(", "));
        }
    }
}

/// Collects the messages reachable from `root` in breadth-first order, each once.
fn reach(root: &'static MessageType, messages: &mut Vec<&'static MessageType>) {
    let mut next = std::collections::VecDeque::from([root]);
    while let Some(message) = next.pop_front() {
        for field in &message.fields {
            for kind in kinds(field.shape) {
                let Kind::Message(id) = kind else { continue };
                let inner = id.get();
                if !messages.iter().any(|known| std::ptr::eq(*known, inner)) {
                    messages.push(inner);
                    next.push_back(inner);
                }
            }
        }
    }
}

fn kinds(shape: Shape) -> Vec<Kind> {
    match shape {
        Shape::One(kind) | Shape::Explicit(kind) | Shape::List(kind) => vec![kind],
        Shape::Map(key, value) => vec![key, value],
    }
}

fn shape(shape: Shape) -> String {
    match shape {
        Shape::One(kind) | Shape::Explicit(kind @ Kind::Message(_)) => self::kind(kind),
        Shape::Explicit(kind) => format!("{}, or unset", self::kind(kind)),
        Shape::List(kind) => format!("list of {}", self::kind(kind)),
        Shape::Map(key, value) => format!("map of {} to {}", self::kind(key), self::kind(value)),
    }
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Message(id) => {
            let name = id.get().short_name();
            let anchor = name.to_lowercase().replace('.', "");
            format!("[{name}](#{anchor})")
        }
        Kind::Enum(names) => format!("string (a {})", names.short_name()),
        Kind::Object => "map of string to anything".to_owned(),
        Kind::Json => "anything".to_owned(),
        Kind::Array => "list of anything".to_owned(),
        other => cel::Type::of_kind(other).to_string(),
    }
}
