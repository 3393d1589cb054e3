use rstest::rstest;
use serde_json::json;

use super::{
    testing::{Publisher, named},
    *,
};

/// 2026-01-01.
const NOW: UnixMillis = UnixMillis(1_767_225_600_000);
const MODEL: &str = "84c6ccb9-ab1d-b374-750b-2367ff6f3a1f";

impl Publisher {
    fn verify(&self, blob: &str, known: Option<u64>) -> Result<Metadata, Rejected> {
        let anchors = [self.root.clone()];
        let trust = Trust {
            anchors: &anchors,
            publisher: PUBLISHER,
        };
        Metadata::verify(blob.as_bytes(), trust, known, NOW)
    }
}

fn document(no: u64, entries: &Value) -> Value {
    json!({"legalHeader": "…", "no": no, "nextUpdate": "2026-02-01", "entries": entries})
}

fn entry(statuses: &[(&str, Option<&str>)]) -> Value {
    let statuses: Vec<Value> = statuses
        .iter()
        .map(|(status, since)| match since {
            None => json!({"status": status}),
            Some(since) => json!({"status": status, "effectiveDate": since}),
        })
        .collect();
    json!({
        "aaguid": MODEL,
        "metadataStatement": {
            "description": "Key 5",
            "keyProtection": ["hardware", "secure_element"],
            "attestationRootCertificates": ["AQ\nID"],
        },
        "statusReports": statuses,
        "timeOfLastStatusChange": "2025-01-01",
    })
}

#[test]
fn models_are_found_by_both_their_names() {
    let publisher = Publisher::fido();
    let entries = json!([
        entry(&[("FIDO_CERTIFIED_L2", Some("2024-01-01"))]),
        {"attestationCertificateKeyIdentifiers": ["00ff"], "statusReports": [{"status": "REVOKED"}]},
        {"aaid": "4e4e#4005", "statusReports": []},
    ]);
    let blob = publisher.publish(&document(7, &entries));
    let metadata = publisher.verify(&format!("{blob}\n"), Some(7)).unwrap();
    assert_eq!((metadata.number, metadata.entries.len()), (7, 2));
    assert_eq!(metadata.next_update, UnixMillis(1_769_904_000_000));
    let model = metadata.entries[0].aaguid.unwrap();
    assert_eq!(model.to_string(), MODEL);
    let found = metadata.model(model).unwrap();
    assert_eq!(found.description, "Key 5");
    assert_eq!(found.anchors, [vec![1, 2, 3]]);
    assert_eq!(found.key_protection, ["hardware", "secure_element"]);
    assert_eq!(found.authenticator_status(NOW), AuthenticatorStatus::Level2);
    let u2f = metadata.model_of_key(&[0, 0xff], NOW).unwrap();
    assert_eq!(
        u2f.authenticator_status(NOW),
        AuthenticatorStatus::Compromised
    );
    assert_eq!(metadata.model(Aaguid::default()), None);
}

#[test]
fn b15_only_metadata_signed_by_the_publisher_are_accepted() {
    let publisher = Publisher::fido();
    let payload = document(7, &json!([entry(&[])]));
    let blob = publisher.publish(&payload);
    assert!(publisher.verify(&blob, None).is_ok());

    let other = document(8, &json!([entry(&[])])).to_string();
    let mut parts: Vec<String> = blob.split('.').map(str::to_owned).collect();
    parts[1] = URL_SAFE_NO_PAD.encode(other);
    assert_eq!(
        publisher.verify(&parts.join("."), None),
        Err(Rejected::Signature)
    );

    // An unknown authority, then another customer of the trusted authority.
    let stranger = Publisher::fido();
    assert_eq!(
        publisher.verify(&stranger.publish(&payload), None),
        Err(Rejected::Signer(ChainError::Untrusted))
    );
    let customer = Publisher::new(&named("shop.example"));
    assert_eq!(
        customer.verify(&customer.publish(&payload), None),
        Err(Rejected::Publisher)
    );
    let mut both = named(PUBLISHER);
    let name = rcgen::SanType::DnsName("shop.example".try_into().unwrap());
    both.subject_alt_names = vec![name];
    let both = Publisher::new(&both);
    assert_eq!(
        both.verify(&both.publish(&payload), None),
        Err(Rejected::Publisher)
    );

    let with = |name: &str, value: Value| {
        let mut header = publisher.header();
        header[name] = value;
        publisher.verify(&publisher.sign(&header, &payload), None)
    };
    assert_eq!(with("alg", "none".into()), Err(Rejected::Algorithm));
    assert_eq!(with("alg", "HS256".into()), Err(Rejected::Algorithm));
    assert_eq!(with("alg", "RS256".into()), Err(Rejected::Signature));
    assert!(matches!(
        with("crit", json!(["x"])),
        Err(Rejected::Malformed(_))
    ));
    assert!(matches!(with("x5c", json!([])), Err(Rejected::Signer(_))));
    assert!(matches!(
        with("x5c", json!("x")),
        Err(Rejected::Malformed(_))
    ));
    let too_large = vec![b'a'; LARGEST + 1];
    let trust = Trust {
        anchors: &[],
        publisher: PUBLISHER,
    };
    let refused = Metadata::verify(&too_large, trust, None, NOW);
    assert_eq!(refused, Err(Rejected::TooLarge));
}

