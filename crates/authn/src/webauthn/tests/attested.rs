//! Attestations of test authorities. Each has exactly one defect.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

use super::*;
use crate::x509::{ChainError, verify_chain};

/// A certificate authority for tests.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: Vec<u8>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params("Authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = params.self_signed(&key).unwrap().der().to_vec();
        Self {
            issuer: Issuer::new(params, key),
            root,
        }
    }

    fn certify(&self, params: &CertificateParams, key: &impl rcgen::PublicKeyData) -> Vec<u8> {
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        certificate.der().to_vec()
    }
}

type Change<'a> = &'a dyn Fn(&mut CertificateParams);

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in [
        (DnType::CountryName, "AA"),
        (DnType::OrganizationName, "Maker"),
        (DnType::OrganizationalUnitName, "Authenticator Attestation"),
        (DnType::CommonName, name),
    ] {
        params.distinguished_name.push(kind, value);
    }
    params.use_authority_key_identifier_extension = false;
    params
}

fn extension(oid: &[u64], content: &[u8]) -> CustomExtension {
    CustomExtension::from_oid_content(oid, content.to_vec())
}

fn model(aaguid: [u8; 16]) -> CustomExtension {
    let content = [&[0x04, 16], aaguid.as_slice()].concat();
    extension(&[1, 3, 6, 1, 4, 1, 45724, 1, 1, 4], &content)
}

/// A signing key that rcgen can certify.
struct Attester {
    pair: KeyPair,
    signing: EcdsaKeyPair,
}

impl Attester {
    fn new() -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let signing =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pair.serialize_der())
                .unwrap();
        Self { pair, signing }
    }

    fn sign(&self, message: &[u8]) -> Value {
        let signature = self.signing.sign(&SystemRandom::new(), message).unwrap();
        signature.as_ref().into()
    }
}

/// Returns the public key of the credential in the type that rcgen certifies.
fn credential(authenticator: &Authenticator) -> rcgen::SubjectPublicKeyInfo {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    let der: PublicKeyX509Der<'_> = authenticator.key.public_key().as_der().unwrap();
    rcgen::SubjectPublicKeyInfo::from_der(der.as_ref()).unwrap()
}

fn signed(registering: &Registering) -> Vec<u8> {
    let hash = digest(&SHA256, registering.client_data.as_bytes());
    [registering.data.as_slice(), hash.as_ref()].concat()
}

fn statement(entries: Vec<(&str, Value)>) -> Value {
    let entries = entries.into_iter();
    Value::Map(entries.map(|(name, value)| (name.into(), value)).collect())
}

fn chain_of(certificate: Vec<u8>) -> Value {
    Value::Array(vec![Value::Bytes(certificate)])
}

fn check(registering: &Registering) -> std::result::Result<Vec<Vec<u8>>, Refusal> {
    match registering.check(&expecting())?.attestation.statement {
        Statement::Certified(chain) => Ok(chain),
        other => panic!("{other:?}"),
    }
}

fn packed(params: &CertificateParams) -> (Authority, Registering) {
    let (authority, attester) = (Authority::new(), Attester::new());
    let mut registering = Authenticator::new().register();
    registering.statement = statement(vec![
        ("alg", (-7).into()),
        ("sig", attester.sign(&signed(&registering))),
        ("x5c", chain_of(authority.certify(params, &attester.pair))),
    ]);
    (authority, registering)
}

#[test]
fn a_packed_attestation_leads_to_its_authority() {
    let mut params = params("Key 5");
    params.custom_extensions = vec![model([9; 16])];
    let (authority, registering) = packed(&params);
    let chain = check(&registering).unwrap();
    assert_eq!(verify_chain(&chain, &[authority.root], NOW), Ok(()));
    // The attestation certificate itself can be an anchor, but no other authority.
    assert_eq!(verify_chain(&chain, &chain, NOW), Ok(()));
    let other = Authority::new().root;
    assert_eq!(
        verify_chain(&chain, &[other], NOW),
        Err(ChainError::Untrusted)
    );
}

