//! Attestation of the authenticator model (§8).

use aws_lc_rs::digest::{Algorithm as Digest, digest};
use ciborium::Value;

use super::{
    authenticator_data::CredentialData,
    cbor,
    error::{Refusal, Result},
    key::{Algorithm, PublicKey},
};

mod android_key;
mod apple;
mod certificate;
mod fido_u2f;
mod packed;
mod tpm;

/// Maximum number of certificates in an attestation.
const LONGEST_CHAIN: usize = 8;

/// Attestation statement format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// No attestation.
    None,
    /// §8.2.
    Packed,
    /// §8.3.
    Tpm,
    /// §8.4.
    AndroidKey,
    /// §8.6.
    FidoU2f,
    /// §8.8.
    Apple,
}

/// Verified content of an attestation statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// No statement.
    None,
    /// The credential key signed the attestation itself. The model is not proved.
    OwnKey,
    /// DER certificate chain whose first key signed or certified the credential. Its signatures are not verified here,
    /// and the root can be missing. The caller must verify the chain with [`crate::x509::verify_chain`].
    Certified(Vec<Vec<u8>>),
}

/// An attestation that belongs to the credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// Statement format.
    pub format: Format,
    /// Verified statement.
    pub statement: Statement,
}

/// Data that an attestation covers.
pub(super) struct Attested<'a> {
    pub(super) authenticator_data: &'a [u8],
    pub(super) client_data_hash: &'a [u8],
    pub(super) rp_id_hash: &'a [u8],
    pub(super) credential: &'a CredentialData,
}

impl Format {
    /// Returns the identifier in the IANA registry.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Packed => "packed",
            Self::Tpm => "tpm",
            Self::AndroidKey => "android-key",
            Self::FidoU2f => "fido-u2f",
            Self::Apple => "apple",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [
            Self::None,
            Self::Packed,
            Self::Tpm,
            Self::AndroidKey,
            Self::FidoU2f,
            Self::Apple,
        ]
        .into_iter()
        .find(|format| format.name() == name)
    }
}

impl Attestation {
    pub(super) fn verify(name: &str, statement: &Value, attested: &Attested<'_>) -> Result<Self> {
        let format = Format::of(name).ok_or_else(|| {
            let name = name.chars().take(32).collect();
            Refusal::Format(name)
        })?;
        let statement = match format {
            Format::None if statement.as_map().is_some_and(Vec::is_empty) => Statement::None,
            Format::None => return Err(refused("the format none must have an empty statement")),
            Format::Packed => packed::verify(statement, attested)?,
            Format::Tpm => tpm::verify(statement, attested)?,
            Format::AndroidKey => android_key::verify(statement, attested)?,
            Format::FidoU2f => fido_u2f::verify(statement, attested)?,
            Format::Apple => apple::verify(statement, attested)?,
        };
        Ok(Self { format, statement })
    }
}

impl Attested<'_> {
    /// Returns the data that most formats sign.
    fn signed(&self) -> Vec<u8> {
        [self.authenticator_data, self.client_data_hash].concat()
    }

    fn signed_digest(&self, algorithm: &'static Digest) -> Vec<u8> {
        digest(algorithm, &self.signed()).as_ref().to_vec()
    }

    /// Checks that the certificate has the key of the credential.
    fn check_key(&self, key: &x509_parser::x509::SubjectPublicKeyInfo<'_>) -> Result<()> {
        let algorithm = self.credential.key.algorithm();
        if PublicKey::of_certificate(algorithm, key)? == self.credential.key {
            Ok(())
        } else {
            Err(refused("its certificate has another key"))
        }
    }
}

fn refused(why: &'static str) -> Refusal {
    Refusal::Attestation(why)
}

fn algorithm(statement: &Value) -> Result<Algorithm> {
    let number = cbor::named(statement, "alg").and_then(cbor::integer);
    let number = number.ok_or(refused("it has no algorithm"))?;
    Algorithm::of(number).ok_or(Refusal::Algorithm(number))
}

fn signature(statement: &Value) -> Result<&[u8]> {
    let signature = cbor::named(statement, "sig").and_then(Value::as_bytes);
    signature
        .map(Vec::as_slice)
        .ok_or(refused("it has no signature"))
}

/// Reads `x5c`, a list of 1 to 8 certificates. Returns `None` if it is missing.
fn chain(statement: &Value) -> Result<Option<Vec<Vec<u8>>>> {
    let Some(chain) = cbor::named(statement, "x5c") else {
        return Ok(None);
    };
    let bad = refused("it must have one to eight certificates");
    let chain = chain.as_array().ok_or(bad.clone())?;
    let chain: Option<Vec<Vec<u8>>> = chain
        .iter()
        .map(|certificate| certificate.as_bytes().cloned())
        .collect();
    let chain = chain.ok_or(bad.clone())?;
    if chain.is_empty() || chain.len() > LONGEST_CHAIN {
        return Err(bad);
    }
    Ok(Some(chain))
}

fn required_chain(statement: &Value) -> Result<Vec<Vec<u8>>> {
    chain(statement)?.ok_or(refused("it has no certificate"))
}
