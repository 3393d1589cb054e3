use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    clock::UnixMillis,
    rng::{SeededRng, SystemRng},
};
use rstest::rstest;

use super::{
    testing::{ATTRIBUTES, Behaviour, Maker, Parts, SoftwareTpm},
    *,
};

/// 2026-01-01.
const NOW: UnixMillis = UnixMillis(1_767_225_600_000);
const EK_CERTIFICATE: &[u64] = &[2, 23, 133, 8, 1];

fn no_authorities() -> Authorities {
    Authorities::default()
}

fn only(maker: &Maker) -> Authorities {
    Authorities::from_pem(&[maker.pem()], true).unwrap()
}

fn verify(parts: &Parts) -> Result<Registered> {
    parts.registration().verify(&no_authorities(), NOW)
}

fn refused(parts: &Parts) -> String {
    verify(parts).unwrap_err().to_string()
}

#[test]
fn a_tpm_registers_and_recovers_the_secret() {
    let tpm = SoftwareTpm::new(Behaviour::default());
    let registered = verify(&tpm.parts()).unwrap();
    assert_eq!(registered.endorsement_key.trust, Trust::Uncertified);
    let (credential, secret) = registered.challenge(&SystemRng).unwrap();
    let recovered = tpm.activate(&credential).unwrap();
    assert_eq!(secret.check(&recovered), Ok(()));
    let stored = ActivationSecret::from_bytes(secret.as_bytes().to_vec()).unwrap();
    assert_eq!(stored.check(&recovered), Ok(()));
    assert_eq!(format!("{stored:?}"), "ActivationSecret(..)");
    assert!(ActivationSecret::from_bytes(vec![0; 31]).is_err());
}

#[test]
fn b17_another_secret_is_refused() {
    let tpm = SoftwareTpm::new(Behaviour::default());
    let registered = verify(&tpm.parts()).unwrap();
    let (first, _) = registered.challenge(&SystemRng).unwrap();
    let (_, second) = registered.challenge(&SystemRng).unwrap();
    let recovered = tpm.activate(&first).unwrap();
    for wrong in [recovered.as_slice(), &recovered[..31], &[]] {
        assert_eq!(second.check(wrong), Err(Refusal::Activation));
    }
}

#[test]
fn b17_a_cleared_tpm_and_another_recover_nothing() {
    let tpm = SoftwareTpm::new(Behaviour::default());
    let registered = verify(&tpm.parts()).unwrap();
    let (credential, _) = registered.challenge(&SystemRng).unwrap();
    // A cleared TPM has a new attestation key with another name.
    let cleared = tpm.with_another_key(Behaviour::default());
    assert_eq!(cleared.activate(&credential), None);
    let other = SoftwareTpm::new(Behaviour::default());
    assert_eq!(other.activate(&credential), None);
}

#[test]
fn b17_an_endorsement_key_of_software_is_refused_where_certificates_are_required() {
    let maker = Maker::new();
    let tpm = SoftwareTpm::new(Behaviour::default());
    let required = only(&maker);
    let result = tpm.parts().registration().verify(&required, NOW);
    assert_eq!(result, Err(Refusal::Uncertified));
    // Certificate of another authority.
    let own = tpm.certified_parts(&Maker::new(), Some(EK_CERTIFICATE));
    let result = own.registration().verify(&required, NOW);
    assert!(matches!(result, Err(Refusal::Chain(_))), "{result:?}");
    // An untrusted certificate is rejected even if certificates are optional.
    let optional = Authorities::from_pem(&[maker.pem()], false).unwrap();
    let result = own.registration().verify(&optional, NOW);
    assert!(matches!(result, Err(Refusal::Chain(_))), "{result:?}");
    assert!(tpm.parts().registration().verify(&optional, NOW).is_ok());
}

#[test]
fn a_certificate_says_how_far_a_tpm_is_trusted() {
    let maker = Maker::new();
    let tpm = SoftwareTpm::new(Behaviour::default());
    let parts = tpm.certified_parts(&maker, Some(EK_CERTIFICATE));
    let unverified = verify(&parts).unwrap().endorsement_key;
    assert_eq!(unverified.trust, Trust::Unverified);
    let certified = parts.registration().verify(&only(&maker), NOW).unwrap();
    let key = certified.endorsement_key.clone();
    assert_eq!(key.trust, Trust::Certified);
    assert_eq!(key.public_key, tpm.endorsement_key());
    let certificate = key.certificate.unwrap();
    assert_eq!(certificate.der, parts.endorsement);
    assert_eq!(certificate.manufacturer, "id:54455354");
    assert_eq!(certificate.model, "Software");
    assert_eq!(certificate.firmware_version, "id:00010002");
    let (credential, secret) = certified.challenge(&SystemRng).unwrap();
    assert_eq!(secret.check(&tpm.activate(&credential).unwrap()), Ok(()));
}