#[test]
fn b14_a_certificate_is_for_attestation_and_for_this_model() {
    let refuse = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = params("Key 5");
        change(&mut params);
        check(&packed(&params).1).unwrap_err()
    };
    let cases: [(&str, Change<'_>); 5] = [
        ("for another model", &|params| {
            params.custom_extensions = vec![model([8; 16])];
        }),
        ("a CA certificate", &|params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }),
        ("not for attestation", &|params| {
            params
                .distinguished_name
                .push(DnType::OrganizationalUnitName, "Web");
        }),
        ("not for attestation", &|params| {
            params.distinguished_name.remove(DnType::CommonName);
        }),
        ("not for attestation", &|params| {
            params
                .distinguished_name
                .push(DnType::CountryName, "Nowhere");
        }),
    ];
    for (expected, change) in cases {
        let refused = refuse(change).to_string();
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
    let twice = refuse(&|params| {
        params.custom_extensions = vec![model([9; 16]), model([9; 16])];
    });
    assert!(matches!(
        twice,
        Refusal::Attestation(_) | Refusal::Malformed(_)
    ));
}

#[test]
fn b14_chains_are_of_their_time_and_of_authorities() {
    let mut short = params("Key 5");
    short.not_before = rcgen::date_time_ymd(2020, 1, 1);
    short.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let (authority, registering) = packed(&short);
    let chain = check(&registering).unwrap();
    let expired = verify_chain(&chain, &[authority.root], NOW);
    assert_eq!(expired, Err(ChainError::Time));

    let mut critical = params("Key 5");
    let mut unknown = extension(&[1, 2, 3, 4], &[5, 0]);
    unknown.set_criticality(true);
    critical.custom_extensions = vec![unknown];
    let (authority, registering) = packed(&critical);
    let chain = check(&registering).unwrap();
    let refused = verify_chain(&chain, &[authority.root], NOW);
    assert_eq!(refused, Err(ChainError::Critical));

    // A leaf certificate acts as a CA.
    let authority = Authority::new();
    let (middle, leaf) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut params_of_middle = params("Middle");
    let middle_certificate = authority.certify(&params_of_middle, &middle);
    params_of_middle.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let under_middle = Issuer::new(params_of_middle.clone(), &middle);
    let leaf_certificate = params("Leaf").signed_by(&leaf, &under_middle).unwrap();
    let leaf_certificate = leaf_certificate.der().to_vec();
    let chain = [leaf_certificate.clone(), middle_certificate];
    let refused = verify_chain(&chain, std::slice::from_ref(&authority.root), NOW);
    assert_eq!(refused, Err(ChainError::NotAnAuthority));
    // The path length of the root allows no intermediate certificate.
    let middle_certificate = authority.certify(&params_of_middle, &middle);
    let chain = [leaf_certificate.clone(), middle_certificate];
    let refused = verify_chain(&chain, &[authority.root], NOW);
    assert_eq!(refused, Err(ChainError::Untrusted));
    // A signature does not match the next certificate.
    let imposter = KeyPair::generate().unwrap();
    let imposter = params_of_middle
        .self_signed(&imposter)
        .unwrap()
        .der()
        .to_vec();
    let refused = verify_chain(&[leaf_certificate, imposter.clone()], &[imposter], NOW);
    assert_eq!(refused, Err(ChainError::Signature));
    assert_eq!(verify_chain(&[], &[], NOW), Err(ChainError::Length));
}

/// Returns the value of Apple's extension.
fn nonce(nonce: &[u8]) -> Vec<u8> {
    [&[0x30, 36, 0xa1, 34, 0x04, 32], nonce].concat()
}

#[test]
fn apple_certifies_the_key_for_one_registration() {
    let authority = Authority::new();
    let authenticator = Authenticator::new();
    let certified = |nonce_of: &[u8], key: &Authenticator| {
        let mut registering = authenticator.register();
        let mut params = params("credential");
        let oid = [1, 2, 840, 113_635, 100, 8, 2];
        params.custom_extensions =
            vec![extension(&oid, &nonce(digest(&SHA256, nonce_of).as_ref()))];
        registering.format = "apple";
        let certificate = authority.certify(&params, &credential(key));
        registering.statement = statement(vec![("x5c", chain_of(certificate))]);
        registering
    };
    let this = signed(&authenticator.register());
    let chain = check(&certified(&this, &authenticator)).unwrap();
    assert_eq!(
        verify_chain(&chain, std::slice::from_ref(&authority.root), NOW),
        Ok(())
    );
    let refused = check(&certified(b"another", &authenticator)).unwrap_err();
    assert!(refused.to_string().contains("another registration"));
    let refused = check(&certified(&this, &Authenticator::new())).unwrap_err();
    assert!(refused.to_string().contains("has another key"));
}

