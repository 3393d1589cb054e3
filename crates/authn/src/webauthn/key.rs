//! Public keys of credentials (RFC 9052 §7, RFC 9053, RFC 8230; ML-DSA: FIPS 204, keys of type AKP).

use aws_lc_rs::{
    digest,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519, ML_DSA_44,
        ML_DSA_65, ML_DSA_87, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
        VerificationAlgorithm,
    },
};
use ciborium::Value;
use x509_parser::{
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
        OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
    },
    public_key::PublicKey as ParsedKey,
    x509::SubjectPublicKeyInfo,
};

use super::{
    cbor,
    error::{Refusal, Result},
};

const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
const LONGEST_EXPONENT: usize = 4;

/// Signature algorithm of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// Ed25519.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ML-DSA-44, pure and without context.
    MlDsa44,
    /// ML-DSA-65, pure and without context.
    MlDsa65,
    /// ML-DSA-87, pure and without context.
    MlDsa87,
}

enum Verification {
    Point(&'static dyn VerificationAlgorithm),
    Rsa(&'static RsaParameters),
}

impl Algorithm {
    /// Algorithms requested at registration, in order of preference.
    pub const ASKED_FOR: [Self; 8] = [
        Self::EdDsa,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::Rs256,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
    ];

    /// Parses a number of the registry "COSE Algorithms".
    pub fn of(number: i64) -> Option<Self> {
        Some(match number {
            -7 | -9 => Self::Es256,
            -35 | -51 => Self::Es384,
            -36 | -52 => Self::Es512,
            // RFC 9864 assigns separate numbers to the curves.
            -8 | -19 => Self::EdDsa,
            -257 => Self::Rs256,
            -258 => Self::Rs384,
            -259 => Self::Rs512,
            -37 => Self::Ps256,
            -38 => Self::Ps384,
            -39 => Self::Ps512,
            -48 => Self::MlDsa44,
            -49 => Self::MlDsa65,
            -50 => Self::MlDsa87,
            _ => return None,
        })
    }

    /// Returns the number in the registry "COSE Algorithms".
    pub fn number(self) -> i64 {
        match self {
            Self::Es256 => -7,
            Self::Es384 => -35,
            Self::Es512 => -36,
            Self::EdDsa => -8,
            Self::Rs256 => -257,
            Self::Rs384 => -258,
            Self::Rs512 => -259,
            Self::Ps256 => -37,
            Self::Ps384 => -38,
            Self::Ps512 => -39,
            Self::MlDsa44 => -48,
            Self::MlDsa65 => -49,
            Self::MlDsa87 => -50,
        }
    }

    /// Returns the hash of the algorithm. The value for ML-DSA is not used, because TPMs do not attest with it.
    pub(super) fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Es256 | Self::Rs256 | Self::Ps256 => &digest::SHA256,
            Self::Es384 | Self::Rs384 | Self::Ps384 => &digest::SHA384,
            Self::Es512
            | Self::EdDsa
            | Self::Rs512
            | Self::Ps512
            | Self::MlDsa44
            | Self::MlDsa65
            | Self::MlDsa87 => &digest::SHA512,
        }
    }

