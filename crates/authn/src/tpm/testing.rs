//! A software TPM for tests, with configurable faults.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "only for tests"
)]

use aws_lc_rs::{
    cipher::{AES_128, DecryptingKey, DecryptionContext, UnboundCipherKey},
    digest,
    encoding::{AsDer as _, PublicKeyX509Der},
    hmac,
    iv::FixedLength,
    rand::SystemRandom,
    rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SubjectPublicKeyInfo,
};

use super::{
    AttestationParameters, EncryptedCredential, Presented, QuoteRequest, Registration, structures,
};

/// `fixedTPM`, `fixedParent`, `sensitiveDataOrigin`, `userWithAuth`, `restricted`, `sign`.
pub const ATTRIBUTES: u32 = 0x0005_0072;
/// `TPM_RH_OWNER`.
pub const OWNER: u32 = 0x4000_0001;
/// `TPM_GENERATED_VALUE`.
pub const GENERATED: u32 = 0xff54_4347;

/// Properties of the attestation key and of the attestations.
#[derive(Debug, Clone, Copy)]
pub struct Behaviour {
    /// `TPMA_OBJECT` of the attestation key.
    pub attributes: u32,
    /// Hierarchy that is the parent of the key.
    pub hierarchy: u32,
    /// Magic number of attestations.
    pub magic: u32,
}

/// Parts of a [`Registration`].
#[derive(Debug, Clone)]
pub struct Parts {
    /// Opaque key data.
    pub ak_bytes: Vec<u8>,
    /// `TPMT_PUBLIC`.
    pub public: Vec<u8>,
    /// `TPMS_CREATION_DATA`.
    pub create_data: Vec<u8>,
    /// `TPMS_ATTEST`.
    pub create_attestation: Vec<u8>,
    /// `TPMT_SIGNATURE`.
    pub create_signature: Vec<u8>,
    /// Endorsement key in PKIX, or its certificate.
    pub endorsement: Vec<u8>,
    /// True if `endorsement` is a certificate.
    pub is_certified: bool,
}

/// A TPM with a P-256 attestation key and an RSA endorsement key.
#[derive(Debug)]
pub struct SoftwareTpm {
    behaviour: Behaviour,
    attestation: EcdsaKeyPair,
    endorsement: PrivateDecryptingKey,
}

/// An authority that certifies endorsement keys.
pub struct Maker(CertifiedIssuer<'static, KeyPair>);

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            attributes: ATTRIBUTES,
            hierarchy: OWNER,
            magic: GENERATED,
        }
    }
}

impl Parts {
    /// Returns the parts as a [`Registration`].
    pub fn registration(&self) -> Registration<'_> {
        Registration {
            ak_bytes: &self.ak_bytes,
            attestation: AttestationParameters {
                public: &self.public,
                create_data: &self.create_data,
                create_attestation: &self.create_attestation,
                create_signature: &self.create_signature,
            },
            endorsement: if self.is_certified {
                Presented::Certificate(&self.endorsement)
            } else {
                Presented::PublicKey(&self.endorsement)
            },
        }
    }
}

