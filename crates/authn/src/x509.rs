//! Certificate chains of hardware attestation. Their trust anchors are configured one by one and their profiles differ
//! from those of the Web PKI, whose additional rules do not apply here.

use aws_lc_rs::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, digest},
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1,
        ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
        ECDSA_P521_SHA512_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
        RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
        RSA_PSS_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
    },
};
use domain::clock::UnixMillis;
use x509_parser::{
    certificate::X509Certificate,
    der_parser::asn1_rs::{Oid, oid},
    oid_registry::{
        OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_NIST_HASH_SHA256,
        OID_NIST_HASH_SHA384, OID_NIST_HASH_SHA512, OID_PKCS1_RSASSAPSS, OID_PKCS1_SHA256WITHRSA,
        OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256,
        OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512, OID_SIG_ED25519,
    },
    parse_x509_certificate,
    signature_algorithm::RsaSsaPssParams,
    time::ASN1Time,
    x509::SubjectPublicKeyInfo,
};

/// Maximum number of certificates in a chain.
const LONGEST: usize = 8;
/// Critical extensions that are checked here or by callers: basic constraints, key usage, extended key usage, subject
/// alternative names, certificate policies.
const UNDERSTOOD: [Oid<'static>; 5] = [
    oid!(2.5.29.19),
    oid!(2.5.29.15),
    oid!(2.5.29.37),
    oid!(2.5.29.17),
    oid!(2.5.29.32),
];

/// Reasons why a chain is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The chain is empty or too long.
    #[error("a chain must have 1 to {LONGEST} certificates")]
    Length,
    /// A certificate is malformed.
    #[error("a certificate of the chain is malformed")]
    Malformed,
    /// A certificate has expired or is not valid yet.
    #[error("a certificate of the chain has expired, or is not valid yet")]
    Time,
    /// The issuer of a certificate is not a certificate authority.
    #[error("the issuer of a certificate of the chain is not a CA")]
    NotAnAuthority,
    /// A certificate has an unsupported critical extension.
    #[error("a certificate of the chain has a critical extension that is not supported")]
    Critical,
    /// A signature does not verify with the key of the next certificate.
    #[error("a signature of the chain is wrong, or its algorithm is not accepted")]
    Signature,
    /// The chain does not end at a trust anchor.
    #[error("the chain does not end at a trusted CA")]
    Untrusted,
}

/// Verifies that `chain` leads to one of `anchors`. The chain consists of DER certificates and starts with the
/// attestation certificate. An anchor can be part of the chain, or be the attestation certificate itself.
///
/// # Errors
/// Returns the first [`ChainError`] that applies.
pub fn verify_chain(
    chain: &[Vec<u8>],
    anchors: &[Vec<u8>],
    now: UnixMillis,
) -> Result<(), ChainError> {
    if chain.is_empty() || chain.len() > LONGEST {
        return Err(ChainError::Length);
    }
    let parsed: Vec<X509Certificate<'_>> = chain
        .iter()
        .map(|bytes| parse(bytes))
        .collect::<Result<_, _>>()?;
    let authorities: Vec<X509Certificate<'_>> = anchors
        .iter()
        .filter_map(|bytes| parse(bytes).ok())
        .collect();
    for (depth, (certificate, bytes)) in parsed.iter().zip(chain).enumerate() {
        check_itself(certificate, now)?;
        if anchors.contains(bytes) {
            return Ok(());
        }
        let is_issuer = |authority: &&X509Certificate<'_>| {
            authority.subject() == certificate.issuer()
                && check_itself(authority, now).is_ok()
                && may_certify(authority, depth)
                && is_signed_by(certificate, authority.public_key())
        };
        if authorities.iter().any(|authority| is_issuer(&authority)) {
            return Ok(());
        }
        let next = parsed.get(depth + 1).ok_or(ChainError::Untrusted)?;
        if next.subject() != certificate.issuer() {
            return Err(ChainError::Untrusted);
        }
        if !may_certify(next, depth) {
            return Err(ChainError::NotAnAuthority);
        }
        if !is_signed_by(certificate, next.public_key()) {
            return Err(ChainError::Signature);
        }
    }
    Err(ChainError::Untrusted)
}

/// Returns the SHA-1 hash of the public key of a DER certificate (RFC 5280 §4.2.1.2, method 1). Returns `None` if the
/// certificate is malformed.
pub fn key_identifier(certificate: &[u8]) -> Option<Vec<u8>> {
    let certificate = parse(certificate).ok()?;
    let key = &certificate.public_key().subject_public_key.data;
    Some(digest(&SHA1_FOR_LEGACY_USE_ONLY, key).as_ref().to_vec())
}

