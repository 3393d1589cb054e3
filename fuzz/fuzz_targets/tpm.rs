//! Fuzzes TPM registrations and quotes: arbitrary bytes, and genuine ones with replaced parts. Only data that the
//! attestation key signed is accepted, and genuine TPMs can be challenged.
#![no_main]

use std::sync::LazyLock;

use authn::tpm::{
    AttestationKey, AttestationParameters, Authorities, Presented, Quote, QuoteRequest, Registration, Trust,
    challenge,
    testing::{Behaviour, Maker, Parts, SoftwareTpm},
};
use domain::{clock::SystemClock, clock::Clock as _, rng::SystemRng};
use libfuzzer_sys::fuzz_target;

struct Genuine {
    parts: [Parts; 2],
    authorities: Authorities,
    key: AttestationKey,
    request: QuoteRequest,
    quote: (Vec<u8>, Vec<u8>),
}

static GENUINE: LazyLock<Genuine> = LazyLock::new(|| {
    let (tpm, maker) = (SoftwareTpm::new(Behaviour::default()), Maker::new());
    let parts = [tpm.parts(), tpm.certified_parts(&maker, None)];
    let authorities = Authorities::from_pem(&[maker.pem()], false).unwrap();
    let request = QuoteRequest::new(&SystemRng);
    let key = AttestationKey::verify(&parameters(&parts[0])).unwrap();
    Genuine { quote: tpm.quote(&request), parts, authorities, key, request }
});

fn parameters(parts: &Parts) -> AttestationParameters<'_> {
    AttestationParameters {
        public: &parts.public,
        create_data: &parts.create_data,
        create_attestation: &parts.create_attestation,
        create_signature: &parts.create_signature,
    }
}

/// Replaces a part of `genuine` with `bytes`.
fn exchanged(genuine: &[u8], from: usize, length: usize, bytes: &[u8]) -> Vec<u8> {
    let start = from % (genuine.len() + 1);
    let end = (start + length).min(genuine.len());
    [&genuine[..start], bytes, &genuine[end..]].concat()
}

fuzz_target!(|bytes: &[u8]| {
    let _ = Authorities::from_pem(&[String::from_utf8_lossy(bytes).into_owned()], false);
    let [which, part, high, low, length, ref bytes @ ..] = *bytes else { return };
    let now = SystemClock.now();
    let genuine = &*GENUINE;
    let former = &genuine.parts[usize::from(which) % 2];
    let change = |it: &[u8]| exchanged(it, usize::from(high) << 8 | usize::from(low), usize::from(length), bytes);
    let mut parts = former.clone();
    let (mut attestation, mut signature) = genuine.quote.clone();
    match part % 8 {
        0 => parts.ak_bytes = change(&parts.ak_bytes),
        1 => parts.public = change(&parts.public),
        2 => parts.create_data = change(&parts.create_data),
        3 => parts.create_attestation = change(&parts.create_attestation),
        4 => parts.create_signature = change(&parts.create_signature),
        5 => parts.endorsement = change(&parts.endorsement),
        6 => attestation = change(&attestation),
        _ => signature = change(&signature),
    }
    if let Ok(registered) = parts.registration().verify(&genuine.authorities, now) {
        // The registered key signed exactly these parts.
        assert_eq!(
            (&parts.public, &parts.create_data, &parts.create_attestation),
            (&former.public, &former.create_data, &former.create_attestation)
        );
        let key = &registered.endorsement_key;
        assert!(key.trust != Trust::Certified || parts.endorsement == former.endorsement);
        let again = challenge(&key.public_key, registered.attestation_key.name(), &SystemRng);
        // A key that cannot be used for encryption may be rejected only here.
        assert!(again.is_ok() || parts.endorsement != former.endorsement);
    }
    let uncertified = Registration { endorsement: Presented::PublicKey(bytes), ..parts.registration() };
    let _ = uncertified.verify(&genuine.authorities, now);
    let certified = Registration { endorsement: Presented::Certificate(bytes), ..parts.registration() };
    if let Ok(registered) = certified.verify(&genuine.authorities, now) {
        assert_ne!(registered.endorsement_key.trust, Trust::Certified);
    }
    let quote = Quote { attestation: &attestation, signature: &signature };
    if genuine.request.verify(&genuine.key, &quote).is_ok() {
        assert_eq!(attestation, genuine.quote.0);
    }
});