#[test]
fn b17_an_endorsement_certificate_of_another_key_releases_nothing() {
    let maker = Maker::new();
    let genuine = SoftwareTpm::new(Behaviour::default());
    let software = SoftwareTpm::new(Behaviour::default());
    let stolen = Parts {
        endorsement: maker.certify(&genuine.endorsement_key(), Some(EK_CERTIFICATE)),
        is_certified: true,
        ..software.parts()
    };
    let registered = stolen.registration().verify(&only(&maker), NOW).unwrap();
    let (credential, _) = registered.challenge(&SystemRng).unwrap();
    assert_eq!(software.activate(&credential), None);
    // The genuine TPM has no key with that name.
    assert_eq!(genuine.activate(&credential), None);
}

#[rstest]
#[case::missing(None)]
#[case::of_servers(Some(&[1, 3, 6, 1, 5, 5, 7, 3, 1][..]))]
#[case::of_attestation_keys(Some(&[2, 23, 133, 8, 3][..]))]
fn b17_a_certificate_not_for_endorsement_keys_is_refused(#[case] usage: Option<&[u64]>) {
    let maker = Maker::new();
    let tpm = SoftwareTpm::new(Behaviour::default());
    let parts = tpm.certified_parts(&maker, usage);
    for authorities in [no_authorities(), only(&maker)] {
        let result = parts.registration().verify(&authorities, NOW);
        let expected = Refusal::Certificate("it is not for endorsement keys");
        assert_eq!(result, Err(expected));
    }
}

#[test]
fn a_certificate_counts_in_its_time() {
    let maker = Maker::new();
    let parts =
        SoftwareTpm::new(Behaviour::default()).certified_parts(&maker, Some(EK_CERTIFICATE));
    for authorities in [no_authorities(), only(&maker)] {
        let early = UnixMillis::from_seconds(0);
        let result = parts.registration().verify(&authorities, early);
        assert_eq!(result, Err(Refusal::Chain(ChainError::Time)));
    }
}

#[rstest]
#[case::not_restricted(ATTRIBUTES & !(1 << 16), "it is not restricted")]
#[case::signs_not(ATTRIBUTES & !(1 << 18), "it does not sign")]
#[case::moves(ATTRIBUTES & !(1 << 1), "it is not fixed to its TPM")]
#[case::is_duplicated(ATTRIBUTES & !(1 << 4), "it is not fixed to its parent")]
#[case::is_imported(ATTRIBUTES & !(1 << 5), "it was not made by its TPM")]
#[case::decrypts(ATTRIBUTES | 1 << 17, "it decrypts")]
fn b17_a_key_without_the_attributes_of_an_attestation_key_is_refused(
    #[case] attributes: u32,
    #[case] reason: &str,
) {
    let behaviour = Behaviour {
        attributes,
        ..Behaviour::default()
    };
    let refused = refused(&SoftwareTpm::new(behaviour).parts());
    assert!(refused.ends_with(reason), "{refused}");
}

#[rstest]
#[case::null(0x4000_0007)]
#[case::platform(0x4000_000c)]
#[case::none(0)]
fn b17_a_key_of_another_hierarchy_is_refused(#[case] hierarchy: u32) {
    let behaviour = Behaviour {
        hierarchy,
        ..Behaviour::default()
    };
    let refused = refused(&SoftwareTpm::new(behaviour).parts());
    assert!(refused.contains("hierarchy"), "{refused}");
}

#[test]
fn statements_not_made_by_a_tpm_are_refused() {
    let behaviour = Behaviour {
        magic: 0,
        ..Behaviour::default()
    };
    let refused = refused(&SoftwareTpm::new(behaviour).parts());
    assert!(refused.contains("not made by a TPM"), "{refused}");
}

