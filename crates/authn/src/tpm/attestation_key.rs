//! The attestation key of a TPM: its required properties and its creation.

use aws_lc_rs::{
    digest::digest,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ParsedPublicKey,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
        RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
        RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
    },
};
use subtle::ConstantTimeEq as _;

use super::{
    Refusal, Result,
    structures::{
        self, Attest, Attested, Attributes, Clock, CreationData, ECDSA, Public, RSAPSS, RSASSA,
        SHA256, SHA384, SHA512, Signature, SignatureValue, Unique,
    },
};

/// `TPM_RH_OWNER`, `TPM_RH_ENDORSEMENT`: hierarchies whose seeds persist until the TPM is cleared or replaced.
const HIERARCHIES: [[u8; 4]; 2] = [0x4000_0001_u32.to_be_bytes(), 0x4000_000b_u32.to_be_bytes()];

/// Attestation key and its creation (TPM 2.0 Library, Part 3, §18.3), in the form that clients register and that is
/// stored.
#[derive(Debug, Clone, Copy)]
pub struct AttestationParameters<'a> {
    /// `TPMT_PUBLIC`.
    pub public: &'a [u8],
    /// `TPMS_CREATION_DATA`.
    pub create_data: &'a [u8],
    /// `TPMS_ATTEST` of `TPM2_CertifyCreation`.
    pub create_attestation: &'a [u8],
    /// `TPMT_SIGNATURE` over `create_attestation` by the key itself.
    pub create_signature: &'a [u8],
}

/// An attestation key that claims to be created and kept by a TPM. Only credential activation proves the claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationKey {
    public: Vec<u8>,
    name: Vec<u8>,
    qualified_name: Vec<u8>,
}

impl AttestationKey {
    /// Verifies the key, its creation data and its signature over them.
    ///
    /// # Errors
    /// Returns the first [`Refusal`] that applies.
    pub fn verify(parameters: &AttestationParameters<'_>) -> Result<Self> {
        let public =
            Public::parse(parameters.public).ok_or(Refusal::Malformed("the attestation key"))?;
        check(&public)?;
        let weak = Refusal::AttestationKey("it is named by a hash that is not accepted");
        let name =
            structures::name(public.name_algorithm, &[parameters.public]).ok_or(weak.clone())?;
        let creation = CreationData::parse(parameters.create_data)
            .ok_or(Refusal::Malformed("the creation data"))?;
        let qualified_name = qualified_name(public.name_algorithm, &name, &creation)?;
        let key = Self {
            public: parameters.public.to_vec(),
            name,
            qualified_name,
        };

        let (attest, _) =
            key.attested(parameters.create_attestation, parameters.create_signature)?;
        let Attested::Creation {
            name,
            creation_hash,
        } = attest.attested
        else {
            return Err(Refusal::Attestation(
                "it is not about the creation of a key",
            ));
        };
        if name != key.name {
            return Err(Refusal::Attestation("it is about another key"));
        }
        let hash = structures::hash(public.name_algorithm).ok_or(weak)?;
        if creation_hash != digest(hash, parameters.create_data).as_ref() {
            return Err(Refusal::Attestation("its creation data do not match"));
        }
        Ok(key)
    }

    /// Returns the public area (`TPMT_PUBLIC`).
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Returns the name (`TPMU_NAME`): the algorithm and the hash of the public area.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Verifies and parses a structure that this key signed.
    pub(super) fn attested<'a>(
        &self,
        attestation: &'a [u8],
        signature: &[u8],
    ) -> Result<(Attest<'a>, Clock)> {
        const MALFORMED: Refusal =
            Refusal::Attestation("it is malformed, or was not made by a TPM");
        self.verify_signature(attestation, signature)?;
        let attest = Attest::parse(attestation).ok_or(MALFORMED)?;
        let clock = attest.clock.ok_or(MALFORMED)?;
        if bool::from(attest.signer.ct_eq(&self.qualified_name)) {
            Ok((attest, clock))
        } else {
            Err(Refusal::Attestation("it names another key as its signer"))
        }
    }

    fn verify_signature(&self, message: &[u8], signature: &[u8]) -> Result<()> {
        let public =
            Public::parse(&self.public).ok_or(Refusal::Malformed("the attestation key"))?;
        let signature = Signature::parse(signature).ok_or(Refusal::Malformed("the signature"))?;
        if public.scheme != Some(signature.scheme) {
            return Err(Refusal::Signature);
        }
        let is_right = match (&public.unique, signature.value) {
            (Unique::Rsa { modulus, exponent }, SignatureValue::Rsa(value)) => {
                let exponent = exponent.to_be_bytes();
                let zeros = exponent.iter().take_while(|byte| **byte == 0).count();
                let key = RsaPublicKeyComponents {
                    n: *modulus,
                    e: exponent.get(zeros..).unwrap_or_default(),
                };
                rsa(signature.scheme)
                    .is_some_and(|parameters| key.verify(parameters, message, value).is_ok())
            }
            (Unique::Point { curve, x, y }, SignatureValue::Point { r, s }) => {
                let Some((algorithm, length)) = ecdsa(*curve, signature.scheme.hash) else {
                    return Err(Refusal::Signature);
                };
                let (Some(point), Some(value)) =
                    (pair(&[4], x, y, length), pair(&[], r, s, length))
                else {
                    return Err(Refusal::Signature);
                };
                ParsedPublicKey::new(algorithm, &point)
                    .is_ok_and(|key| key.verify_sig(message, &value).is_ok())
            }
            _ => false,
        };
        is_right.then_some(()).ok_or(Refusal::Signature)
    }
}

