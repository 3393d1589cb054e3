//! `android-key` (§8.4): the key store certifies the key and describes its creation. A key store in software does not
//! prove the model.

use ciborium::Value;
use x509_parser::{
    certificate::X509Certificate,
    der_parser::asn1_rs::{Any, FromDer as _, Oid, oid},
};

use super::{Attested, Statement, algorithm, certificate, refused, required_chain, signature};
use crate::webauthn::{error::Result, key::PublicKey};

const KEY_DESCRIPTION: Oid<'static> = oid!(1.3.6.1.4.1.11129.2.1.17);
/// Tags of an `AuthorizationList`.
const PURPOSE: u32 = 1;
const ALL_APPLICATIONS: u32 = 600;
const ORIGIN: u32 = 702;
const SIGN: &[u8] = &[2];
const GENERATED: &[u8] = &[0];
/// `SecurityLevel`: `TrustedEnvironment` and `StrongBox`.
const IN_HARDWARE: [&[u8]; 2] = [&[1], &[2]];

pub(super) fn verify(statement: &Value, attested: &Attested<'_>) -> Result<Statement> {
    let algorithm = algorithm(statement)?;
    let chain = required_chain(statement)?;
    {
        let leaf = certificate::first(&chain)?;
        PublicKey::of_certificate(algorithm, leaf.public_key())?
            .verify(&attested.signed(), signature(statement)?)?;
        attested.check_key(leaf.public_key())?;
        if !check_description(&leaf, attested)? {
            return Ok(Statement::OwnKey);
        }
    }
    Ok(Statement::Certified(chain))
}

/// Returns true if the key store and the attestation are in hardware, according to the certificate.
fn check_description(leaf: &X509Certificate<'_>, attested: &Attested<'_>) -> Result<bool> {
    let malformed = refused("its key is not described");
    let description = certificate::extension(leaf, &KEY_DESCRIPTION)?;
    let description = description.and_then(whole).ok_or(malformed.clone())?;
    // Fields: version, attestation security level, key master version, key master security level, challenge, unique id,
    // software-enforced list, hardware-enforced list.
    let fields = items(description.data).ok_or(malformed.clone())?;
    let [
        _,
        attests,
        _,
        keeps,
        challenge,
        _,
        by_software,
        by_hardware,
        ..,
    ] = fields.as_slice()
    else {
        return Err(malformed);
    };
    if challenge.data != attested.client_data_hash {
        return Err(refused("its key was created for another registration"));
    }
    let mut enforced = Vec::new();
    for list in [by_software, by_hardware] {
        enforced.extend(items(list.data).ok_or(malformed.clone())?);
    }
    let find = |tag: u32| enforced.iter().filter(move |entry| entry.tag().0 == tag);
    if find(ALL_APPLICATIONS).next().is_some() {
        return Err(refused("its key is for all applications"));
    }
    // Missing entries are accepted: phones always include both, but the example in the standard omits them.
    let is_generated = find(ORIGIN)
        .map(|entry| whole(entry.data))
        .all(|origin| origin.is_some_and(|origin| origin.data == GENERATED));
    if !is_generated {
        return Err(refused("its key was not created in the key store"));
    }
    let is_for_signing = find(PURPOSE)
        .map(|entry| whole(entry.data).and_then(|set| items(set.data)))
        .all(|set| set.is_some_and(|set| matches!(set.as_slice(), [only] if only.data == SIGN)));
    if !is_for_signing {
        return Err(refused("its key is not only for signing"));
    }
    Ok([attests, keeps]
        .iter()
        .all(|level| IN_HARDWARE.contains(&level.data)))
}

fn whole(bytes: &[u8]) -> Option<Any<'_>> {
    match Any::from_der(bytes) {
        Ok(([], any)) => Some(any),
        _ => None,
    }
}

fn items(mut bytes: &[u8]) -> Option<Vec<Any<'_>>> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let (rest, item) = Any::from_der(bytes).ok()?;
        items.push(item);
        bytes = rest;
    }
    Some(items)
}
