use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend(rest);
    header
}

const IPV4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0xd4, 0x31, 1, 0xbb];

fn ipv6(source: &str) -> Vec<u8> {
    let mut rest = source.parse::<Ipv6Addr>().unwrap().octets().to_vec();
    rest.extend(Ipv6Addr::LOCALHOST.octets());
    rest.extend([0xd4, 0x31, 1, 0xbb]);
    rest
}

/// Reads the header and returns the bytes after it.
async fn read_all(bytes: &[u8]) -> (io::Result<Source>, Vec<u8>) {
    let mut left = bytes;
    let source = read(&mut left).await;
    (source, left.to_vec())
}

fn problem(result: io::Result<Source>) -> InvalidHeader {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    *error.get_ref().unwrap().downcast_ref().unwrap()
}

#[tokio::test]
async fn the_client_is_read_and_nothing_after_the_header() {
    let mut bytes = header(PROXY, TCP_IPV4, &IPV4);
    bytes.extend(b"\x16\x03\x01 client hello");
    let (source, left) = read_all(&bytes).await;
    let client = "192.0.2.7:54321".parse().unwrap();
    assert_eq!(source.unwrap(), Source::Client(client));
    assert_eq!(left, b"\x16\x03\x01 client hello");
}

#[rstest]
#[case(header(PROXY, TCP_IPV6, &ipv6("2001:db8::7")), "[2001:db8::7]:54321")]
#[case(header(PROXY, TCP_IPV6, &ipv6("::ffff:192.0.2.7")), "192.0.2.7:54321")]
#[case(header(PROXY, TCP_IPV4, &[&IPV4[..], &[4, 0, 2, 1, 1, 0xea, 0, 0]].concat()), "192.0.2.7:54321")]
#[tokio::test]
async fn addresses_and_extensions_are_accepted(#[case] bytes: Vec<u8>, #[case] client: &str) {
    let (source, left) = read_all(&bytes).await;
    assert_eq!(source.unwrap(), Source::Client(client.parse().unwrap()));
    assert!(left.is_empty());
}

#[rstest]
#[case(&[])]
#[case(&[1, 2, 3])]
#[tokio::test]
async fn a_check_of_the_proxy_itself_is_of_the_proxy(#[case] rest: &[u8]) {
    let (source, _) = read_all(&header(LOCAL, 0, rest)).await;
    assert_eq!(source.unwrap(), Source::Proxy);
}

#[rstest]
#[case::tls(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdef".to_vec(), InvalidHeader::Signature)]
#[case::version_1(b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(), InvalidHeader::Signature)]
#[case::version_3(header(0x31, TCP_IPV4, &IPV4), InvalidHeader::Command(0x31))]
#[case::command(header(0x22, TCP_IPV4, &IPV4), InvalidHeader::Command(0x22))]
#[case::unspecified_family(header(PROXY, 0, &[]), InvalidHeader::Family(0))]
#[case::udp(header(PROXY, 0x12, &IPV4), InvalidHeader::Family(0x12))]
#[case::unix(header(PROXY, 0x31, &[0; 216]), InvalidHeader::Family(0x31))]
#[case::short(header(PROXY, TCP_IPV4, &IPV4[..11]), InvalidHeader::Length(11))]
#[case::short_ipv6(header(PROXY, TCP_IPV6, &IPV4), InvalidHeader::Length(12))]
#[case::extension_head(header(PROXY, TCP_IPV4, &[&IPV4[..], &[4, 0]].concat()), InvalidHeader::Length(14))]
#[case::extension(header(PROXY, TCP_IPV4, &[&IPV4[..], &[4, 0, 2, 1]].concat()), InvalidHeader::Length(16))]
#[case::too_long(header(PROXY, TCP_IPV4, &[0; MAX_LENGTH + 1]), InvalidHeader::Length(MAX_LENGTH + 1))]
#[case::no_client(header(PROXY, TCP_IPV4, &[0; 12]), InvalidHeader::Address(Ipv4Addr::UNSPECIFIED.into()))]
#[case::multicast(header(PROXY, TCP_IPV6, &ipv6("ff02::1")), InvalidHeader::Address("ff02::1".parse().unwrap()))]
#[case::checksum(header(PROXY, TCP_IPV4, &[&IPV4[..], &[3, 0, 4, 0, 0, 0, 0]].concat()), InvalidHeader::Checksum)]
#[tokio::test]
async fn what_is_no_header_of_a_client_is_refused_s02(
    #[case] bytes: Vec<u8>,
    #[case] expected: InvalidHeader,
) {
    let (source, _) = read_all(&bytes).await;
    assert_eq!(problem(source), expected);
}

#[tokio::test]
async fn a_header_that_ends_early_is_refused() {
    let bytes = header(PROXY, TCP_IPV4, &IPV4);
    for end in 0..bytes.len() {
        let (source, _) = read_all(&bytes[..end]).await;
        assert_eq!(source.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}

/// Test vectors: RFC 9260, and the usual check value of the algorithm.
#[test]
fn the_checksum_is_crc_32c() {
    assert_eq!(crc32c(&[b"1234", b"56789"]), 0xe306_9283);
    assert_eq!(crc32c(&[&[0; 32]]), 0x8a91_36aa);
}

#[tokio::test]
async fn a_right_checksum_is_accepted_in_any_place() {
    for (before, after) in [(&[][..], &[4, 0, 0][..]), (&[4, 0, 1, 9][..], &[][..])] {
        let checksum = [3, 0, 4, 0, 0, 0, 0];
        let place = HEAD_LENGTH + IPV4.len() + before.len() + 3;
        let mut bytes = header(PROXY, TCP_IPV4, &[&IPV4, before, &checksum, after].concat());
        let value = crc32c(&[&bytes]).to_be_bytes();
        bytes[place..place + 4].copy_from_slice(&value);
        let (source, _) = read_all(&bytes).await;
        assert!(matches!(source.unwrap(), Source::Client(_)));
        bytes[20] ^= 1;
        let (source, _) = read_all(&bytes).await;
        assert_eq!(problem(source), InvalidHeader::Checksum);
    }
}

proptest! {
    #[test]
    fn any_bytes_have_an_answer(
        command in any::<u8>(), family in any::<u8>(), rest in prop::collection::vec(any::<u8>(), 0..80)
    ) {
        for (command, family) in [(command, family), (PROXY, TCP_IPV4), (PROXY, TCP_IPV6)] {
            let bytes = header(command, family, &rest);
            let head = bytes.first_chunk::<HEAD_LENGTH>().unwrap();
            if let Ok(Source::Client(client)) = parse(head, &rest) {
                prop_assert!(!client.ip().is_unspecified());
            }
        }
    }
}
