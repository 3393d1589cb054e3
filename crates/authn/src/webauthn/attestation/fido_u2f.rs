//! `fido-u2f` (§8.6).

use ciborium::Value;

use super::{Attested, Statement, certificate, refused, required_chain, signature};
use crate::webauthn::{
    error::Result,
    key::{Algorithm, Material, PublicKey},
};

pub(super) fn verify(statement: &Value, attested: &Attested<'_>) -> Result<Statement> {
    let chain = required_chain(statement)?;
    if chain.len() != 1 {
        return Err(refused("it has more than one certificate"));
    }
    let Material::Point { curve: 1, point } = attested.credential.key.material() else {
        return Err(refused("its credential is not on P-256"));
    };
    let signed = [
        &[0],
        attested.rp_id_hash,
        attested.client_data_hash,
        attested.credential.id.as_slice(),
        point.as_slice(),
    ]
    .concat();
    {
        let leaf = certificate::first(&chain)?;
        PublicKey::of_certificate(Algorithm::Es256, leaf.public_key())?
            .verify(&signed, signature(statement)?)?;
    }
    Ok(Statement::Certified(chain))
}