fn parse(bytes: &[u8]) -> Result<X509Certificate<'_>, ChainError> {
    match parse_x509_certificate(bytes) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(ChainError::Malformed),
    }
}

/// Checks the validity period and the critical extensions.
pub(crate) fn check_itself(
    certificate: &X509Certificate<'_>,
    now: UnixMillis,
) -> Result<(), ChainError> {
    let now = ASN1Time::from_timestamp(now.0 / 1000).map_err(|_| ChainError::Time)?;
    if !certificate.validity().is_valid_at(now) {
        return Err(ChainError::Time);
    }
    let is_understood = certificate
        .extensions()
        .iter()
        .all(|extension| !extension.critical || UNDERSTOOD.contains(&extension.oid));
    if is_understood {
        Ok(())
    } else {
        Err(ChainError::Critical)
    }
}

/// Returns true if the certificate is a CA that allows `below` intermediate certificates.
pub(crate) fn may_certify(certificate: &X509Certificate<'_>, below: usize) -> bool {
    let (Ok(Some(constraints)), Ok(usage)) =
        (certificate.basic_constraints(), certificate.key_usage())
    else {
        return false;
    };
    let is_long_enough = constraints
        .value
        .path_len_constraint
        .is_none_or(|length| usize::try_from(length).is_ok_and(|length| below <= length));
    constraints.value.ca && is_long_enough && usage.is_none_or(|usage| usage.value.key_cert_sign())
}

fn is_signed_by(certificate: &X509Certificate<'_>, key: &SubjectPublicKeyInfo<'_>) -> bool {
    // The signed part repeats the algorithm (RFC 5280 §4.1.1.2).
    if certificate.signature_algorithm != certificate.tbs_certificate.signature {
        return false;
    }
    let Some(algorithm) = algorithm(certificate, key) else {
        return false;
    };
    UnparsedPublicKey::new(algorithm, &key.subject_public_key.data)
        .verify(
            certificate.tbs_certificate.as_ref(),
            &certificate.signature_value.data,
        )
        .is_ok()
}

fn algorithm(
    certificate: &X509Certificate<'_>,
    key: &SubjectPublicKeyInfo<'_>,
) -> Option<&'static dyn VerificationAlgorithm> {
    let signature = &certificate.signature_algorithm;
    let kind = &signature.algorithm;
    if *kind == OID_PKCS1_SHA256WITHRSA {
        return Some(&RSA_PKCS1_2048_8192_SHA256);
    }
    if *kind == OID_PKCS1_SHA384WITHRSA {
        return Some(&RSA_PKCS1_2048_8192_SHA384);
    }
    if *kind == OID_PKCS1_SHA512WITHRSA {
        return Some(&RSA_PKCS1_2048_8192_SHA512);
    }
    if *kind == OID_SIG_ED25519 {
        return Some(&ED25519);
    }
    if *kind == OID_PKCS1_RSASSAPSS {
        let parameters = RsaSsaPssParams::try_from(signature.parameters.as_ref()?).ok()?;
        let hash = parameters.hash_algorithm_oid();
        return if *hash == OID_NIST_HASH_SHA256 {
            Some(&RSA_PSS_2048_8192_SHA256)
        } else if *hash == OID_NIST_HASH_SHA384 {
            Some(&RSA_PSS_2048_8192_SHA384)
        } else if *hash == OID_NIST_HASH_SHA512 {
            Some(&RSA_PSS_2048_8192_SHA512)
        } else {
            None
        };
    }
    let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
    let algorithms: [(Oid<'_>, [Option<&'static dyn VerificationAlgorithm>; 3]); 3] = [
        (
            OID_EC_P256,
            [
                Some(&ECDSA_P256_SHA256_ASN1),
                Some(&ECDSA_P256_SHA384_ASN1),
                None,
            ],
        ),
        (
            OID_NIST_EC_P384,
            [
                Some(&ECDSA_P384_SHA256_ASN1),
                Some(&ECDSA_P384_SHA384_ASN1),
                None,
            ],
        ),
        (
            OID_NIST_EC_P521,
            [
                Some(&ECDSA_P521_SHA256_ASN1),
                Some(&ECDSA_P521_SHA384_ASN1),
                Some(&ECDSA_P521_SHA512_ASN1),
            ],
        ),
    ];
    let (_, by_hash) = algorithms.into_iter().find(|(oid, _)| *oid == curve)?;
    let hashes = [
        OID_SIG_ECDSA_WITH_SHA256,
        OID_SIG_ECDSA_WITH_SHA384,
        OID_SIG_ECDSA_WITH_SHA512,
    ];
    let index = hashes.iter().position(|hash| hash == kind)?;
    by_hash.into_iter().nth(index).flatten()
}
