//! Secrets. Their data is sealed, and no call returns it.

use api::{
    core_v1::{IdentityProvider, Secret, secret},
    resource::Object as _,
};
use domain::kind::Kind;
use prost::Message as _;
use store::SecretWrite;
use zeroize::Zeroizing;

use super::{codec::Stored, draft::Draft, index, write::Managed};
use crate::Error;

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
        Ok(SecretWrite::Set(Zeroizing::new(data.encode_to_vec())))
    }

    async fn prepare(
        _draft: &mut Draft<'_>,
        new: &mut Self,
        _old: Option<&Stored<Self>>,
    ) -> Result<(), Error> {
        use secret::spec::data::Type;
        let Some(data) = &new.spec_mut().data else {
            return Ok(());
        };
        check_length(
            "spec.data",
            match &data.r#type {
                Some(Type::Value(value)) => value.len(),
                Some(Type::ValueBytes(value)) => value.len(),
                None => 0,
            },
        )
    }

    async fn release(draft: &mut Draft<'_>, old: &Stored<Self>) -> Result<(), Error> {
        release(draft, old.message.name()).await
    }
}

/// Refuses to delete what a provider proves itself with: nobody could log in by it any more.
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

fn check_length(path: &str, length: usize) -> Result<(), Error> {
    if (1..=BYTES).contains(&length) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{path} has {length} bytes; it must have 1 to {BYTES}"
    )))
}