/// Returns a `KeyDescription`.
fn description(
    levels: [u8; 2],
    challenge: &[u8],
    by_software: &[u8],
    by_hardware: &[u8],
) -> Vec<u8> {
    let tagged = |tag: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).unwrap();
        [&[tag, length], content].concat()
    };
    let content = [
        vec![0x02, 1, 4, 0x0a, 1, levels[0]],
        vec![0x02, 1, 4, 0x0a, 1, levels[1]],
        tagged(0x04, challenge),
        vec![0x04, 0],
        tagged(0x30, by_software),
        tagged(0x30, by_hardware),
    ]
    .concat();
    tagged(0x30, &content)
}

#[test]
fn b14_a_key_of_android_was_made_there_for_signing() {
    // [1] SET { INTEGER }, [600] NULL, [702] INTEGER
    let purpose = |purpose: u8| vec![0xa1, 5, 0x31, 3, 0x02, 1, purpose];
    let all = vec![0xbf, 0x84, 0x58, 2, 0x05, 0];
    let origin = |origin: u8| vec![0xbf, 0x85, 0x3e, 3, 0x02, 1, origin];
    let authority = Authority::new();
    let authenticator = Authenticator::new();
    let at = |levels, challenge: Option<&[u8]>, by_software: &[u8], by_hardware: &[u8]| {
        let mut registering = authenticator.register();
        let hash = digest(&SHA256, registering.client_data.as_bytes());
        let mut params = params("key");
        let oid = [1, 3, 6, 1, 4, 1, 11129, 2, 1, 17];
        let challenge = challenge.unwrap_or(hash.as_ref());
        let value = description(levels, challenge, by_software, by_hardware);
        params.custom_extensions = vec![extension(&oid, &value)];
        registering.format = "android-key";
        let certificate = authority.certify(&params, &credential(&authenticator));
        let signature = authenticator.sign(&signed(&registering));
        registering.statement = statement(vec![
            ("alg", (-7).into()),
            ("sig", signature.as_slice().into()),
            ("x5c", chain_of(certificate)),
        ]);
        let registered = registering.check(&expecting())?;
        Ok::<_, Refusal>(registered.attestation.statement)
    };
    let certified = |challenge: Option<&[u8]>, by_software: &[u8], by_hardware: &[u8]| {
        at([1, 1], challenge, by_software, by_hardware)
    };
    let good = [purpose(2), origin(0)].concat();
    // A software key store does not prove the hardware of a model (S10).
    for (levels, is_hardware) in [
        ([1, 2], true),
        ([0, 1], false),
        ([1, 0], false),
        ([0, 0], false),
    ] {
        let statement = at(levels, None, &[], &good).unwrap();
        assert_eq!(statement != Statement::OwnKey, is_hardware, "{levels:?}");
    }
    assert!(certified(None, &[], &good).is_ok());
    assert!(certified(None, &good, &[]).is_ok());
    for (challenge, by_software, by_hardware, expected) in [
        (
            Some(&[1; 32][..]),
            vec![],
            good.clone(),
            "another registration",
        ),
        (None, all, good.clone(), "all applications"),
        (
            None,
            vec![],
            [purpose(2), origin(2)].concat(),
            "not created in the key store",
        ),
        (
            None,
            origin(2),
            good.clone(),
            "not created in the key store",
        ),
        (
            None,
            vec![],
            [purpose(3), origin(0)].concat(),
            "not only for signing",
        ),
        (None, vec![0x31], good, "not described"),
    ] {
        let refused = certified(challenge, &by_software, &by_hardware);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
}

struct Tpm {
    /// Magic number of `certInfo`.
    magic: u32,
    extra_data: Option<Vec<u8>>,
    /// Public area that the certified name is derived from, if not the key of the credential.
    name_of: Option<Vec<u8>>,
    /// `clockInfo.safe`.
    safe: u8,
    /// Extended key usage of the certificate.
    usage: &'static [u64],
    has_names: bool,
    has_subject: bool,
}

impl Default for Tpm {
    fn default() -> Self {
        Self {
            magic: 0xff54_4347,
            extra_data: None,
            name_of: None,
            safe: 0,
            usage: &[2, 23, 133, 8, 3],
            has_names: true,
            has_subject: false,
        }
    }
}

impl Tpm {
    fn attest(&self) -> (Authority, Registering) {
        let (authority, attester) = (Authority::new(), Attester::new());
        let authenticator = Authenticator::new();
        let mut registering = authenticator.register();
        let point = authenticator.key.public_key().as_ref();
        let sized = |bytes: &[u8]| {
            let length = u16::try_from(bytes.len()).unwrap();
            [&length.to_be_bytes(), bytes].concat()
        };
        let area = [
            // ECC, name algorithm SHA-256, attributes, no policy, no symmetric algorithm, ECDSA with SHA-256, P-256, no
            // KDF.
            vec![0, 0x23, 0, 0x0b, 0, 4, 0, 0x72, 0, 0],
            vec![0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10],
            sized(&point[1..33]),
            sized(&point[33..]),
        ]
        .concat();
        let hash = digest(&SHA256, &signed(&registering));
        let named = digest(&SHA256, self.name_of.as_ref().unwrap_or(&area));
        let info = [
            self.magic.to_be_bytes().to_vec(),
            vec![0x80, 0x17],
            sized(b"signer"),
            sized(self.extra_data.as_deref().unwrap_or(hash.as_ref())),
            vec![0; 16],
            vec![self.safe],
            vec![0; 8],
            sized(&[&[0, 0x0b], named.as_ref()].concat()),
            sized(b"qualified"),
        ]
        .concat();
        let mut params = params("TPM");
        if !self.has_subject {
            params.distinguished_name = DistinguishedName::new();
        }
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::Other(self.usage.into())];
        if self.has_names {
            params.custom_extensions = vec![extension(&[2, 5, 29, 17], &hardware())];
        }
        registering.format = "tpm";
        registering.statement = statement(vec![
            ("ver", "2.0".into()),
            ("alg", (-7).into()),
            ("sig", attester.sign(&info)),
            ("x5c", chain_of(authority.certify(&params, &attester.pair))),
            ("certInfo", info.into()),
            ("pubArea", area.into()),
        ]);
        (authority, registering)
    }
}

