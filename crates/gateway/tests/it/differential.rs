//! Policies see exactly the bytes that the upstream receives.

use std::{collections::BTreeMap, fmt::Write as _};

use api::core_v1::service::spec::config::http::{
    Header,
    header::{KeyValue, key_value},
};
use domain::rng::{Rng as _, SeededRng};
use percent_encoding::percent_decode_str;

use crate::support::{
    Upstream, World,
    client::{parse, raw},
    service,
    world::{ServiceExt, TOKEN},
};

/// Expressions and Policies share the same view of the request.
fn header_rule(key: &str, source: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        append: false,
        r#type: Some(key_value::Type::Eval(source.to_owned())),
    }
}

struct Random(SeededRng);

impl Random {
    fn below(&self, limit: usize) -> usize {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        usize::try_from(u32::from_le_bytes(bytes)).unwrap() % limit
    }

    fn pick<'a>(&self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn text(&self, from: &[&str], most: usize) -> String {
        (0..self.below(most + 1)).map(|_| self.pick(from)).collect()
    }
}

const PATH: &[&str] = &[
    "a", "B", "0", "-", "_", "~", ".", "/", "/", "%20", "%41", "%c3%a9", "%2F", "%2e", "%00",
    "%25", "%zz", "%", ";", ":", "@", "!", "$", "&", "'", "(", "*", "+", ",", "=", "..", "//",
    "\\",
];
const QUERY: &[&str] = &[
    "a", "b", "=", "=", "&", "&", "+", "%20", "%41", "%26", "%3D", "%ff", "%", ";", "/", "?", "[",
    "x",
];
const NAMES: &[&str] = &[
    "X-A",
    "x-b",
    "X-B",
    "Accept",
    "X_C",
    "X.D",
    "X-Octelium-User",
    "X-Forwarded-For",
    "Connection",
    "X-E",
];
const VALUES: &[&str] = &[
    "a", "B", " ", "\t", ",", "x-a", "\"", "=", ";", "%41", "\u{e9}", "close",
];

#[tokio::test]
async fn c05_c08_c25_the_upstream_gets_the_request_that_was_decided() {
    let world = World::start().await;
    let (upstream, heads) = Upstream::verbatim().await;
    let url = format!("http://{}", upstream.address);
    world.serve(&service(&url).http(|http| {
        http.header = Some(Header {
            add_response_headers: vec![
                header_rule("X-Uri", "ctx.request.http.uri"),
                header_rule("X-Path", "ctx.request.http.path"),
                header_rule("X-Method", "ctx.request.http.method"),
                header_rule("X-Headers", "json.marshal(ctx.request.http.headers)"),
                header_rule("X-Query", "json.marshal(ctx.request.http.queryParams)"),
            ],
            ..Header::default()
        });
    }));
    let random = Random(SeededRng::new(20_261_125));
    let (mut passed, mut refused) = (0, 0);
    for _ in 0..1500 {
        let mut target = format!("/{}", random.text(PATH, 6));
        if random.below(2) == 0 {
            write!(target, "?{}", random.text(QUERY, 8)).unwrap();
        }
        let method = random.pick(&["GET", "DELETE", "OPTIONS", "PROPFIND"]);
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: app.example.com\r\n");
        for _ in 0..random.below(4) {
            let value = random.text(VALUES, 3);
            write!(request, "{}: {value}\r\n", random.pick(NAMES)).unwrap();
        }
        write!(
            request,
            "X-Octelium-Auth: {TOKEN}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let answer = raw(world.address, request.as_bytes()).await;
        let reply = parse(&answer);
        let received = std::mem::take(&mut *heads.lock().unwrap());
        if reply.status != 200 {
            assert_eq!(reply.status, 400, "{request:?}");
            assert!(received.is_empty(), "{request:?}");
            refused += 1;
            continue;
        }
        passed += 1;
        let [head] = &received[..] else {
            panic!("{request:?}: {received:?}");
        };
        let head = std::str::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let line = format!("{method} {target} HTTP/1.1");
        assert_eq!(lines.next(), Some(line.as_str()));
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        let path = percent_decode_str(path).decode_utf8().unwrap();
        let uri = format!("{path}{query}");
        // HTTP removes the space at the end of a field.
        assert_eq!(reply.header("x-uri"), Some(uri.trim_end()));
        assert_eq!(reply.header("x-path"), Some(path.trim_end()));
        assert_eq!(reply.header("x-method"), Some(method));

        let mut fields = BTreeMap::new();
        for line in lines {
            let (name, value) = line
                .split_once(": ")
                .unwrap_or((line.trim_end_matches(':'), ""));
            let name = name.to_ascii_lowercase();
            if name != "host" {
                let repeated = fields.insert(name, value.to_owned());
                assert_eq!(repeated, None, "{head}");
            }
        }
        let seen: BTreeMap<String, String> =
            serde_json::from_str(reply.header("x-headers").unwrap()).unwrap();
        assert_eq!(seen, fields, "{request:?}");

        // Two readings of the query: the first value of a parameter, and the last.
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let pairs = || form_urlencoded::parse(query.as_bytes()).into_owned();
        let last: BTreeMap<String, String> = pairs().collect();
        let mut first = BTreeMap::new();
        for (name, value) in pairs() {
            first.entry(name).or_insert(value);
        }
        let seen: BTreeMap<String, String> =
            serde_json::from_str(reply.header("x-query").unwrap()).unwrap();
        assert_eq!(seen, first, "{request:?}");
        assert_eq!(seen, last, "{request:?}");
    }
    assert!(
        passed > 200 && refused > 200,
        "{passed} passed, {refused} were refused"
    );
}

#[tokio::test]
async fn a19_each_service_looks_at_the_scopes_of_a_token_that_is_known() {
    let world = World::start().await;
    let upstream = Upstream::recording(&[]).await;
    let token = "AQoGc2NvcGVk";
    world.grant_scoped(
        token,
        std::time::Duration::from_hours(1),
        &["service:app.default"],
    );
    world.serve(&service(&upstream.url()));
    let mut other = service(&upstream.url());
    other.metadata.get_or_insert_default().name = "other.default".to_owned();
    world.serve_at("other.example.com", &other);
    let token = format!("Authorization: Bearer {token}");
    for (host, status) in [("app", 200), ("other", 403), ("app", 200), ("other", 403)] {
        let host = format!("Host: {host}.example.com");
        let reply = crate::support::client::get(world.address, "/", &[&host, &token]).await;
        assert_eq!(reply.status, status, "{host}");
    }
    assert_eq!(upstream.seen().len(), 2);
}
