//! `apple` (§8.8): Apple's authority certifies the credential key for this registration.

use aws_lc_rs::digest::SHA256;
use ciborium::Value;
use x509_parser::der_parser::asn1_rs::{Any, FromDer as _, Oid, oid};

use super::{Attested, Statement, certificate, refused, required_chain};
use crate::webauthn::error::Result;

const NONCE: Oid<'static> = oid!(1.2.840.113635.100.8.2);

pub(super) fn verify(statement: &Value, attested: &Attested<'_>) -> Result<Statement> {
    let chain = required_chain(statement)?;
    {
        let leaf = certificate::first(&chain)?;
        let value = certificate::extension(&leaf, &NONCE)?;
        let nonce = value.and_then(nonce);
        if nonce != Some(attested.signed_digest(&SHA256).as_slice()) {
            return Err(refused("its certificate is for another registration"));
        }
        attested.check_key(leaf.public_key())?;
        certificate::check_leaf(&leaf)?;
    }
    Ok(Statement::Certified(chain))
}

/// Parses `SEQUENCE { [1] OCTET STRING }`.
fn nonce(value: &[u8]) -> Option<&[u8]> {
    let (rest, sequence) = Any::from_der(value).ok()?;
    let (behind, tagged) = Any::from_der(sequence.data).ok()?;
    let (after, octets) = Any::from_der(tagged.data).ok()?;
    let is_valid = rest.is_empty()
        && behind.is_empty()
        && after.is_empty()
        && sequence.tag().0 == 16
        && tagged.tag().0 == 1
        && octets.tag().0 == 4;
    is_valid.then_some(octets.data)
}