/// Returns a `SubjectAltName` with a directory name of manufacturer, model and version.
fn hardware() -> Vec<u8> {
    let names: Vec<u8> = (1..=3)
        .flat_map(|last| {
            let oid = [0x06, 5, 0x67, 0x81, 0x05, 2, last];
            [&[0x31, 15, 0x30, 13], &oid[..], &[0x0c, 4], b"id:0"].concat()
        })
        .collect();
    [&[0x30, 55, 0xa4, 53, 0x30, 51], names.as_slice()].concat()
}

#[test]
fn a_tpm_certifies_the_key() {
    let (authority, registering) = Tpm::default().attest();
    let chain = check(&registering).unwrap();
    assert_eq!(verify_chain(&chain, &[authority.root], NOW), Ok(()));
}

#[test]
fn the_clock_of_a_tpm_is_ignored_g12() {
    // The vector `tpm-es256` of the standard has this value.
    let tpm = Tpm {
        safe: 0x33,
        ..Tpm::default()
    };
    let (authority, registering) = tpm.attest();
    let chain = check(&registering).unwrap();
    assert_eq!(verify_chain(&chain, &[authority.root], NOW), Ok(()));
}

#[test]
fn b17_keys_that_a_tpm_did_not_certify_are_refused() {
    for (tpm, expected) in [
        (
            Tpm {
                magic: 0xff54_4348,
                ..Tpm::default()
            },
            "certifies nothing",
        ),
        (
            Tpm {
                extra_data: Some(vec![7; 32]),
                ..Tpm::default()
            },
            "another registration",
        ),
        (
            Tpm {
                name_of: Some(b"another".to_vec()),
                ..Tpm::default()
            },
            "certifies another key",
        ),
        (
            Tpm {
                usage: &[1, 3, 6, 1, 5, 5, 7, 3, 2],
                ..Tpm::default()
            },
            "not for attestation keys",
        ),
        (
            Tpm {
                has_names: false,
                ..Tpm::default()
            },
            "names no TPM",
        ),
        (
            Tpm {
                has_subject: true,
                ..Tpm::default()
            },
            "has a subject",
        ),
    ] {
        let refused = check(&tpm.attest().1).unwrap_err().to_string();
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
    let (_, good) = Tpm::default().attest();
    let (_, mut other) = Tpm::default().attest();
    other.statement = good.statement;
    let refused = check(&other).unwrap_err().to_string();
    assert!(
        refused.contains("not the key of the credential"),
        "{refused}"
    );
}