#[test]
fn the_creation_of_another_key_is_refused() {
    let tpm = SoftwareTpm::new(Behaviour::default());
    let (own, other) = (
        tpm.parts(),
        tpm.with_another_key(Behaviour::default()).parts(),
    );
    // Signed by the other key.
    let mixed = Parts {
        public: other.public.clone(),
        ..own.clone()
    };
    assert_eq!(verify(&mixed), Err(Refusal::Signature));
    // A valid signature, but over a quote.
    let (attestation, signature) = tpm.quote(&QuoteRequest::new(&SystemRng));
    let mixed = Parts {
        create_attestation: attestation,
        create_signature: signature,
        ..own.clone()
    };
    assert!(refused(&mixed).contains("creation"));
    // A valid signature over another key's name or over other creation data.
    let of = |name: &[u8], data: &[u8]| {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data);
        let sized =
            |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
        let attestation = tpm.attest(0x801a, &[], &[sized(name), sized(hash.as_ref())].concat());
        Parts {
            create_signature: tpm.sign(&attestation),
            create_attestation: attestation,
            ..own.clone()
        }
    };
    let name = |public: &[u8]| structures::name(structures::SHA256, &[public]).unwrap();
    assert!(verify(&of(&name(&own.public), &own.create_data)).is_ok());
    assert!(refused(&of(&name(&other.public), &own.create_data)).contains("another key"));
    assert!(refused(&of(&name(&own.public), b"others")).contains("creation data"));
}

#[test]
fn w39b_ak_bytes_of_another_key_are_refused_where_they_are_understood() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let tpm = SoftwareTpm::new(Behaviour::default());
    let with = |public: &[u8]| Parts {
        ak_bytes: format!(
            r#"{{"KeyEncoding":2,"Public":"{}","KeyBlob":"AA=="}}"#,
            STANDARD.encode(public)
        )
        .into_bytes(),
        ..tpm.parts()
    };
    assert!(verify(&with(&tpm.parts().public)).is_ok());
    let other = tpm.with_another_key(Behaviour::default()).parts().public;
    assert!(refused(&with(&other)).contains("akBytes"));
}

#[test]
fn each_part_has_bytes_and_not_too_many() {
    let parts = SoftwareTpm::new(Behaviour::default()).parts();
    let change: [fn(&mut Parts) -> &mut Vec<u8>; 6] = [
        |parts| &mut parts.ak_bytes,
        |parts| &mut parts.public,
        |parts| &mut parts.create_data,
        |parts| &mut parts.create_attestation,
        |parts| &mut parts.create_signature,
        |parts| &mut parts.endorsement,
    ];
    for part in change {
        for wrong in [vec![], vec![0; 3_001]] {
            let mut parts = parts.clone();
            *part(&mut parts) = wrong;
            assert!(matches!(verify(&parts), Err(Refusal::Length(_))));
        }
    }
    // Trailing bytes are rejected.
    for part in change.into_iter().skip(1) {
        let mut parts = parts.clone();
        part(&mut parts).push(0);
        assert!(verify(&parts).is_err());
    }
}

fn quoted(
    tpm: &SoftwareTpm,
    answered: &QuoteRequest,
    asked: &QuoteRequest,
) -> std::result::Result<Quoted, String> {
    let key = verify(&tpm.parts()).unwrap().attestation_key;
    let (attestation, signature) = tpm.quote(answered);
    let quote = Quote {
        attestation: &attestation,
        signature: &signature,
    };
    asked
        .verify(&key, &quote)
        .map_err(|error| error.to_string())
}

#[test]
fn a_quote_says_how_often_the_tpm_was_reset() {
    let tpm = SoftwareTpm::new(Behaviour::default());
    let request = QuoteRequest::new(&SystemRng);
    let quoted = quoted(&tpm, &request, &request).unwrap();
    assert_eq!(quoted.clock.reset_count, 2);
    assert_eq!(quoted.clock.restart_count, 1);
    assert_eq!(quoted.pcr_digest, [0; 32]);
}

#[test]
fn a_device_whose_clock_is_malformed_is_refused_g12() {
    let tpm = SoftwareTpm::new(Behaviour::default());
    let key = verify(&tpm.parts()).unwrap().attestation_key;
    let request = QuoteRequest::new(&SystemRng);
    let (mut attestation, _) = tpm.quote(&request);
    // Magic, kind, signer, nonce, clock, two counters, `safe`.
    let safe = 4 + 2 + 2 + 34 + 2 + request.nonce.len() + 8 + 4 + 4;
    assert_eq!(attestation[safe], 1);
    attestation[safe] = 0x33;
    let signature = tpm.sign(&attestation);
    let quote = Quote {
        attestation: &attestation,
        signature: &signature,
    };
    let refused = request.verify(&key, &quote).unwrap_err().to_string();
    assert!(refused.contains("malformed"), "{refused}");
}

#[test]
fn b17_a_quote_over_another_nonce_is_refused() {
    let tpm = SoftwareTpm::new(Behaviour::default());
    let (old, new) = (QuoteRequest::new(&SystemRng), QuoteRequest::new(&SystemRng));
    assert_ne!(old.nonce, new.nonce);
    assert!(quoted(&tpm, &old, &new).unwrap_err().contains("nonce"));
    let empty = QuoteRequest {
        nonce: vec![],
        ..old
    };
    assert!(quoted(&tpm, &empty, &empty).unwrap_err().contains("nonce"));
}

