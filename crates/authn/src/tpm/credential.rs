//! Credential activation (TPM 2.0 Library, Part 1, §24): a secret that only the TPM with both keys can recover.

use std::fmt;

use aws_lc_rs::{
    agreement::{self, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral},
    cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey},
    digest, hmac,
    iv::FixedLength,
    rand::SystemRandom,
    rsa::{
        OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OaepPublicEncryptingKey,
        PublicEncryptingKey,
    },
};
use domain::rng::Rng;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    Refusal, Result,
    endorsement::{Key, read_key},
};

const SECRET_LENGTH: usize = 32;
/// Part 1, §24.4. The OAEP label includes the terminating zero byte.
const IDENTITY: &[u8] = b"IDENTITY\0";
const STORAGE: &[u8] = b"STORAGE\0";
const INTEGRITY: &[u8] = b"INTEGRITY\0";

/// Input of `TPM2_ActivateCredential`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptedCredential {
    /// `TPM2B_ID_OBJECT` with its size prefix.
    pub credential: Vec<u8>,
    /// `TPM2B_ENCRYPTED_SECRET` with its size prefix.
    pub secret: Vec<u8>,
}

/// Secret that the TPM recovers.
#[derive(Clone, PartialEq, Eq)]
pub struct ActivationSecret(Zeroizing<Vec<u8>>);

impl ActivationSecret {
    /// Restores a stored secret.
    ///
    /// # Errors
    /// Returns [`Refusal::Malformed`] if it does not have 32 bytes.
    pub fn from_bytes(mut bytes: Vec<u8>) -> Result<Self> {
        if bytes.len() == SECRET_LENGTH {
            return Ok(Self(Zeroizing::new(bytes)));
        }
        bytes.zeroize();
        Err(Refusal::Malformed("the stored secret"))
    }

    /// Returns the bytes for storage. They must be encrypted at rest.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Compares the answer with the secret in constant time.
    ///
    /// # Errors
    /// Returns [`Refusal::Activation`] if they differ.
    pub fn check(&self, answer: &[u8]) -> Result<()> {
        if bool::from(self.0.as_slice().ct_eq(answer)) {
            Ok(())
        } else {
            Err(Refusal::Activation)
        }
    }
}

impl fmt::Debug for ActivationSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ActivationSecret(..)")
    }
}

/// Algorithms of the endorsement key templates for a key size (TCG EK Credential Profile, Annex B).
struct Profile {
    hash: &'static digest::Algorithm,
    hmac: hmac::Algorithm,
    /// Length of the AES key in bytes.
    key_length: usize,
}

const SMALL: Profile = Profile {
    hash: &digest::SHA256,
    hmac: hmac::HMAC_SHA256,
    key_length: 16,
};
const LARGE: Profile = Profile {
    hash: &digest::SHA384,
    hmac: hmac::HMAC_SHA384,
    key_length: 32,
};

/// Encrypts a new secret to the endorsement key (PKIX). The TPM releases it only if a key with `attestation_key_name`
/// is loaded.
///
/// # Errors
/// Returns [`Refusal::EndorsementKey`] or [`Refusal::Malformed`] if the endorsement key is not accepted.
pub fn challenge(
    endorsement_key: &[u8],
    attestation_key_name: &[u8],
    rng: &dyn Rng,
) -> Result<(EncryptedCredential, ActivationSecret)> {
    let key = read_key(endorsement_key)?;
    let mut secret = Zeroizing::new(vec![0; SECRET_LENGTH]);
    rng.fill(&mut secret);
    let (profile, seed, encrypted_seed) = match &key {
        Key::Rsa { spki, bits } => share_by_rsa(spki, *bits, rng)?,
        Key::Point { curve, point } => share_by_point(*curve, point)?,
    };
    let credential = wrap(&profile, &seed, attestation_key_name, &secret)?;
    let credential = EncryptedCredential {
        credential: sized(&credential)?,
        secret: sized(&encrypted_seed)?,
    };
    Ok((credential, ActivationSecret(secret)))
}

type Shared = (Profile, Zeroizing<Vec<u8>>, Vec<u8>);

