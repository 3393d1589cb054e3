//! Kinds that clients cannot write, either not yet or by design.

use api::{
    core_v1::{Gateway, Region},
    resource::Object as _,
};

use super::{
    draft::Draft,
    write::{Managed, Origin},
};
use crate::{Error, document::codec::Stored};

/// Only the Cluster writes the Region.
impl Managed for Region {
    const ORIGIN: Origin = Origin::Cluster;

    async fn prepare(
        draft: &mut Draft<'_>,
        new: &mut Self,
        _old: Option<&Stored<Self>>,
    ) -> Result<(), Error> {
        if !draft.author.is_cluster() {
            return Err(Error::invalid("A Region cannot be written through the API"));
        }
        env!("CARGO_PKG_VERSION").clone_into(&mut new.status_mut().version);
        let domain = draft.context.domain.host();
        domain.clone_into(&mut new.status_mut().public_hostname);
        Ok(())
    }
}

impl Managed for Gateway {
    const ORIGIN: Origin = Origin::Cluster;

    async fn prepare(
        _draft: &mut Draft<'_>,
        _new: &mut Self,
        _old: Option<&Stored<Self>>,
    ) -> Result<(), Error> {
        Err(Error::invalid(
            "A Gateway cannot be written through the API",
        ))
    }
}
