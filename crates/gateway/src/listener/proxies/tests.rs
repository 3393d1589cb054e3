use http::HeaderValue;
use proptest::prelude::*;
use rstest::rstest;

use super::*;

const PROXY: &str = "10.0.0.1";

fn trusting(forwarding_method: ForwardingMethod) -> TrustedProxies {
    let networks = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
    TrustedProxies::new(networks, forwarding_method)
}

fn client_of(proxies: &TrustedProxies, peer: &str, fields: &[&str]) -> Option<String> {
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append(X_FORWARDED_FOR, HeaderValue::from_str(field).unwrap());
    }
    let client = proxies.client(peer.parse().unwrap(), &headers);
    client.ok().map(|client| client.to_string())
}

#[rstest]
#[case::no_field(PROXY, &[], "10.0.0.1")]
#[case::one(PROXY, &["192.0.2.7"], "192.0.2.7")]
#[case::invented_by_the_client(PROXY, &["127.0.0.1, 192.0.2.7"], "192.0.2.7")]
#[case::nonsense_of_the_client(PROXY, &["unknown, 192.0.2.7"], "192.0.2.7")]
#[case::two_proxies(PROXY, &["198.51.100.1, 192.0.2.7, 10.2.3.4"], "192.0.2.7")]
#[case::several_fields(PROXY, &["198.51.100.1", "192.0.2.7,10.2.3.4"], "192.0.2.7")]
#[case::all_trusted(PROXY, &["10.9.9.9, 10.2.3.4"], "10.9.9.9")]
#[case::port(PROXY, &["192.0.2.7:8080"], "192.0.2.7")]
#[case::ipv6(PROXY, &["2001:db8::7"], "2001:db8::7")]
#[case::brackets(PROXY, &["[2001:db8::7]"], "2001:db8::7")]
#[case::brackets_and_port(PROXY, &["[2001:db8::7]:443"], "2001:db8::7")]
#[case::mapped(PROXY, &["::ffff:192.0.2.7"], "192.0.2.7")]
#[case::mapped_proxy("::ffff:10.0.0.1", &["192.0.2.7"], "192.0.2.7")]
#[case::proxy_over_ipv6("fd00::1", &["192.0.2.7"], "192.0.2.7")]
#[case::stranger("192.0.2.9", &["10.0.0.1"], "192.0.2.9")]
fn the_last_address_that_is_no_proxy_is_the_client_s02(
    #[case] peer: &str,
    #[case] fields: &[&str],
    #[case] client: &str,
) {
    let proxies = trusting(ForwardingMethod::ForwardedFor);
    assert_eq!(client_of(&proxies, peer, fields).as_deref(), Some(client));
}

#[rstest]
#[case(&["unknown"])]
#[case(&[""])]
#[case(&["192.0.2.7,"])]
#[case(&["192.0.2.7 10.0.0.2"])]
#[case(&["192.0.2.7", "_hidden"])]
#[case(&["192.0.2.7:"])]
#[case(&["[192.0.2.7"])]
fn what_a_proxy_sends_must_be_an_address_s02(#[case] fields: &[&str]) {
    let proxies = trusting(ForwardingMethod::ForwardedFor);
    assert_eq!(client_of(&proxies, PROXY, fields), None);
}

#[test]
fn forwarded_addresses_are_ignored_without_trusted_proxies_s02() {
    let fields = &["192.0.2.7"];
    let none = TrustedProxies::none();
    assert_eq!(client_of(&none, PROXY, fields).as_deref(), Some(PROXY));
    let by_connection = trusting(ForwardingMethod::ProxyProtocol);
    assert_eq!(
        client_of(&by_connection, PROXY, fields).as_deref(),
        Some(PROXY)
    );
    assert!(by_connection.must_send_header(PROXY.parse().unwrap()));
    assert!(!by_connection.must_send_header("192.0.2.9".parse().unwrap()));
    assert!(!trusting(ForwardingMethod::ForwardedFor).must_send_header(PROXY.parse().unwrap()));
}

proptest! {
    #[test]
    fn nothing_that_a_client_sends_changes_its_address_s02(
        invented in "[ -~]{0,40}",
        client in prop::sample::select(vec!["192.0.2.7", "2001:db8::7", "127.0.0.1"]),
        hops in prop::collection::vec(prop::sample::select(vec!["10.1.1.1", "fd00::9"]), 0..3),
        separate in any::<bool>(),
    ) {
        let proxies = trusting(ForwardingMethod::ForwardedFor);
        let mut appended = vec![client];
        appended.extend(hops);
        let appended = appended.join(", ");
        let joined = format!("{invented}, {appended}");
        let fields = if separate { vec![&*invented, &*appended] } else { vec![&*joined] };
        let found = client_of(&proxies, PROXY, &fields);
        prop_assert_eq!(found.as_deref(), Some(client));
    }
}