    fn verification(self) -> Verification {
        match self {
            Self::Es256 => Verification::Point(&ECDSA_P256_SHA256_ASN1),
            Self::Es384 => Verification::Point(&ECDSA_P384_SHA384_ASN1),
            Self::Es512 => Verification::Point(&ECDSA_P521_SHA512_ASN1),
            Self::EdDsa => Verification::Point(&ED25519),
            Self::Rs256 => Verification::Rsa(&RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => Verification::Rsa(&RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => Verification::Rsa(&RSA_PKCS1_2048_8192_SHA512),
            Self::Ps256 => Verification::Rsa(&RSA_PSS_2048_8192_SHA256),
            Self::Ps384 => Verification::Rsa(&RSA_PSS_2048_8192_SHA384),
            Self::Ps512 => Verification::Rsa(&RSA_PSS_2048_8192_SHA512),
            Self::MlDsa44 => Verification::Point(&ML_DSA_44),
            Self::MlDsa65 => Verification::Point(&ML_DSA_65),
            Self::MlDsa87 => Verification::Point(&ML_DSA_87),
        }
    }
}

/// A public key with its algorithm. The point is on its curve, and an RSA modulus has 2048 to 8192 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    material: Material,
}

/// A public key without an algorithm, as in certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Material {
    /// Uncompressed point, and the curve's number in the registry "COSE Elliptic Curves".
    Point {
        curve: i64,
        point: Vec<u8>,
    },
    Ed25519(Vec<u8>),
    /// ML-DSA key. The algorithm determines the parameter set.
    MlDsa(Vec<u8>),
    /// Big-endian numbers without leading zeros.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

impl PublicKey {
    /// Parses a `COSE_Key` in CBOR and rejects trailing bytes.
    ///
    /// # Errors
    /// Returns [`Refusal::Malformed`] if the bytes are malformed, [`Refusal::Algorithm`] if the algorithm is not
    /// supported, and [`Refusal::Key`] if the key is not accepted.
    pub fn parse(encoded: &[u8]) -> Result<Self> {
        Self::from_cose(&cbor::whole(encoded, "the public key")?)
    }

    pub(super) fn from_cose(key: &Value) -> Result<Self> {
        let number = |label: i64| cbor::numbered(key, label).and_then(cbor::integer);
        let bytes = |label: i64| cbor::numbered(key, label).and_then(Value::as_bytes);
        let missing = Refusal::Key("a parameter is missing");
        let algorithm = number(3).ok_or(missing.clone())?;
        let algorithm = Algorithm::of(algorithm).ok_or(Refusal::Algorithm(algorithm))?;
        let material = match number(1).ok_or(missing.clone())? {
            1 => {
                if number(-1) != Some(6) {
                    return Err(Refusal::Key("its curve is not Ed25519"));
                }
                Material::Ed25519(bytes(-2).ok_or(missing)?.clone())
            }
            2 => {
                let curve = number(-1).ok_or(missing.clone())?;
                let (x, y) = bytes(-2).zip(bytes(-3)).ok_or(missing)?;
                let length = coordinate(curve).ok_or(Refusal::Key("its curve is not known"))?;
                if x.len() != length || y.len() != length {
                    return Err(Refusal::Key("a coordinate has the wrong length"));
                }
                Material::Point {
                    curve,
                    point: [&[4], x.as_slice(), y].concat(),
                }
            }
            3 => {
                let (n, e) = bytes(-1).zip(bytes(-2)).ok_or(missing)?;
                Material::Rsa {
                    n: n.clone(),
                    e: e.clone(),
                }
            }
            7 => Material::MlDsa(bytes(-1).ok_or(missing)?.clone()),
            _ => return Err(Refusal::Key("its type is not known")),
        };
        Self::new(algorithm, material)
    }

    /// Creates a key from a certificate, for use with `algorithm`.
    pub(super) fn of_certificate(
        algorithm: Algorithm,
        key: &SubjectPublicKeyInfo<'_>,
    ) -> Result<Self> {
        let material =
            Material::of(key).ok_or(Refusal::Key("its certificate has another key type"))?;
        Self::new(algorithm, material)
    }

    pub(super) fn new(algorithm: Algorithm, material: Material) -> Result<Self> {
        let mismatch = Refusal::Key("its type does not match its algorithm");
        match (algorithm.verification(), &material) {
            (Verification::Point(verification), Material::Point { curve, point }) => {
                if algorithm_of(*curve) != Some(algorithm) {
                    return Err(mismatch);
                }
                ParsedPublicKey::new(verification, point)
                    .map_err(|_| Refusal::Key("it is not a point on its curve"))?;
            }
            (Verification::Point(verification), Material::Ed25519(point)) => {
                if algorithm != Algorithm::EdDsa {
                    return Err(mismatch);
                }
                ParsedPublicKey::new(verification, point)
                    .map_err(|_| Refusal::Key("it is not an Ed25519 key"))?;
            }
            (Verification::Point(verification), Material::MlDsa(key)) => {
                let length = ml_dsa_length(algorithm).ok_or(mismatch)?;
                if key.len() != length || ParsedPublicKey::new(verification, key).is_err() {
                    return Err(Refusal::Key("it is not a key of its ML-DSA parameter set"));
                }
            }
            (Verification::Rsa(_), Material::Rsa { n, e }) => check_rsa(n, e)?,
            _ => return Err(mismatch),
        }
        Ok(Self {
            algorithm,
            material,
        })
    }

