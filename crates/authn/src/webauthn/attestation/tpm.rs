//! `tpm` (§8.3): the attestation key of a TPM 2.0 certifies the credential key.

use ciborium::Value;
use x509_parser::{
    certificate::X509Certificate,
    der_parser::asn1_rs::{Oid, oid},
    extensions::{GeneralName, ParsedExtension},
};

use super::{Attested, Statement, algorithm, certificate, refused, required_chain, signature};
use crate::{
    tpm::structures::{self, Attest, Attested as What, Public, Unique},
    webauthn::{
        cbor,
        error::Result,
        key::{Material, PublicKey},
    },
};

/// `tcg-kp-AIKCertificate`.
const ATTESTATION_KEY: Oid<'static> = oid!(2.23.133.8.3);
/// `tcg-at-tpmManufacturer`, `tcg-at-tpmModel`, `tcg-at-tpmVersion`.
const HARDWARE: [Oid<'static>; 3] = [oid!(2.23.133.2.1), oid!(2.23.133.2.2), oid!(2.23.133.2.3)];

pub(super) fn verify(statement: &Value, attested: &Attested<'_>) -> Result<Statement> {
    let bytes = |name: &str| cbor::named(statement, name).and_then(Value::as_bytes);
    if cbor::named(statement, "ver").and_then(Value::as_text) != Some("2.0") {
        return Err(refused("it is not from a TPM 2.0"));
    }
    let algorithm = algorithm(statement)?;
    let chain = required_chain(statement)?;
    let (Some(info), Some(area)) = (bytes("certInfo"), bytes("pubArea")) else {
        return Err(refused("it has no certified key"));
    };

    let public = Public::parse(area).ok_or(refused("its key is malformed"))?;
    if !is_same_key(&public, attested.credential.key.material()) {
        return Err(refused("its key is not the key of the credential"));
    }
    let nothing = refused("it certifies nothing");
    let certified = Attest::parse(info).ok_or(nothing.clone())?;
    let What::Certify {
        name: certified_name,
    } = certified.attested
    else {
        return Err(nothing);
    };
    if certified.extra_data != attested.signed_digest(algorithm.digest()) {
        return Err(refused("it is for another registration"));
    }
    let Some(name) = structures::name(public.name_algorithm, &[area]) else {
        return Err(refused("its key is named by a hash that is not accepted"));
    };
    if certified_name != name {
        return Err(refused("it certifies another key"));
    }
    {
        let leaf = certificate::first(&chain)?;
        PublicKey::of_certificate(algorithm, leaf.public_key())?
            .verify(info, signature(statement)?)?;
        check_certificate(&leaf)?;
        certificate::check_model(&leaf, attested.credential.aaguid)?;
    }
    Ok(Statement::Certified(chain))
}

fn is_same_key(public: &Public<'_>, key: &Material) -> bool {
    match (&public.unique, key) {
        (Unique::Rsa { modulus, exponent }, Material::Rsa { n, e }) => {
            let zeros = |bytes: &[u8]| bytes.iter().take_while(|byte| **byte == 0).count();
            let exponent = exponent.to_be_bytes();
            let exponent = exponent.get(zeros(&exponent)..).unwrap_or_default();
            *modulus == n.as_slice() && exponent == e.as_slice()
        }
        (
            Unique::Point { curve, x, y },
            Material::Point {
                curve: other,
                point,
            },
        ) => {
            // TPMs can omit leading zeros.
            let length = point.len() / 2;
            let padded = |bytes: &[u8]| {
                let missing = length.checked_sub(bytes.len())?;
                Some([vec![0; missing].as_slice(), bytes].concat())
            };
            let (Some(x), Some(y)) = (padded(x), padded(y)) else {
                return false;
            };
            curve == other && *point == [&[4], x.as_slice(), &y].concat()
        }
        _ => false,
    }
}

/// Checks the certificate of the attestation key (§8.3.1).
fn check_certificate(leaf: &X509Certificate<'_>) -> Result<()> {
    certificate::check_leaf(leaf)?;
    if leaf.subject().iter().next().is_some() {
        return Err(refused("its certificate has a subject"));
    }
    let usage = leaf
        .extended_key_usage()
        .map_err(|_| refused("its certificate has an extension twice"))?;
    if !usage.is_some_and(|usage| usage.value.other.contains(&ATTESTATION_KEY)) {
        return Err(refused("its certificate is not for attestation keys"));
    }
    let mut names = leaf
        .extensions()
        .iter()
        .filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        })
        .flatten();
    let is_tpm = names.any(|name| match name {
        GeneralName::DirectoryName(directory) => {
            let has = |oid: &Oid<'_>| directory.iter_by_oid(oid).next().is_some();
            HARDWARE.iter().all(has)
        }
        _ => false,
    });
    if is_tpm {
        Ok(())
    } else {
        Err(refused("its certificate names no TPM"))
    }
}