fn check(public: &Public<'_>) -> Result<()> {
    let refused = |reason| Err(Refusal::AttestationKey(reason));
    for (attribute, missing) in [
        (Attributes::RESTRICTED, "it is not restricted"),
        (Attributes::SIGN, "it does not sign"),
        (Attributes::FIXED_TPM, "it is not fixed to its TPM"),
        (Attributes::FIXED_PARENT, "it is not fixed to its parent"),
        (
            Attributes::SENSITIVE_DATA_ORIGIN,
            "it was not made by its TPM",
        ),
    ] {
        if !public.attributes.has(attribute) {
            return refused(missing);
        }
    }
    if public.attributes.has(Attributes::DECRYPT) {
        return refused("it decrypts");
    }
    let Some(scheme) = public.scheme else {
        return refused("it has no signing scheme");
    };
    let is_accepted = match public.unique {
        Unique::Rsa { modulus, .. } => {
            if modulus.len() < 256 || modulus.first().is_none_or(|first| *first < 0x80) {
                return refused("its modulus has less than 2048 bits");
            }
            rsa(scheme).is_some()
        }
        Unique::Point { curve, .. } => {
            scheme.algorithm == ECDSA && ecdsa(curve, scheme.hash).is_some()
        }
    };
    if is_accepted {
        Ok(())
    } else {
        refused("its scheme or curve is not accepted")
    }
}

/// Returns the qualified name: the name hashed with those of all ancestors (Part 1, "Qualified Name"). The parent must
/// be a primary key or the hierarchy itself, because deeper ancestors are unknown.
fn qualified_name(algorithm: u16, name: &[u8], creation: &CreationData<'_>) -> Result<Vec<u8>> {
    let is_lasting = HIERARCHIES.iter().any(|hierarchy| {
        if creation.parent_name.len() == hierarchy.len() {
            return creation.parent_name == hierarchy
                && creation.parent_qualified_name == hierarchy;
        }
        let Some((algorithm, _)) = creation.parent_name.split_first_chunk() else {
            return false;
        };
        let algorithm = u16::from_be_bytes(*algorithm);
        structures::name(algorithm, &[hierarchy, creation.parent_name])
            .is_some_and(|qualified| qualified == creation.parent_qualified_name)
    });
    if !is_lasting {
        return Err(Refusal::AttestationKey(
            "its parent is not a primary key of the owner or endorsement hierarchy",
        ));
    }
    structures::name(algorithm, &[creation.parent_qualified_name, name]).ok_or(
        Refusal::AttestationKey("it is named by a hash that is not accepted"),
    )
}

fn rsa(scheme: structures::Scheme) -> Option<&'static RsaParameters> {
    Some(match (scheme.algorithm, scheme.hash) {
        (RSASSA, SHA256) => &RSA_PKCS1_2048_8192_SHA256,
        (RSASSA, SHA384) => &RSA_PKCS1_2048_8192_SHA384,
        (RSASSA, SHA512) => &RSA_PKCS1_2048_8192_SHA512,
        (RSAPSS, SHA256) => &RSA_PSS_2048_8192_SHA256,
        (RSAPSS, SHA384) => &RSA_PSS_2048_8192_SHA384,
        (RSAPSS, SHA512) => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

/// Returns the algorithm and the coordinate length in bytes. `curve` is a COSE number.
fn ecdsa(curve: i64, hash: u16) -> Option<(&'static dyn VerificationAlgorithm, usize)> {
    match (curve, hash) {
        (1, SHA256) => Some((&ECDSA_P256_SHA256_FIXED, 32)),
        (2, SHA384) => Some((&ECDSA_P384_SHA384_FIXED, 48)),
        _ => None,
    }
}

/// Joins two numbers, padded to `length` bytes each, because TPMs can omit leading zeros.
fn pair(prefix: &[u8], first: &[u8], second: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut joined = prefix.to_vec();
    for number in [first, second] {
        joined.resize(joined.len() + length.checked_sub(number.len())?, 0);
        joined.extend_from_slice(number);
    }
    Some(joined)
}
