//! Verification of attestations against the metadata of the model.

use domain::clock::UnixMillis;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{AuthenticatorStatus, Entry, Metadata};
use crate::{
    webauthn::{AttestedModel, Registered, Statement},
    x509::{self, ChainError},
};

/// Root certificate `GlobalSign` R3, taken from Mozilla's collection. It anchors the signer of the FIDO Alliance's
/// metadata. SHA-256: `CBB522D7B7F127AD6A0113865BDF1CD4102E7D0759AF635A7CF4720DC963C53B`.
const PUBLISHED_UNDER: &[u8] = include_bytes!("data/globalsign-root-r3.pem");

/// Reasons why the attestation of a known model is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttestationRejection {
    /// The model is compromised.
    #[error("the metadata say that the model is not to be relied upon")]
    Compromised,
    /// The certificate chain does not lead to a trust anchor of the model.
    #[error("its certificates are not those of its model: {0}")]
    Chain(#[from] ChainError),
}

/// Returns the trust anchors of the FIDO Alliance's metadata, in DER.
pub fn default_anchors() -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(PUBLISHED_UNDER)
        .filter_map(Result::ok)
        .map(|certificate| certificate.to_vec())
        .collect()
}

impl Metadata {
    /// Returns the model that the attestation of a registration proves, or `None` if it proves no known model.
    ///
    /// # Errors
    /// Returns [`AttestationRejection::Compromised`] if the model is compromised, and
    /// [`AttestationRejection::Chain`] if the certificates are not those of the claimed model.
    pub fn attest(
        &self,
        registered: &Registered,
        now: UnixMillis,
    ) -> Result<Option<&Entry>, AttestationRejection> {
        let Statement::Certified(chain) = &registered.attestation.statement else {
            return Ok(None);
        };
        let entry = match registered.attested_model() {
            AttestedModel::None => None,
            AttestedModel::Aaguid(aaguid) => self.model(aaguid),
            AttestedModel::KeyIdentifier(key) => self.model_of_key(&key, now),
        };
        let Some(entry) = entry else {
            return Ok(None);
        };
        if entry.authenticator_status(now) == AuthenticatorStatus::Compromised {
            return Err(AttestationRejection::Compromised);
        }
        x509::verify_chain(chain, &entry.anchors, now)?;
        Ok(Some(entry))
    }
}

impl Entry {
    /// Returns true if keys are in dedicated hardware: a secure element or a trusted execution environment.
    pub fn is_hardware(&self) -> bool {
        self.protects("hardware") && (self.protects("secure_element") || self.protects("tee"))
    }

    /// Returns true if software keeps the keys.
    pub fn is_software(&self) -> bool {
        self.protects("software")
    }

    fn protects(&self, by: &str) -> bool {
        self.key_protection
            .iter()
            .any(|protection| protection == by)
    }
}

