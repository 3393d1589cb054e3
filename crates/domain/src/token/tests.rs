use proptest::prelude::*;

use super::*;
use crate::rng::SeededRng;

fn key() -> SigningKey {
    SigningKey::generate(&SeededRng::new(1)).unwrap()
}

fn uid(byte: u8) -> Uid {
    Uid::from_bytes(&[byte; 16]).unwrap()
}

fn some_claims() -> Claims {
    Claims {
        token_type: TokenType::Access,
        key_id: key().id(),
        subject: uid(2),
        token_id: uid(3),
        expires_at: Some(UnixMillis::from_seconds(1_800_000_000)),
        credential_version: 7,
        audience: uid(9),
    }
}

fn arbitrary_claims() -> impl Strategy<Value = Claims> {
    let token_type = prop_oneof![
        Just(TokenType::Access),
        Just(TokenType::Refresh),
        Just(TokenType::Credential)
    ];
    let expires_at = prop::option::of((0_i64..=253_402_300_799).prop_map(UnixMillis::from_seconds));
    let uids = any::<[[u8; 16]; 3]>();
    (token_type, expires_at, uids, any::<u32>()).prop_map(
        |(token_type, expires_at, uids, version)| {
            let [subject, token_id, audience] = uids.map(|bytes| Uid::from_bytes(&bytes).unwrap());
            Claims {
                token_type,
                key_id: key().id(),
                subject,
                token_id,
                expires_at,
                credential_version: version,
                audience,
            }
        },
    )
}

fn verify(text: &str) -> Result<Claims, TokenError> {
    decode(text)?.verify(&key().verifying_key(), uid(9))
}