#[test]
fn b17_a_required_quote_cannot_be_left_out_or_be_wrong() {
    let tpm = SoftwareTpm::new(Behaviour::default());
    let registered = verify(&tpm.parts()).unwrap();
    let (credential, secret) = registered.challenge(&SystemRng).unwrap();
    let recovered = tpm.activate(&credential).unwrap();
    let request = QuoteRequest::new(&SystemRng);
    let check = |secret_answer: &[u8], quote: Option<&(Vec<u8>, Vec<u8>)>, quoting| {
        let expected = Expected {
            secret: &secret,
            quote: &request,
            quoting,
        };
        let answer = ChallengeResponse {
            secret: secret_answer,
            quote: quote.map(|(attestation, signature)| Quote {
                attestation,
                signature,
            }),
        };
        answer
            .verify(&expected, &registered.attestation_key)
            .map(|quoted| quoted.is_some())
    };
    let (right, wrong) = (
        tpm.quote(&request),
        tpm.quote(&QuoteRequest::new(&SystemRng)),
    );
    assert_eq!(check(&recovered, None, Quoting::Optional), Ok(false));
    for quoting in [Quoting::Optional, Quoting::Required] {
        assert_eq!(check(&recovered, Some(&right), quoting), Ok(true));
        assert!(check(&recovered, Some(&wrong), quoting).is_err());
        assert_eq!(
            check(&[0; 32], Some(&right), quoting),
            Err(Refusal::Activation)
        );
    }
    assert_eq!(
        check(&recovered, None, Quoting::Required),
        Err(Refusal::QuoteMissing)
    );
}

#[rstest]
#[case::none(&[])]
#[case::fewer(&[0, 1, 2, 3, 4, 5, 6])]
#[case::more(&[0, 1, 2, 3, 4, 5, 6, 7, 8])]
#[case::others(&[16, 17, 18, 19, 20, 21, 22, 23])]
fn b17_a_quote_over_other_pcrs_is_refused(#[case] pcrs: &[u8]) {
    let tpm = SoftwareTpm::new(Behaviour::default());
    let asked = QuoteRequest::new(&SeededRng::new(1));
    let answered = QuoteRequest {
        pcrs: pcrs.to_vec(),
        ..asked.clone()
    };
    assert!(
        quoted(&tpm, &answered, &asked)
            .unwrap_err()
            .contains("PCRs")
    );
    // SHA-1.
    let other_bank = QuoteRequest {
        hash_algorithm: 4,
        ..asked.clone()
    };
    assert!(
        quoted(&tpm, &other_bank, &asked)
            .unwrap_err()
            .contains("PCRs")
    );
}

#[test]
fn a_quote_by_another_key_is_refused() {
    let tpm = SoftwareTpm::new(Behaviour::default());
    let key = verify(&tpm.parts()).unwrap().attestation_key;
    let request = QuoteRequest::new(&SystemRng);
    let (attestation, signature) = tpm.with_another_key(Behaviour::default()).quote(&request);
    let quote = Quote {
        attestation: &attestation,
        signature: &signature,
    };
    assert_eq!(request.verify(&key, &quote), Err(Refusal::Signature));
    // A creation attestation with a valid signature is not accepted as a quote.
    let parts = tpm.parts();
    let quote = Quote {
        attestation: &parts.create_attestation,
        signature: &parts.create_signature,
    };
    let refused = request.verify(&key, &quote).unwrap_err().to_string();
    assert!(refused.contains("not a quote"), "{refused}");
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

#[test]
fn authorities_are_certificates_in_pem() {
    let (first, second) = (Maker::new().pem(), Maker::new().pem());
    let both = format!("{first}\n{second}");
    assert!(Authorities::from_pem(&[both, first.clone()], true).is_ok());
    let broken = first.replace("MII", "AAA");
    for wrong in ["", "certificate", &broken] {
        let texts = [first.clone(), wrong.to_owned()];
        let result = Authorities::from_pem(&texts, false);
        assert_eq!(result, Err(Refusal::Authority(1)));
    }
    let maker = Maker::new();
    let certified = SoftwareTpm::new(Behaviour::default()).certified_parts(&maker, None);
    let texts = [first, pem(&certified.endorsement)];
    let result = Authorities::from_pem(&texts, false);
    assert_eq!(result, Err(Refusal::NoAuthority(1)));
    let result = Authorities::from_pem(&[], true);
    assert_eq!(result, Err(Refusal::NoAuthorities));
}