impl SoftwareTpm {
    /// Creates a TPM with new keys.
    pub fn new(behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            attestation: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            endorsement: PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap(),
        }
    }

    /// Creates a new attestation key in this TPM.
    #[must_use]
    pub fn with_another_key(&self, behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            attestation: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            endorsement: self.endorsement.clone(),
        }
    }

    /// Returns the endorsement key in PKIX.
    pub fn endorsement_key(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = self.endorsement.public_key().as_der().unwrap();
        der.as_ref().to_vec()
    }

    /// Returns a registration without a certificate.
    pub fn parts(&self) -> Parts {
        let create_data = self.create_data();
        let hash = digest::digest(&digest::SHA256, &create_data);
        let certified = [sized(&self.name()), sized(hash.as_ref())].concat();
        let create_attestation = self.attest(0x801a, &[], &certified);
        Parts {
            ak_bytes: b"opaque".to_vec(),
            public: self.public(),
            create_signature: self.sign(&create_attestation),
            create_data,
            create_attestation,
            endorsement: self.endorsement_key(),
            is_certified: false,
        }
    }

    /// Returns a registration with a certificate of `maker`.
    pub fn certified_parts(&self, maker: &Maker, usage: Option<&[u64]>) -> Parts {
        Parts {
            endorsement: maker.certify(&self.endorsement_key(), usage),
            is_certified: true,
            ..self.parts()
        }
    }

    /// Runs `TPM2_ActivateCredential`.
    pub fn activate(&self, credential: &EncryptedCredential) -> Option<Vec<u8>> {
        let key = OaepPrivateDecryptingKey::new(self.endorsement.clone()).ok()?;
        let mut output = vec![0; key.min_output_size()];
        let label = Some(b"IDENTITY\0".as_slice());
        let seed = key
            .decrypt(
                &OAEP_SHA256_MGF1SHA256,
                credential.secret.get(2..)?,
                &mut output,
                label,
            )
            .ok()?;
        let (_, object) = credential.credential.split_at_checked(2)?;
        let (integrity, identity) = object.get(2..)?.split_at_checked(32)?;
        let derive = |label: &[u8], context: &[u8], bits: u32| {
            let message = [&[0, 0, 0, 1], label, &[0], context, &bits.to_be_bytes()].concat();
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, seed), &message)
        };
        let key = derive(b"INTEGRITY", &[], 256);
        let message = [identity, &self.name()].concat();
        hmac::verify(
            &hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()),
            &message,
            integrity,
        )
        .ok()?;
        let key = derive(b"STORAGE", &self.name(), 128);
        let key = UnboundCipherKey::new(&AES_128, key.as_ref().get(..16)?).ok()?;
        let mut identity = identity.to_vec();
        DecryptingKey::cfb128(key)
            .ok()?
            .decrypt(
                &mut identity,
                DecryptionContext::Iv128(FixedLength::from([0; 16])),
            )
            .ok()?;
        Some(identity.get(2..)?.to_vec())
    }

    /// Runs `TPM2_Quote` and returns the attestation and the signature.
    pub fn quote(&self, request: &QuoteRequest) -> (Vec<u8>, Vec<u8>) {
        let mut bitmap = [0_u8; 3];
        for pcr in &request.pcrs {
            *bitmap.get_mut(usize::from(pcr / 8)).unwrap() |= 1 << (pcr % 8);
        }
        let quoted = [
            &[0, 0, 0, 1],
            request.hash_algorithm.to_be_bytes().as_slice(),
            &[3],
            &bitmap,
            &sized(&[0; 32]),
        ]
        .concat();
        let attestation = self.attest(0x8018, &request.nonce, &quoted);
        let signature = self.sign(&attestation);
        (attestation, signature)
    }

    fn public(&self) -> Vec<u8> {
        let point = self.attestation.public_key().as_ref();
        let (x, y) = point.get(1..).unwrap().split_at(32);
        [
            &[0x00, 0x23, 0x00, 0x0b],
            self.behaviour.attributes.to_be_bytes().as_slice(),
            // No policy, no symmetric algorithm, ECDSA with SHA-256, P-256, no KDF.
            &[0, 0, 0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10],
            &sized(x),
            &sized(y),
        ]
        .concat()
    }

    fn name(&self) -> Vec<u8> {
        structures::name(structures::SHA256, &[&self.public()]).unwrap()
    }

    fn parent(&self) -> (Vec<u8>, Vec<u8>) {
        let name = structures::name(structures::SHA256, &[b"storage root key"]).unwrap();
        let hierarchy = self.behaviour.hierarchy.to_be_bytes();
        let qualified = structures::name(structures::SHA256, &[&hierarchy, &name]).unwrap();
        (name, qualified)
    }

    fn create_data(&self) -> Vec<u8> {
        let (name, qualified) = self.parent();
        [
            &[0, 0, 0, 0, 0, 0, 1, 0, 0x0b],
            sized(&name).as_slice(),
            &sized(&qualified),
            &[0, 0],
        ]
        .concat()
    }

    /// Returns a `TPMS_ATTEST`.
    pub fn attest(&self, kind: u16, extra_data: &[u8], attested: &[u8]) -> Vec<u8> {
        let (_, parent) = self.parent();
        let qualified = structures::name(structures::SHA256, &[&parent, &self.name()]).unwrap();
        [
            self.behaviour.magic.to_be_bytes().as_slice(),
            &kind.to_be_bytes(),
            &sized(&qualified),
            &sized(extra_data),
            &[0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 1, 1],
            &[0; 8],
            attested,
        ]
        .concat()
    }

    /// Returns a `TPMT_SIGNATURE`.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self
            .attestation
            .sign(&SystemRandom::new(), message)
            .unwrap();
        let (r, s) = signature.as_ref().split_at(32);
        [[0, 0x18, 0, 0x0b].as_slice(), &sized(r), &sized(s)].concat()
    }
}

impl Maker {
    /// Creates a self-signed authority.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Returns the certificate of the authority in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certifies a PKIX key, with the extended key usage `usage` if given.
    pub fn certify(&self, key: &[u8], usage: Option<&[u64]>) -> Vec<u8> {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.extended_key_usages = usage
            .map(|oid| ExtendedKeyUsagePurpose::Other(oid.to_vec()))
            .into_iter()
            .collect();
        let mut names = CustomExtension::from_oid_content(&[2, 5, 29, 17], alternative_name());
        names.set_criticality(true);
        params.custom_extensions = vec![names];
        let key = SubjectPublicKeyInfo::from_der(key).unwrap();
        params.signed_by(&key, &self.0).unwrap().der().to_vec()
    }
}

impl Default for Maker {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns a `SubjectAltName` with a directory name of manufacturer, model and version.
fn alternative_name() -> Vec<u8> {
    let der = |tag: u8, contents: &[u8]| {
        [&[tag, u8::try_from(contents.len()).unwrap()], contents].concat()
    };
    let attribute = |last: u8, value: &str| {
        let oid = der(6, &[0x67, 0x81, 0x05, 0x02, last]);
        der(
            0x31,
            &der(0x30, &[oid, der(0x0c, value.as_bytes())].concat()),
        )
    };
    let name = [
        attribute(1, "id:54455354"),
        attribute(2, "Software"),
        attribute(3, "id:00010002"),
    ];
    der(0x30, &der(0xa4, &der(0x30, &name.concat())))
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes(), bytes].concat()
}
