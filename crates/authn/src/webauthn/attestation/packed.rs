//! `packed` (§8.2).

use ciborium::Value;
use x509_parser::certificate::X509Certificate;

use super::{Attested, Statement, algorithm, certificate, chain, refused, signature};
use crate::webauthn::{error::Result, key::PublicKey};

pub(super) fn verify(statement: &Value, attested: &Attested<'_>) -> Result<Statement> {
    let algorithm = algorithm(statement)?;
    let signature = signature(statement)?;
    let signed = attested.signed();
    let Some(chain) = chain(statement)? else {
        let key = &attested.credential.key;
        if key.algorithm() != algorithm {
            return Err(refused("it is a self-attestation with another algorithm"));
        }
        key.verify(&signed, signature)?;
        return Ok(Statement::OwnKey);
    };
    let leaf = certificate::first(&chain)?;
    PublicKey::of_certificate(algorithm, leaf.public_key())?.verify(&signed, signature)?;
    certificate::check_leaf(&leaf)?;
    check_subject(&leaf)?;
    certificate::check_model(&leaf, attested.credential.aaguid)?;
    Ok(Statement::Certified(chain))
}

/// Checks the subject (§8.2.1).
fn check_subject(certificate: &X509Certificate<'_>) -> Result<()> {
    let subject = certificate.subject();
    let unit = subject.iter_organizational_unit().next();
    let unit = unit.and_then(|unit| unit.as_str().ok());
    let has_country = subject
        .iter_country()
        .next()
        .and_then(|country| country.as_str().ok())
        .is_some_and(|country| country.len() == 2);
    let is_named = has_country
        && subject.iter_organization().next().is_some()
        && subject.iter_common_name().next().is_some();
    if is_named && unit == Some("Authenticator Attestation") {
        Ok(())
    } else {
        Err(refused("its certificate is not for attestation"))
    }
}
