//! The stored form of a signing key.

use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use prost::Message as _;
use store::{Document, IndexEntry, NewDocument, SecretWrite};

/// The index of the generation. It is unique, so replicas cannot create two keys of one generation.
const GENERATION: &str = "generation";

/// The part of a signing key that is not encrypted.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Record {
    /// The 32 bytes of an Ed25519 public key (RFC 8032).
    #[prost(bytes = "vec", tag = "1")]
    pub(super) public_key: Vec<u8>,
    /// Counts from 1.
    #[prost(uint64, tag = "2")]
    pub(super) generation: u64,
    /// The time from which the key signs. It is later than the publication, except for the first key.
    #[prost(int64, tag = "3")]
    pub(super) signs_from_millis: i64,
}

impl Record {
    pub(super) fn signs_from(&self) -> UnixMillis {
        UnixMillis(self.signs_from_millis)
    }

    pub(super) fn decode_from(document: &Document) -> Result<Self, prost::DecodeError> {
        Self::decode(document.body.as_slice())
    }

    pub(super) fn indexes(&self) -> Vec<IndexEntry> {
        vec![IndexEntry {
            index: GENERATION,
            value: self.generation.to_string(),
            unique: true,
        }]
    }

    /// Returns the document of a new key.
    pub(super) fn to_document(
        &self,
        key: &domain::token::SigningKey,
        now: UnixMillis,
    ) -> NewDocument {
        let id: Uid = key.id();
        NewDocument {
            kind: Kind::SigningKey,
            uid: id,
            name: id.to_string(),
            created_at: now,
            expires_at: None,
            body: self.encode_to_vec(),
            indexes: self.indexes(),
            secret: SecretWrite::Set(key.to_pkcs8()),
        }
    }
}
