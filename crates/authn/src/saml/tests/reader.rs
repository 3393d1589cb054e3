//! Accepted and rejected inputs of the XML parser.

use crate::saml::{
    binding::incoming::LIMITS,
    xml::{self, Element, Limits, Node},
};

fn parse(text: &str) -> Result<Element, String> {
    xml::parse(text, LIMITS).map_err(|error| error.reason().to_owned())
}

#[test]
fn text_is_resolved_and_line_ends_are_normal() {
    let root = parse(
        "\u{feff}<?xml version='1.0' encoding=\"UTF-8\"?>\r\n<!-- c --><a b=' 1\t2\r\n3&#10;&#x41;&quot;'>x\r\ny\rz&amp;\
         <![CDATA[<&>]]>&#13;<!-- c -->&lt;</a>\n<!-- d -->",
    )
    .unwrap();
    assert_eq!(root.attribute("b").unwrap(), " 1 2 3\nA\"");
    assert_eq!(root.text().unwrap(), "x\ny\nz&<&>\r<");
    assert_eq!(root.nodes.len(), 3);
    assert!(matches!(&root.nodes[1], Node::Comment(text) if text == " c "));
}

#[test]
fn namespaces_are_those_in_force() {
    let root = parse(
        "<a xmlns='urn:1' xmlns:p='urn:2'><b xmlns='' p:c='1' c='2'/><p:b xmlns:p='urn:3'/><p:b/><d xml:lang='en'/></a>",
    )
    .unwrap();
    let names: Vec<(&str, &str)> = root
        .descendants()
        .map(|element| (&*element.namespace, &*element.local))
        .collect();
    assert_eq!(
        names,
        [
            ("urn:1", "a"),
            ("", "b"),
            ("urn:3", "b"),
            ("urn:2", "b"),
            ("urn:1", "d")
        ]
    );
    let b = root.children().next().unwrap();
    assert_eq!(b.attribute("c"), Some("2"));
    assert_eq!(&*b.attributes[0].namespace, "urn:2");
}

#[test]
fn w06_document_types_entities_and_instructions_are_refused() {
    let xxe = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>";
    assert!(parse(xxe).unwrap_err().contains("document types"));
    let laughs = "<!DOCTYPE a [<!ENTITY b \"bb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
    assert!(parse(laughs).unwrap_err().contains("document types"));
    assert!(parse("<!DOCTYPE a SYSTEM 'http://127.0.0.1/'><a/>").is_err());
    assert!(parse("<a>&x;</a>").unwrap_err().contains("is not declared"));
    assert!(
        parse("<a b='&x;'/>")
            .unwrap_err()
            .contains("is not declared")
    );
    assert!(
        parse("<?xml-stylesheet href='a'?><a/>")
            .unwrap_err()
            .contains("instructions")
    );
    assert!(
        parse("<a><?php?></a>")
            .unwrap_err()
            .contains("instructions")
    );
    assert!(parse("<a><!DOCTYPE b></a>").is_err());
}

#[test]
fn malformed_input_is_refused() {
    for text in [
        "",
        " ",
        "x",
        "<a>",
        "</a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "&amp;<a/>",
        "<![CDATA[x]]><a/>",
        "<a b=1/>",
        "<a b/>",
        "<a b='1' b='2'/>",
        "<a xmlns:p='urn:1' xmlns:q='urn:1' p:b='1' q:b='2'/>",
        "<a xmlns='urn:1' xmlns='urn:2'/>",
        "<a b='<'/>",
        "<a>]]></a>",
        "<a>&</a>",
        "<a>&#0;</a>",
        "<a>&#x110000;</a>",
        "<a>&#xD800;</a>",
        "<a>&#+65;</a>",
        "<a>&#;</a>",
        "<a>&#x;</a>",
        "<a>\u{0}</a>",
        "<a>\u{1f}</a>",
        "<a>\u{fffe}</a>",
        "<p:a/>",
        "<a p:b='1'/>",
        "<a:/>",
        "<:a/>",
        "<a:b:c xmlns:a='urn:1'/>",
        "<1a/>",
        "<-a/>",
        "<a xmlns:1='urn:1'/>",
        "<a xmlns:p=''/>",
        "<a xmlns:xmlns='urn:1'/>",
        "<a xmlns:xml='urn:1'/>",
        "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns='relative'/>",
        "<xmlns:a/>",
        "<a><!-- -- --></a>",
        "<a><!-- ---></a>",
        "<a><!-- </a>",
        "<?xml version='1.1'?><a/>",
        "<?xml version='1.0' encoding='UTF-16'?><a/>",
        " <?xml version='1.0'?><a/>",
        "<a><?xml version='1.0'?></a>",
        "<a></a ><",
        "< a/>",
        "<a\u{a0}b='1'/>",
    ] {
        assert!(parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn w06_size_depth_and_numbers_are_limited() {
    let deep = format!("{}{}", "<a>".repeat(49), "</a>".repeat(49));
    assert!(parse(&deep).unwrap_err().contains("deep"));
    let deepest = format!("{}{}", "<a>".repeat(48), "</a>".repeat(48));
    assert!(parse(&deepest).is_ok());
    let crowd = format!("<a>{}</a>", "<a/>".repeat(LIMITS.elements));
    assert!(parse(&crowd).unwrap_err().contains("too many elements"));
    let many = |count: u32, write: &dyn Fn(u32) -> String| -> String {
        (0..count).map(write).collect::<Vec<_>>().concat()
    };
    let attributes = many(65, &|n| format!(" a{n}='1'"));
    assert!(
        parse(&format!("<a{attributes}/>"))
            .unwrap_err()
            .contains("attributes")
    );
    let nested = many(47, &|n| format!("<a xmlns:p{n}='urn:{n}'>"));
    assert!(parse(&format!("{nested}{}", "</a>".repeat(47))).is_ok());
    let namespaces = many(40, &|n| format!(" xmlns:a{n}='urn:1'"));
    let more = many(40, &|n| format!(" xmlns:b{n}='urn:1'"));
    assert!(
        parse(&format!("<a{namespaces}><b{more}/></a>"))
            .unwrap_err()
            .contains("namespaces")
    );
    let small = Limits {
        bytes: 10,
        elements: 10,
    };
    assert!(xml::parse("<a>123</a>", small).is_ok());
    assert!(xml::parse("<a>1234</a>", small).is_err());
}

#[test]
fn text_with_an_element_in_it_is_refused() {
    let root = parse("<a>admin<b/>istrator</a>").unwrap();
    assert!(root.text().is_err());
}
