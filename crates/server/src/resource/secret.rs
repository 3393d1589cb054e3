//! Secrets. Their data is sealed, and no call returns it. `spec.data` is stored and returned in clear, so it accepts
//! only certificates.

use api::{
    core_v1::{IdentityProvider, Secret, secret},
    resource::Object as _,
};
use domain::kind::Kind;
use prost::Message as _;
use store::SecretWrite;
use zeroize::Zeroizing;

use super::{draft::Draft, write::Managed};
use crate::{
    Error,
    document::{
        codec::Stored,
        index,
        secret::{bytes, certificates},
    },
};

const BYTES: usize = 512 * 1024;

impl Managed for Secret {
    fn take_secret(&mut self) -> Result<SecretWrite, Error> {
        let data = self
            .data
            .take()
            .ok_or_else(|| Error::invalid("data must be set, with a value or valueBytes"))?;
        check_length(
            "data",
            match &data.r#type {
                Some(secret::data::Type::Value(value)) => value.len(),
                Some(secret::data::Type::ValueBytes(value)) => value.len(),
                None => 0,
            },
        )?;
        if let Some(beside) = self.spec.as_ref().and_then(|spec| spec.data.as_ref()) {
            check_beside(beside)?;
        }
        Ok(SecretWrite::Set(Zeroizing::new(data.encode_to_vec())))
    }

    async fn prepare(
        _draft: &mut Draft<'_>,
        _new: &mut Self,
        _old: Option<&Stored<Self>>,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn release(draft: &mut Draft<'_>, old: &Stored<Self>) -> Result<(), Error> {
        release(draft, old.message.name()).await
    }
}

/// Refuses to delete the client secret of a provider: logins at this provider would fail.
async fn release(draft: &mut Draft<'_>, name: &str) -> Result<(), Error> {
    let users = draft
        .by_index::<IdentityProvider>(index::SECRET, name, 1)
        .await?;
    if let Some(provider) = users.first() {
        return Err(Error::denied(format!(
            "The IdentityProvider {} uses this Secret. Change or delete it first",
            provider.message.name()
        )));
    }
    draft.limit(Kind::IdentityProvider, index::SECRET, name, 1);
    Ok(())
}

/// Refuses everything except certificates in `spec.data`.
fn check_beside(data: &secret::spec::Data) -> Result<(), Error> {
    let text = bytes(data);
    check_length("spec.data", text.len())?;
    if certificates::are_all(text) {
        return Ok(());
    }
    Err(Error::invalid(
        "spec.data must contain only certificates in PEM: every User who can read the Secret can read it. Put secret \
         values into data",
    ))
}

fn check_length(path: &str, length: usize) -> Result<(), Error> {
    if (1..=BYTES).contains(&length) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{path} has {length} bytes; it must have 1 to {BYTES}"
    )))
}