    /// Returns the only algorithm that the key is used with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn material(&self) -> &Material {
        &self.material
    }

    /// Verifies a signature. ECDSA signatures are DER-encoded.
    ///
    /// # Errors
    /// Returns [`Refusal::Signature`] if the signature does not verify.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<()> {
        let verified = match (self.algorithm.verification(), &self.material) {
            (
                Verification::Point(algorithm),
                Material::Point { point, .. } | Material::Ed25519(point) | Material::MlDsa(point),
            ) => ParsedPublicKey::new(algorithm, point)
                .is_ok_and(|key| key.verify_sig(message, signature).is_ok()),
            (Verification::Rsa(parameters), Material::Rsa { n, e }) => RsaPublicKeyComponents {
                n: n.as_slice(),
                e: e.as_slice(),
            }
            .verify(parameters, message, signature)
            .is_ok(),
            _ => false,
        };
        verified.then_some(()).ok_or(Refusal::Signature)
    }
}

impl Material {
    /// Returns the key of a certificate, or `None` if its type is not supported.
    pub(super) fn of(key: &SubjectPublicKeyInfo<'_>) -> Option<Self> {
        let kind = &key.algorithm.algorithm;
        let bytes = key.subject_public_key.data.to_vec();
        if *kind == OID_SIG_ED25519 {
            return Some(Self::Ed25519(bytes));
        }
        if *kind == OID_PKCS1_RSAENCRYPTION {
            let Ok(ParsedKey::RSA(key)) = key.parsed() else {
                return None;
            };
            let trimmed = |bytes: &[u8]| {
                let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                bytes.get(zeros..).unwrap_or_default().to_vec()
            };
            return Some(Self::Rsa {
                n: trimmed(key.modulus),
                e: trimmed(key.exponent),
            });
        }
        if *kind != OID_KEY_TYPE_EC_PUBLIC_KEY {
            return None;
        }
        let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
        let curve = if curve == OID_EC_P256 {
            1
        } else if curve == OID_NIST_EC_P384 {
            2
        } else if curve == OID_NIST_EC_P521 {
            3
        } else {
            return None;
        };
        Some(Self::Point {
            curve,
            point: bytes,
        })
    }
}

/// Returns the length of a public key in bytes (FIPS 204, table 2).
fn ml_dsa_length(algorithm: Algorithm) -> Option<usize> {
    match algorithm {
        Algorithm::MlDsa44 => Some(1312),
        Algorithm::MlDsa65 => Some(1952),
        Algorithm::MlDsa87 => Some(2592),
        Algorithm::Es256
        | Algorithm::Es384
        | Algorithm::Es512
        | Algorithm::EdDsa
        | Algorithm::Rs256
        | Algorithm::Rs384
        | Algorithm::Rs512
        | Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512 => None,
    }
}

/// Returns the length of a coordinate in bytes.
fn coordinate(curve: i64) -> Option<usize> {
    match curve {
        1 => Some(32),
        2 => Some(48),
        3 => Some(66),
        _ => None,
    }
}

fn algorithm_of(curve: i64) -> Option<Algorithm> {
    match curve {
        1 => Some(Algorithm::Es256),
        2 => Some(Algorithm::Es384),
        3 => Some(Algorithm::Es512),
        _ => None,
    }
}

fn check_rsa(n: &[u8], e: &[u8]) -> Result<()> {
    let bits = n
        .first()
        .map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    if n.first() == Some(&0) || !RSA_BITS.contains(&bits) || !is_odd(n) {
        return Err(Refusal::Key("its modulus must have 2048 to 8192 bits"));
    }
    let is_exponent = e.len() <= LONGEST_EXPONENT && e.first() != Some(&0) && is_odd(e) && e != [1];
    if is_exponent {
        Ok(())
    } else {
        Err(Refusal::Key("its exponent is not accepted"))
    }
}
