//! The FIDO Metadata Service (MDS 3.1): which models of authenticators there are, who certifies them, and what is known
//! against them. What is fetched or read from a file is signed, so it does not matter where it comes from.

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
    json,
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

pub use attest::{Unattested, default_anchors};
pub use entry::{Entry, Standing, Status};

/// The largest that is read, in bytes. The published one has 6 MB.
pub const LARGEST: usize = 32 * 1024 * 1024;
/// Whose certificate signs what the FIDO Alliance publishes.
pub const PUBLISHER: &str = "mds.fidoalliance.org";

/// Who may sign.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// Authorities, in DER.
    pub anchors: &'a [Vec<u8>],
    /// The name in the certificate of the signer: the authorities certify others too.
    pub publisher: &'a str,
}

/// The metadata of all models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// `no`: a later one has a larger number.
    pub number: u64,
    /// `nextUpdate`: from the end of this day on there should be a later one.
    pub next_update: UnixMillis,
    /// The models.
    pub entries: Vec<Entry>,
}

/// Why metadata are not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// More than [`LARGEST`].
    #[error("the metadata have more than {LARGEST} bytes")]
    TooLarge,
    /// No JSON Web Signature of a metadata document.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// Signed by an algorithm that is not accepted.
    #[error("the metadata are signed by an algorithm that is not accepted")]
    Algorithm,
    /// The signer is not trusted.
    #[error("the signer of the metadata is not trusted: {0}")]
    Signer(#[from] ChainError),
    /// The signer is somebody else.
    #[error("the metadata are signed by a certificate of another name")]
    Publisher,
    /// The signature is wrong.
    #[error("the signature of the metadata is wrong")]
    Signature,
    /// A model stands there twice: which of them holds cannot be said.
    #[error("the model {0} stands in the metadata twice")]
    Twice(Aaguid),
    /// There are later ones already (MDS §3.2, step 8).
    #[error("the metadata have number {found}, and {known} was seen before")]
    Older {
        /// Theirs.
        found: u64,
        /// That of those which were seen.
        known: u64,
    },
}

impl Metadata {
    /// Verifies metadata in their published form, against those of number `known`.
    ///
    /// # Errors
    /// The first reason against them.
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
        let header = json::object(&decode(header)?).map_err(|_| form)?;
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

    /// Reads the payload, of which the signature was verified.
    fn read(payload: &[u8]) -> Result<Self, Rejected> {
        let form = Rejected::Malformed("the metadata");
        let document = json::object(payload).map_err(|_| form)?;
        let number = document.get("no").and_then(Value::as_u64).ok_or(form)?;
        let next_update = document.get("nextUpdate").and_then(Value::as_str);
        let next_update = next_update.and_then(entry::day).ok_or(form)?;
        let entries = document.get("entries").and_then(Value::as_array);
        // Models of UAF have neither of the two names that are of use here.
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

    /// What is known of a model.
    pub fn model(&self, aaguid: Aaguid) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.aaguid == Some(aaguid))
    }

    /// What is known of a model of U2F, by the key identifier (SHA-1 of the key, RFC 5280 §4.2.1.2 method 1) of its
    /// attestation certificate. Of several models that share the key the one that stands worst now.
    pub fn model_of_key(&self, identifier: &[u8], now: UnixMillis) -> Option<&Entry> {
        let of_key = |entry: &&Entry| {
            let mut known = entry.key_identifiers.iter();
            known.any(|known| known == identifier)
        };
        let entries = self.entries.iter().filter(of_key);
        entries.min_by_key(|entry| entry.standing(now))
    }
}

fn chain(header: Option<&Value>) -> Option<Vec<Vec<u8>>> {
    let certificates = header?.as_array()?.iter();
    certificates
        .map(|certificate| STANDARD.decode(certificate.as_str()?).ok())
        .collect()
}

/// As the web names servers: among the alternative names where there are any, else the common name.
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