impl AuthenticatorStatus {
    /// Returns the certification level from 1 to 3, or 0 if the model is not certified.
    pub fn level(self) -> u32 {
        match self {
            Self::Compromised | Self::Uncertified => 0,
            Self::Level1 => 1,
            Self::Level2 => 2,
            Self::Level3 => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
        KeyUsagePurpose, date_time_ymd,
    };
    use rstest::rstest;
    use x509_parser::parse_x509_certificate;

    use super::*;
    use crate::{
        mds::StatusReport,
        webauthn::{Aaguid, Algorithm, Attestation, Flags, Format, PublicKey},
    };

    /// 2026-01-01.
    const NOW: UnixMillis = UnixMillis(1_767_225_600_000);
    const MODEL: Aaguid = Aaguid([7; 16]);

    struct Maker(CertifiedIssuer<'static, KeyPair>);

    impl Maker {
        fn new() -> Self {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "Maker");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
        }

        fn root(&self) -> Vec<u8> {
            self.0.der().to_vec()
        }

        fn certify(&self, until: i32) -> Vec<u8> {
            let mut params = CertificateParams::default();
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(until, 1, 1);
            let key = KeyPair::generate().unwrap();
            params.signed_by(&key, &self.0).unwrap().der().to_vec()
        }
    }

    fn registered(aaguid: Aaguid, statement: Statement) -> Registered {
        // RFC 8032 §7.1, test 1, as a `COSE_Key`.
        let point = [
            0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64,
            0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68,
            0xf7, 0x07, 0x51, 0x1a,
        ];
        let mut key = vec![0xa4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 0x20];
        key.extend(point);
        let public_key = PublicKey::parse(&key).unwrap();
        assert_eq!(public_key.algorithm(), Algorithm::EdDsa);
        Registered {
            credential_id: vec![1],
            public_key,
            encoded_key: key,
            aaguid,
            flags: Flags {
                user_present: true,
                user_verified: true,
                backup_eligible: false,
                backup_state: false,
            },
            sign_count: 0,
            attestation: Attestation {
                format: Format::Packed,
                statement,
            },
        }
    }

    fn metadata(anchors: Vec<Vec<u8>>, statuses: &[&str]) -> Metadata {
        let statuses = statuses.iter().map(|name| StatusReport {
            name: (*name).to_owned(),
            since: None,
        });
        Metadata {
            number: 1,
            next_update: NOW,
            entries: vec![Entry {
                aaguid: Some(MODEL),
                key_identifiers: Vec::new(),
                description: "Key".to_owned(),
                anchors,
                key_protection: vec!["hardware".to_owned(), "secure_element".to_owned()],
                statuses: statuses.collect(),
            }],
        }
    }

    #[test]
    fn b14_only_certificates_of_the_manufacturer_prove_a_model() {
        let (maker, other) = (Maker::new(), Maker::new());
        let metadata = metadata(vec![maker.root()], &["FIDO_CERTIFIED_L2"]);
        let attest = |statement| metadata.attest(&registered(MODEL, statement), NOW);
        let genuine = attest(Statement::Certified(vec![maker.certify(2030)]));
        let entry = genuine.unwrap().unwrap();
        assert!(entry.is_hardware() && !entry.is_software());
        assert_eq!(entry.authenticator_status(NOW).level(), 2);
        // No attestation and self attestation prove no model.
        assert_eq!(attest(Statement::None), Ok(None));
        assert_eq!(attest(Statement::OwnKey), Ok(None));
        for forged in [
            vec![other.certify(2030)],
            vec![other.certify(2030), other.root()],
        ] {
            assert!(matches!(
                attest(Statement::Certified(forged)),
                Err(AttestationRejection::Chain(_))
            ));
        }
        let expired = attest(Statement::Certified(vec![maker.certify(2025)]));
        assert_eq!(expired, Err(AttestationRejection::Chain(ChainError::Time)));
    }

    #[test]
    fn an_attestation_certificate_can_be_listed_directly() {
        let maker = Maker::new();
        let leaf = maker.certify(2030);
        let metadata = metadata(vec![leaf.clone()], &[]);
        let attested = metadata.attest(&registered(MODEL, Statement::Certified(vec![leaf])), NOW);
        assert!(attested.unwrap().is_some());
    }

    #[rstest]
    #[case("REVOKED")]
    #[case("ATTESTATION_KEY_COMPROMISE")]
    fn b14_a_model_that_is_compromised_is_refused(#[case] status: &str) {
        let maker = Maker::new();
        let metadata = metadata(vec![maker.root()], &["FIDO_CERTIFIED_L1", status]);
        let statement = Statement::Certified(vec![maker.certify(2030)]);
        let attested = metadata.attest(&registered(MODEL, statement), NOW);
        assert_eq!(attested, Err(AttestationRejection::Compromised));
    }

    #[test]
    fn an_unknown_model_is_not_proved() {
        let maker = Maker::new();
        let metadata = metadata(vec![maker.root()], &[]);
        let statement = Statement::Certified(vec![maker.certify(2030)]);
        for aaguid in [Aaguid([8; 16]), Aaguid::default()] {
            let attested = metadata.attest(&registered(aaguid, statement.clone()), NOW);
            assert_eq!(attested, Ok(None));
        }
    }

    #[test]
    fn u2f_is_known_by_the_key_that_attests_and_not_by_its_aaguid_s10() {
        let maker = Maker::new();
        let leaf = maker.certify(2030);
        // The AAGUID names a better model of the same vendor, and the key identifier the real one.
        let mut metadata = metadata(vec![maker.root()], &["FIDO_CERTIFIED_L2"]);
        let better = metadata.entries[0].clone();
        metadata.entries.push(Entry {
            aaguid: None,
            key_identifiers: vec![x509::key_identifier(&leaf).unwrap()],
            description: "Old key".to_owned(),
            statuses: Vec::new(),
            ..better
        });
        let mut old = registered(MODEL, Statement::Certified(vec![leaf]));
        old.attestation.format = Format::FidoU2f;
        assert_eq!(old.signed_aaguid(), Aaguid::default());
        let attested = metadata.attest(&old, NOW).unwrap().unwrap();
        assert_eq!(attested.description, "Old key");
        assert_eq!(attested.authenticator_status(NOW).level(), 0);
        // An unknown key proves no model, even with a known AAGUID.
        metadata.entries[1].key_identifiers = vec![vec![1; 20]];
        assert_eq!(metadata.attest(&old, NOW), Ok(None));
        // Other formats are not looked up by key identifier.
        let leaf = maker.certify(2030);
        metadata.entries[1].key_identifiers = vec![x509::key_identifier(&leaf).unwrap()];
        let packed = registered(Aaguid::default(), Statement::Certified(vec![leaf]));
        assert_eq!(metadata.attest(&packed, NOW), Ok(None));
    }

    #[test]
    fn the_worst_status_of_several_models_of_a_key_applies_s10() {
        let maker = Maker::new();
        let leaf = maker.certify(2030);
        let mut metadata = metadata(vec![maker.root()], &["FIDO_CERTIFIED_L1"]);
        metadata.entries[0].aaguid = None;
        metadata.entries[0].key_identifiers = vec![x509::key_identifier(&leaf).unwrap()];
        let mut revoked = metadata.entries[0].clone();
        revoked.statuses[0].name = "REVOKED".to_owned();
        metadata.entries.push(revoked);
        let mut key = registered(Aaguid::default(), Statement::Certified(vec![leaf]));
        key.attestation.format = Format::FidoU2f;
        assert_eq!(
            metadata.attest(&key, NOW),
            Err(AttestationRejection::Compromised)
        );
    }

    #[test]
    fn the_anchor_is_a_certificate() {
        let anchors = default_anchors();
        assert_eq!(anchors.len(), 1);
        let (_, anchor) = parse_x509_certificate(&anchors[0]).unwrap();
        assert_eq!(anchor.subject(), anchor.issuer());
    }
}
