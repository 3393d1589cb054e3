//! The FIDO Metadata Service (MDS 3.1): authenticator models, their trust anchors and known vulnerabilities. The
//! metadata are signed, so their transport does not have to be trusted.

use std::collections::HashSet;

use aws_lc_rs::signature::UnparsedPublicKey;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use domain::clock::UnixMillis;
use serde_json::Value;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, parse_x509_certificate};

use crate::{
    jws::{Algorithm, Verification},
    webauthn::Aaguid,
    x509::{self, ChainError},
};

mod attest;
mod entry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use attest::{AttestationRejection, default_anchors};
pub use entry::{AuthenticatorStatus, Entry, StatusReport};

/// Maximum size of the metadata, in bytes. The published document has about 6 MB.
pub const LARGEST: usize = 32 * 1024 * 1024;
/// Name in the certificate that signs the metadata of the FIDO Alliance.
pub const PUBLISHER: &str = "mds.fidoalliance.org";

/// Accepted signers of the metadata.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// Trust anchors, in DER.
    pub anchors: &'a [Vec<u8>],
    /// Name in the signer's certificate. It is required because the trust anchors also certify other parties.
    pub publisher: &'a str,
}

/// Verified metadata of all models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Serial number (`no`). It increases with every publication.
    pub number: u64,
    /// Day at which the next publication is due (`nextUpdate`), as its start in UTC.
    pub next_update: UnixMillis,
    /// Authenticator models.
    pub entries: Vec<Entry>,
}

/// Reasons why metadata are rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The document exceeds [`LARGEST`].
    #[error("the metadata have more than {LARGEST} bytes")]
    TooLarge,
    /// The document is not a signed metadata document.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// The signature algorithm is not supported.
    #[error("the metadata are signed by an algorithm that is not accepted")]
    Algorithm,
    /// The signer's certificate chain is not trusted.
    #[error("the signer of the metadata is not trusted: {0}")]
    Signer(#[from] ChainError),
    /// The signer's certificate has another name.
    #[error("the metadata are signed by a certificate of another name")]
    Publisher,
    /// The signature does not verify.
    #[error("the signature of the metadata is wrong")]
    Signature,
    /// Two entries describe the same model, so the valid one is ambiguous.
    #[error("the model {0} stands in the metadata twice")]
    Twice(Aaguid),
    /// A later document was already seen (MDS §3.2, step 8).
    #[error("the metadata have number {found}, and {known} was seen before")]
    Older {
        /// Serial number of this document.
        found: u64,
        /// Serial number of the known document.
        known: u64,
    },
}

impl Metadata {
    /// Verifies a published document. `known` is the serial number of the last accepted one.
    ///
    /// # Errors
    /// Returns the first [`Rejected`] that applies.
    pub fn verify(
        blob: &[u8],
        trust: Trust<'_>,
        known: Option<u64>,
        now: UnixMillis,
    ) -> Result<Self, Rejected> {
        if blob.len() > LARGEST {
            return Err(Rejected::TooLarge);
        }
        let form = Rejected::Malformed("the signature");
        let text = std::str::from_utf8(blob.trim_ascii()).map_err(|_| form)?;
        let (signed, signature) = text.rsplit_once('.').ok_or(form)?;
        let (header, payload) = signed.split_once('.').ok_or(form)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| form);
        let header = strict_json::object(&decode(header)?).map_err(|_| form)?;
        if header.contains_key("crit") {
            return Err(form);
        }
        let algorithm = header.get("alg").and_then(Value::as_str);
        let algorithm = algorithm
            .and_then(Algorithm::of)
            .ok_or(Rejected::Algorithm)?;
        let chain =
            chain(header.get("x5c")).ok_or(Rejected::Malformed("the chain of the signer"))?;

        x509::verify_chain(&chain, trust.anchors, now)?;
        let leaf = chain.first().map(Vec::as_slice).unwrap_or_default();
        let (_, leaf) = parse_x509_certificate(leaf).map_err(|_| ChainError::Malformed)?;
        if !is_named(&leaf, trust.publisher) {
            return Err(Rejected::Publisher);
        }
        verify(&leaf, algorithm, signed.as_bytes(), &decode(signature)?)?;

        let metadata = Self::read(&decode(payload)?)?;
        match known {
            Some(known) if metadata.number < known => Err(Rejected::Older {
                found: metadata.number,
                known,
            }),
            _ => Ok(metadata),
        }
    }

    /// Parses a payload whose signature was verified.
    fn read(payload: &[u8]) -> Result<Self, Rejected> {
        let form = Rejected::Malformed("the metadata");
        let document = strict_json::object(payload).map_err(|_| form)?;
        let number = document.get("no").and_then(Value::as_u64).ok_or(form)?;
        let next_update = document.get("nextUpdate").and_then(Value::as_str);
        let next_update = next_update.and_then(entry::day).ok_or(form)?;
        let entries = document.get("entries").and_then(Value::as_array);
        // Skips UAF models: they have neither an AAGUID nor key identifiers.
        let entries: Vec<Entry> = entries
            .ok_or(form)?
            .iter()
            .map(Entry::read)
            .collect::<Option<Vec<_>>>()
            .ok_or(form)?
            .into_iter()
            .flatten()
            .collect();
        let mut models = HashSet::new();
        for model in entries.iter().filter_map(|entry| entry.aaguid) {
            if !models.insert(model) {
                return Err(Rejected::Twice(model));
            }
        }
        Ok(Self {
            number,
            next_update,
            entries,
        })
    }

    /// Returns the entry of a FIDO2 model.
    pub fn model(&self, aaguid: Aaguid) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.aaguid == Some(aaguid))
    }

    /// Returns the entry of a U2F model. `identifier` is the key identifier of its attestation certificate (RFC 5280
    /// §4.2.1.2, method 1). If several models share the key, returns the one with the worst status.
    pub fn model_of_key(&self, identifier: &[u8], now: UnixMillis) -> Option<&Entry> {
        let of_key = |entry: &&Entry| {
            let mut known = entry.key_identifiers.iter();
            known.any(|known| known == identifier)
        };
        let entries = self.entries.iter().filter(of_key);
        entries.min_by_key(|entry| entry.authenticator_status(now))
    }
}

fn chain(header: Option<&Value>) -> Option<Vec<Vec<u8>>> {
    let certificates = header?.as_array()?.iter();
    certificates
        .map(|certificate| STANDARD.decode(certificate.as_str()?).ok())
        .collect()
}

/// Returns true if the certificate has the name: among the subject alternative names if present, otherwise as common
/// name.
fn is_named(certificate: &X509Certificate<'_>, name: &str) -> bool {
    match certificate.subject_alternative_name() {
        Ok(Some(names)) => {
            let mut names = names.value.general_names.iter();
            names.any(|found| matches!(found, GeneralName::DNSName(found) if *found == name))
        }
        Ok(None) => {
            let mut names = certificate.subject().iter_common_name();
            names.any(|found| found.as_str() == Ok(name))
        }
        Err(_) => false,
    }
}

fn verify(
    leaf: &X509Certificate<'_>,
    algorithm: Algorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Rejected> {
    let key = &leaf.public_key().subject_public_key.data;
    let verified = match algorithm.verification() {
        Verification::Rsa(parameters) => {
            UnparsedPublicKey::new(parameters, key).verify(message, signature)
        }
        Verification::Point(algorithm) => {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature)
        }
    };
    verified.map_err(|_| Rejected::Signature)
}