fn bytes_of(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// Encodes a token with any content and a valid signature.
fn sign_content(content: &[u8]) -> String {
    let bytes = encoding::envelope(&key().signature(content), content);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn content_of(text: &str) -> Vec<u8> {
    let bytes = bytes_of(text);
    // Skip the version, tag and length of the signature, the signature, and tag and length of the content.
    bytes[1 + 2 + 64 + 2..].to_vec()
}

#[test]
fn signed_tokens_are_read_back() {
    let claims = some_claims();
    let token = key().sign(&claims);
    assert_eq!(inspect(token.expose()), Ok(claims.clone()));
    assert_eq!(verify(token.expose()), Ok(claims));
}

#[test]
fn the_longest_and_the_shortest_token_are_within_the_published_lengths() {
    let longest = Claims {
        expires_at: Some(UnixMillis::from_seconds(253_402_300_799)),
        credential_version: u32::MAX,
        ..some_claims()
    };
    let shortest = Claims {
        expires_at: None,
        credential_version: 0,
        ..some_claims()
    };
    for claims in [longest, shortest] {
        let token = key().sign(&claims);
        assert!((MIN_LENGTH..=MAX_LENGTH).contains(&token.expose().len()));
        assert_eq!(verify(token.expose()), Ok(claims));
    }
}

#[test]
fn a_general_protobuf_decoder_reads_the_same() {
    use api::auth_v1::TokenT0;
    use prost::Message as _;

    let claims = some_claims();
    let bytes = bytes_of(key().sign(&claims).expose());
    let message = TokenT0::decode(&bytes[1..]).unwrap();
    assert_eq!(message.encode_to_vec(), &bytes[1..]);
    let content = message.content.unwrap();
    assert_eq!(content.r#type(), Type::AccessToken);
    assert_eq!(content.subject, claims.subject.as_bytes());
    assert_eq!(content.token_id, claims.token_id.as_bytes());
    assert_eq!(content.expires_at.unwrap().seconds, 1_800_000_000);
    assert_eq!(content.credential_version, 7);
    assert_eq!(content.audience, claims.audience.as_bytes());
}

#[test]
fn w23_a_token_of_another_cluster_is_refused() {
    let token = key().sign(&some_claims());
    let other_cluster = decode(token.expose()).unwrap();
    let refused = other_cluster.verify(&key().verifying_key(), uid(8));
    assert_eq!(refused, Err(TokenError::WrongAudience));
}

#[test]
fn a_token_of_another_key_is_refused_also_under_the_same_id() {
    let token = key().sign(&some_claims());
    let other = SigningKey::generate(&SeededRng::new(2)).unwrap();
    let refused = decode(token.expose())
        .unwrap()
        .verify(&other.verifying_key(), uid(9));
    assert_eq!(refused, Err(TokenError::WrongKey));

    let impostor = SigningKey::from_pkcs8(key().id(), &other.to_pkcs8()).unwrap();
    let forged = impostor.sign(&some_claims());
    assert_eq!(verify(forged.expose()), Err(TokenError::BadSignature));
}

#[test]
fn a_key_survives_its_document() {
    let restored = SigningKey::from_pkcs8(key().id(), &key().to_pkcs8()).unwrap();
    let token = restored.sign(&some_claims());
    assert_eq!(token.expose(), key().sign(&some_claims()).expose());
    let public = VerifyingKey::from_bytes(key().id(), key().verifying_key().as_bytes()).unwrap();
    assert!(
        decode(token.expose())
            .unwrap()
            .verify(&public, uid(9))
            .is_ok()
    );
}

#[test]
fn a_malformed_key_is_refused() {
    assert!(SigningKey::from_pkcs8(uid(1), b"not a key").is_err());
    assert!(VerifyingKey::from_bytes(uid(1), &[0xff; 31]).is_err());
}

#[test]
fn e06_expiry_holds_at_its_instant_in_2038_and_in_9999() {
    for seconds in [0, 2_147_483_647, 2_147_483_648, 253_402_300_799] {
        let expires_at = UnixMillis::from_seconds(seconds);
        let claims = Claims {
            expires_at: Some(expires_at),
            ..some_claims()
        };
        let claims = verify(key().sign(&claims).expose()).unwrap();
        assert_eq!(claims.expires_at, Some(expires_at));
        assert_eq!(claims.check_expiry(UnixMillis(expires_at.0 - 1)), Ok(()));
        assert_eq!(claims.check_expiry(expires_at), Err(TokenError::Expired));
    }
}

#[test]
fn e06_an_expiry_beyond_what_a_token_can_hold_becomes_the_nearest() {
    let cases = [
        (UnixMillis(i64::MAX), 253_402_300_799),
        (UnixMillis(i64::MIN), 0),
        (UnixMillis(1_999), 1),
    ];
    for (asked, seconds) in cases {
        let claims = Claims {
            expires_at: Some(asked),
            ..some_claims()
        };
        let read = verify(key().sign(&claims).expose()).unwrap();
        assert_eq!(read.expires_at, Some(UnixMillis::from_seconds(seconds)));
    }
}

#[test]
fn w15_a_token_of_one_second_lives_one_second() {
    let second = Duration::from_secs(1);
    assert_eq!(expiry(UnixMillis(5_000), second), UnixMillis(6_000));
    assert_eq!(expiry(UnixMillis(5_001), second), UnixMillis(7_000));
    assert_eq!(
        expiry(UnixMillis(i64::MAX), second).seconds(),
        i64::MAX / 1000
    );
}

#[test]
fn tokens_of_another_type_are_refused() {
    let claims = some_claims();
    assert_eq!(claims.check_type(TokenType::Access), Ok(()));
    assert_eq!(
        claims.check_type(TokenType::Refresh),
        Err(TokenError::WrongType)
    );
    assert_eq!(
        claims.check_type(TokenType::Credential),
        Err(TokenError::WrongType)
    );
}

#[test]
fn a07_padding_spaces_and_the_other_alphabet_are_refused() {
    let token = key().sign(&some_claims());
    let text = token.expose();
    for spelling in [
        format!("{text}="),
        format!("{text}=="),
        format!(" {text}"),
        format!("{text}\n"),
        format!("{text}A"),
        format!("{text}AAAA"),
        text.replace('_', "/").replace('-', "+"),
    ] {
        let is_same = spelling == text;
        assert!(is_same || verify(&spelling).is_err(), "{spelling}");
    }
}

#[test]
fn a07_bits_set_after_the_last_byte_are_refused() {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // Three lengths modulo 3, so that the last character has 0, 2 and 4 unused bits.
    for version in [1, 1 << 7, 1 << 14] {
        let claims = Claims {
            credential_version: version,
            ..some_claims()
        };
        let token = key().sign(&claims);
        let text = token.expose();
        for last in ALPHABET {
            let mut spelling = text[..text.len() - 1].to_owned();
            spelling.push(char::from(*last));
            assert_eq!(verify(&spelling).is_ok(), spelling == text, "{spelling}");
        }
    }
}

#[test]
fn a07_contents_that_only_a_general_decoder_takes_are_refused_although_signed() {
    let canonical = content_of(key().sign(&some_claims()).expose());
    assert!(verify(&sign_content(&canonical)).is_ok());

    let with_field = |bytes: &[u8]| [canonical.as_slice(), bytes].concat();
    let key_id_end = 2 + 18;
    let subject = canonical[key_id_end..key_id_end + 18].to_vec();
    let mut swapped = canonical.clone();
    swapped.copy_within(2..key_id_end, key_id_end);
    swapped[2..key_id_end].copy_from_slice(&subject);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (
            "a long varint",
            [&[0x08, 0x81, 0x00], &canonical[2..]].concat(),
        ),
        (
            "an overlong tag",
            [&[0x88, 0x00, 0x01], &canonical[2..]].concat(),
        ),
        ("type unknown", [&[0x08, 0x00], &canonical[2..]].concat()),
        ("an unknown type", [&[0x08, 0x04], &canonical[2..]].concat()),
        ("no type", canonical[2..].to_vec()),
        (
            "a repeated type",
            [&[0x08, 0x01], canonical.as_slice()].concat(),
        ),
        ("fields in another order", swapped),
        ("an unknown field", with_field(&[0xb0, 0x06, 0x01])),
        (
            "a repeated audience",
            with_field(&canonical[canonical.len() - 19..]),
        ),
        ("a group", with_field(&[0xb3, 0x06, 0xb4, 0x06])),
        ("nothing", Vec::new()),
    ];
    for (case, content) in cases {
        assert!(content.len() < 128, "{case}");
        assert_eq!(
            decode(&sign_content(&content)).err(),
            Some(TokenError::Malformed),
            "{case}"
        );
    }
}

#[test]
fn a07_timestamps_with_a_fraction_a_sign_or_a_default_are_refused_although_signed() {
    let claims = Claims {
        expires_at: Some(UnixMillis(0)),
        ..some_claims()
    };
    let content = content_of(key().sign(&claims).expose());
    let start = 2 + 3 * 18;
    assert_eq!(content[start..start + 2], [0x2a, 0]);
    for timestamp in [
        // Zero seconds, encoded explicitly.
        &[0x08, 0x00][..],
        // One nanosecond.
        &[0x10, 0x01],
        // One second and a nanosecond.
        &[0x08, 0x01, 0x10, 0x01],
        // One second before 1970.
        &[
            0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
        ],
        // A second in the year 10000.
        &[0x08, 0x80, 0xdc, 0xc2, 0xa4, 0xb0, 0x07],
    ] {
        let length = u8::try_from(timestamp.len()).unwrap();
        let altered = [
            &content[..=start],
            &[length],
            timestamp,
            &content[start + 2..],
        ]
        .concat();
        assert!(decode(&sign_content(&altered)).is_err(), "{timestamp:?}");
    }
}

proptest! {
    #[test]
    fn a07_reading_undoes_writing(claims in arbitrary_claims()) {
        let token = key().sign(&claims);
        prop_assert_eq!(inspect(token.expose()), Ok(claims.clone()));
        let verified = decode(token.expose()).unwrap().verify(&key().verifying_key(), claims.audience);
        prop_assert_eq!(verified, Ok(claims));
    }

    #[test]
    fn a07_any_flipped_bit_is_refused(claims in arbitrary_claims(), position: prop::sample::Index, bit in 0_u8..8) {
        let token = key().sign(&claims);
        let mut bytes = bytes_of(token.expose());
        let position = position.index(bytes.len());
        bytes[position] ^= 1_u8 << bit;
        let altered = URL_SAFE_NO_PAD.encode(bytes);
        let verified = decode(&altered)
            .and_then(|token| token.verify(&key().verifying_key(), claims.audience));
        prop_assert!(verified.is_err());
    }

    #[test]
    fn a07_any_other_character_is_refused(
        claims in arbitrary_claims(), position: prop::sample::Index, replacement: char,
    ) {
        let token = key().sign(&claims);
        let mut characters: Vec<char> = token.expose().chars().collect();
        let position = position.index(characters.len());
        prop_assume!(characters[position] != replacement);
        characters[position] = replacement;
        let altered: String = characters.into_iter().collect();
        let verified = decode(&altered)
            .and_then(|token| token.verify(&key().verifying_key(), claims.audience));
        prop_assert!(verified.is_err());
    }

    #[test]
    fn a07_any_truncation_or_extension_is_refused(
        claims in arbitrary_claims(), cut: prop::sample::Index, added in prop::collection::vec(any::<u8>(), 1..20),
    ) {
        let token = key().sign(&claims);
        prop_assert!(verify(&token.expose()[..cut.index(token.expose().len())]).is_err());

        let mut bytes = bytes_of(token.expose());
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(verify(&URL_SAFE_NO_PAD.encode(bytes)).is_err());

        let extended = [bytes_of(token.expose()), added].concat();
        prop_assert!(verify(&URL_SAFE_NO_PAD.encode(extended)).is_err());
    }

    #[test]
    fn a07_any_text_reads_without_a_panic_and_only_in_one_spelling(text in "[A-Za-z0-9_-]{0,240}") {
        prop_assert!(decode(&text).is_err() || inspect(&text).is_ok());
    }

    #[test]
    fn a07_any_signed_content_that_reads_is_canonical(content in prop::collection::vec(any::<u8>(), 80..96)) {
        prop_assert!(decode(&sign_content(&content)).is_err());
    }
}