/// Encrypts a random seed with OAEP (Part 1, §B.10.4).
fn share_by_rsa(spki: &[u8], bits: usize, rng: &dyn Rng) -> Result<Shared> {
    let (profile, oaep) = if bits == 2048 {
        (SMALL, &OAEP_SHA256_MGF1SHA256)
    } else {
        (LARGE, &OAEP_SHA384_MGF1SHA384)
    };
    let mut seed = Zeroizing::new(vec![0; profile.hash.output_len()]);
    rng.fill(&mut seed);
    let unusable = || Refusal::EndorsementKey("it encrypts nothing");
    let key = PublicEncryptingKey::from_der(spki).map_err(|_| unusable())?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| unusable())?;
    let mut encrypted = vec![0; key.ciphertext_size()];
    let written = key
        .encrypt(oaep, &seed, &mut encrypted, Some(IDENTITY))
        .map_err(|_| unusable())?
        .len();
    encrypted.truncate(written);
    Ok((profile, seed, encrypted))
}

/// Derives a seed with an ephemeral key, whose point is sent (Part 1, §C.6.4).
fn share_by_point(curve: i64, point: &[u8]) -> Result<Shared> {
    let (profile, agreement) = if curve == 1 {
        (SMALL, &agreement::ECDH_P256)
    } else {
        (LARGE, &agreement::ECDH_P384)
    };
    let unusable = || Refusal::EndorsementKey("it is not a point on its curve");
    let private =
        EphemeralPrivateKey::generate(agreement, &SystemRandom::new()).map_err(|_| unusable())?;
    let public = private.compute_public_key().map_err(|_| unusable())?;
    let (ephemeral_x, ephemeral_y) = coordinates(public.as_ref()).ok_or_else(unusable)?;
    let (x, _) = coordinates(point).ok_or_else(unusable)?;
    let peer = UnparsedPublicKey::new(agreement, point);
    let seed = agree_ephemeral(private, peer, unusable(), |shared| {
        // KDFe (Part 1, §11.4.10.3). The seed has the length of the hash, so one round is enough.
        let mut context = digest::Context::new(profile.hash);
        for part in [&1_u32.to_be_bytes(), shared, IDENTITY, ephemeral_x, x] {
            context.update(part);
        }
        Ok(Zeroizing::new(context.finish().as_ref().to_vec()))
    })?;
    let sent = [sized(ephemeral_x)?, sized(ephemeral_y)?].concat();
    Ok((profile, seed, sent))
}

/// Returns a `TPMS_ID_OBJECT`: the encrypted secret, and an HMAC over it and the name. Both keys are derived from the
/// seed.
fn wrap(profile: &Profile, seed: &[u8], name: &[u8], secret: &[u8]) -> Result<Vec<u8>> {
    let failed = || Refusal::Malformed("the credential");
    let mut identity = sized(secret)?;
    let key = kdf(profile, seed, STORAGE, name, profile.key_length);
    let algorithm = if profile.key_length == 16 {
        &AES_128
    } else {
        &AES_256
    };
    let key = UnboundCipherKey::new(algorithm, &key).map_err(|_| failed())?;
    EncryptingKey::cfb128(key)
        .and_then(|key| {
            // The zero IV is safe, because each seed encrypts only once.
            let context = EncryptionContext::Iv128(FixedLength::from([0; 16]));
            key.less_safe_encrypt(&mut identity, context)
        })
        .map_err(|_| failed())?;
    let key = kdf(profile, seed, INTEGRITY, &[], profile.hash.output_len());
    let mut context = hmac::Context::with_key(&hmac::Key::new(profile.hmac, &key));
    context.update(&identity);
    context.update(name);
    Ok([sized(context.sign().as_ref())?, identity].concat())
}

/// `KDFa` (Part 1, §11.4.10.2; NIST SP 800-108 in counter mode). `length` must not exceed one HMAC output.
fn kdf(
    profile: &Profile,
    seed: &[u8],
    label: &[u8],
    context: &[u8],
    length: usize,
) -> Zeroizing<Vec<u8>> {
    let bits = u32::try_from(length * 8).unwrap_or_default();
    let mut hmac = hmac::Context::with_key(&hmac::Key::new(profile.hmac, seed));
    for part in [&1_u32.to_be_bytes(), label, context, &bits.to_be_bytes()] {
        hmac.update(part);
    }
    let mut derived = hmac.sign().as_ref().to_vec();
    derived.truncate(length);
    Zeroizing::new(derived)
}

fn coordinates(point: &[u8]) -> Option<(&[u8], &[u8])> {
    let (4, both) = point.split_first().map(|(form, both)| (*form, both))? else {
        return None;
    };
    both.split_at_checked(both.len() / 2)
}

fn sized(bytes: &[u8]) -> Result<Vec<u8>> {
    let length = u16::try_from(bytes.len()).map_err(|_| Refusal::Malformed("the credential"))?;
    Ok([&length.to_be_bytes(), bytes].concat())
}
