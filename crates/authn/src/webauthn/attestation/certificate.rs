//! Attestation certificates.

use x509_parser::{
    certificate::X509Certificate,
    der_parser::asn1_rs::{FromDer as _, OctetString, Oid, oid},
    parse_x509_certificate,
    x509::X509Version,
};

use super::refused;
use crate::webauthn::{
    authenticator_data::Aaguid,
    error::{Refusal, Result},
};

/// `id-fido-gen-ce-aaguid`.
const AAGUID: Oid<'static> = oid!(1.3.6.1.4.1.45724.1.1.4);

pub(super) fn first(chain: &[Vec<u8>]) -> Result<X509Certificate<'_>> {
    let malformed = Refusal::Malformed("the attestation certificate");
    let bytes = chain.first().ok_or(malformed.clone())?;
    match parse_x509_certificate(bytes) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(malformed),
    }
}

/// Checks that the certificate has version 3 and is not a CA (§8.2.1, §8.3.1).
pub(super) fn check_leaf(certificate: &X509Certificate<'_>) -> Result<()> {
    if certificate.version() != X509Version::V3 {
        return Err(refused("its certificate is not of version 3"));
    }
    let constraints = certificate
        .basic_constraints()
        .map_err(|_| refused("its certificate has basic constraints twice"))?;
    if constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err(refused("its certificate is a CA certificate"));
    }
    Ok(())
}

/// Checks that the AAGUID in the certificate, if present, is the one of the authenticator.
pub(super) fn check_model(certificate: &X509Certificate<'_>, aaguid: Aaguid) -> Result<()> {
    let Some(value) = extension(certificate, &AAGUID)? else {
        return Ok(());
    };
    let Ok(([], named)) = OctetString::from_der(value) else {
        return Err(Refusal::Malformed("the model in the certificate"));
    };
    if named.as_ref() == aaguid.0 {
        Ok(())
    } else {
        Err(refused("its certificate is for another model"))
    }
}

pub(super) fn extension<'a>(
    certificate: &X509Certificate<'a>,
    oid: &Oid<'_>,
) -> Result<Option<&'a [u8]>> {
    certificate
        .get_extension_unique(oid)
        .map(|found| found.map(|extension| extension.value))
        .map_err(|_| refused("its certificate has an extension twice"))
}