#[test]
fn b15_older_metadata_do_not_replace_newer_ones() {
    let publisher = Publisher::fido();
    let blob = publisher.publish(&document(7, &json!([])));
    assert_eq!(publisher.verify(&blob, Some(7)).unwrap().number, 7);
    assert_eq!(publisher.verify(&blob, Some(6)).unwrap().number, 7);
    let refused = publisher.verify(&blob, Some(8));
    assert_eq!(refused, Err(Rejected::Older { found: 7, known: 8 }));
}

#[rstest]
#[case(json!({"no": 7, "nextUpdate": "2026-02-01"}))]
#[case(json!({"no": "7", "nextUpdate": "2026-02-01", "entries": []}))]
#[case(json!({"no": 7, "nextUpdate": "soon", "entries": []}))]
#[case(json!({"no": 7, "nextUpdate": "2026-02-01", "entries": [{"aaguid": "x", "statusReports": []}]}))]
#[case(json!({"no": 7, "nextUpdate": "2026-02-01", "entries": [{"aaguid": MODEL}]}))]
#[case(json!({"no": 7, "nextUpdate": "2026-02-01", "entries": [{"aaguid": MODEL, "statusReports": [{}]}]}))]
#[case(json!([]))]
fn b15_malformed_metadata_are_refused(#[case] payload: Value) {
    let publisher = Publisher::fido();
    let refused = publisher.verify(&publisher.publish(&payload), None);
    assert_eq!(refused, Err(Rejected::Malformed("the metadata")));
}

#[test]
fn b15_a_model_that_is_listed_twice_is_refused() {
    let publisher = Publisher::fido();
    let twice = json!([entry(&[]), entry(&[("REVOKED", None)])]);
    let refused = publisher.verify(&publisher.publish(&document(7, &twice)), None);
    assert!(matches!(refused, Err(Rejected::Twice(_))), "{refused:?}");
}

#[rstest]
#[case(&[], AuthenticatorStatus::Uncertified)]
#[case(&[("FIDO_CERTIFIED", None)], AuthenticatorStatus::Level1)]
#[case(&[("FIDO_CERTIFIED_L1", None), ("FIDO_CERTIFIED_L2", None)], AuthenticatorStatus::Level2)]
#[case(&[("FIDO_CERTIFIED_L3plus", Some("2026-06-01"))], AuthenticatorStatus::Uncertified)]
#[case(&[("FIDO_CERTIFIED_L3plus", Some("2025-06-01"))], AuthenticatorStatus::Level3)]
#[case(&[("FIDO_CERTIFIED_L2", None), ("REVOKED", None)], AuthenticatorStatus::Compromised)]
#[case(&[("REVOKED", None), ("FIDO_CERTIFIED_L2", None)], AuthenticatorStatus::Compromised)]
#[case(&[("ATTESTATION_KEY_COMPROMISE", Some("2026-06-01"))], AuthenticatorStatus::Uncertified)]
#[case(&[("USER_KEY_REMOTE_COMPROMISE", Some("2025-06-01"))], AuthenticatorStatus::Compromised)]
#[case(&[("REVOKED", None), ("UPDATE_AVAILABLE", None)], AuthenticatorStatus::Compromised)]
#[case(&[("SOMETHING_NEW", None)], AuthenticatorStatus::Uncertified)]
fn b14_status_reports_against_a_model_are_applied(
    #[case] statuses: &[(&str, Option<&str>)],
    #[case] expected: AuthenticatorStatus,
) {
    let entry = Entry::read(&entry(statuses)).unwrap().unwrap();
    assert_eq!(entry.authenticator_status(NOW), expected);
}
