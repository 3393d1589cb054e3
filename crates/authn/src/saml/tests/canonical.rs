//! Exclusive canonicalization, compared with libxml2.

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
};

use proptest::prelude::*;

use crate::saml::{
    binding::incoming::LIMITS,
    canonical::{Options, canonicalize},
    xml,
};

/// Returns the output of `xmllint --exc-c14n`, which includes comments.
fn xmllint(document: &str) -> Option<String> {
    let mut child = Command::new("xmllint")
        .args(["--nonet", "--exc-c14n", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("xmllint is missing: run scripts/install-test-tools");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(document.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}

fn ours(document: &str, comments: bool, inclusive: &[&str]) -> String {
    let inclusive: Vec<String> = inclusive
        .iter()
        .map(|prefix| (*prefix).to_owned())
        .collect();
    canonicalize(
        &xml::parse(document, LIMITS).unwrap(),
        Options {
            comments,
            inclusive: &inclusive,
            without: None,
        },
    )
}

const CASES: [&str; 12] = [
    "<a/>",
    "<a  b = '1'\n c=\"2\" ></a >",
    "<a xmlns='urn:1' xmlns:p='urn:2' xmlns:q='urn:3'><b xmlns=''><c xmlns='urn:1'/></b><p:d q:e='1' f='2'/></a>",
    "<p:a xmlns:p='urn:1'><p:a xmlns:p='urn:2'><p:a xmlns:p='urn:1'/></p:a><p:a/></p:a>",
    "<a xmlns:z='urn:a' xmlns:y='urn:b' y:a='1' z:a='2' b='3' a='4' xml:lang='en'/>",
    "<a b='&lt;&gt;&amp;&quot;&apos;&#9;&#10;&#13; \t\n'>&lt;&gt;&amp;\"'&#13;&#9;\r\n\t</a>",
    "<a><![CDATA[<x>&amp;]]>]]&gt;</a>",
    "<a>1<!-- c -->2<b><!----></b></a>",
    "<a xmlns='urn:1'><p:b xmlns:p='urn:2'><c/></p:b></a>",
    "<a xmlns=''><b xmlns='urn:1'><c xmlns=''/></b></a>",
    "<p:a xmlns:p='urn:1' xmlns:unused='urn:2'><b xmlns:p='urn:3'><p:c/></b></p:a>",
    "<é ä='ö'>\u{1F600}\u{85}\u{2028}</é>",
];

#[test]
fn the_octets_are_those_of_libxml2() {
    for case in CASES {
        assert_eq!(ours(case, true, &[]), xmllint(case).unwrap(), "{case}");
    }
}

#[test]
fn comments_are_omitted_unless_requested() {
    assert_eq!(ours("<a>1<!-- c -->2</a>", false, &[]), "<a>12</a>");
    assert_eq!(
        ours("<a>1<!-- c -->2</a>", true, &[]),
        "<a>1<!-- c -->2</a>"
    );
}

#[test]
fn listed_prefixes_are_written_where_they_are_in_force() {
    let document = "<a xmlns='urn:d' xmlns:xs='urn:x'><b xmlns='' xmlns:xs='urn:x'><c xmlns:xs='urn:y'/></b></a>";
    assert_eq!(
        ours(document, false, &["xs"]),
        "<a xmlns=\"urn:d\" xmlns:xs=\"urn:x\"><b xmlns=\"\"><c xmlns:xs=\"urn:y\"></c></b></a>"
    );
    let inner = "<p:a xmlns:p='urn:p' xmlns='urn:d'><p:b xmlns=''/></p:a>";
    assert_eq!(
        ours(inner, false, &[""]),
        "<p:a xmlns=\"urn:d\" xmlns:p=\"urn:p\"><p:b xmlns=\"\"></p:b></p:a>"
    );
}

/// Returns the attribute name without its prefix. If two prefixes have the same namespace, no name may repeat
/// (Namespaces in XML 1.0, section 6.3), but libxml2 accepts it.
fn name_in_its_namespace(attribute: &str) -> String {
    let name = attribute.split('=').next().unwrap();
    match name.split_once(':') {
        Some((prefix, local)) if prefix != " xmlns" => format!(":{local}"),
        _ => name.to_owned(),
    }
}

/// Generates documents that combine a few names and namespaces.
fn document() -> impl Strategy<Value = String> {
    let attribute = prop_oneof![
        Just(" xmlns='urn:1'".to_owned()),
        Just(" xmlns=''".to_owned()),
        Just(" xmlns:p='urn:1'".to_owned()),
        Just(" xmlns:p='urn:2'".to_owned()),
        Just(" xmlns:q='urn:1'".to_owned()),
        "[ab]".prop_map(|name| format!(" {name}='&#9;&lt;x'")),
        "[pq]:[ab]".prop_map(|name| format!(" {name}=\"y\r\n'\"")),
    ];
    let attributes = prop::collection::vec(attribute, 0..4).prop_map(|mut all| {
        all.sort();
        let mut names = BTreeSet::new();
        all.retain(|attribute| names.insert(name_in_its_namespace(attribute)));
        all.concat()
    });
    let name = "(p:|q:)?[ab]";
    let leaf = prop_oneof![
        "[a-c\n\t &&[^&]]{0,4}",
        Just("&amp;&gt;&#13;".to_owned()),
        Just("<![CDATA[<&]]>".to_owned()),
        Just("<!-- c -->".to_owned()),
    ];
    let tree = leaf.prop_recursive(4, 24, 4, move |inner| {
        (name, attributes.clone(), prop::collection::vec(inner, 0..4)).prop_map(
            |(name, attributes, children)| {
                format!("<{name}{attributes}>{}</{name}>", children.concat())
            },
        )
    });
    tree.prop_map(|inner| format!("<r xmlns:p='urn:p' xmlns:q='urn:q'>{inner}</r>"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_document_is_canonical_as_libxml2_has_it(document in document()) {
        let read = xml::parse(&document, LIMITS);
        match xmllint(&document) {
            Some(expected) => {
                prop_assert!(read.is_ok(), "{document}: {read:?}");
                prop_assert_eq!(ours(&document, true, &[]), expected);
            }
            None => prop_assert!(read.is_err(), "{document}"),
        }
    }

    #[test]
    fn canonical_documents_are_unchanged(document in document()) {
        if xml::parse(&document, LIMITS).is_ok() {
            let once = ours(&document, true, &[]);
            prop_assert_eq!(ours(&once, true, &[]), once);
        }
    }
}
