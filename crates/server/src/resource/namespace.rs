//! Namespaces.

use api::{
    core_v1::{Namespace, Service},
    resource::Object as _,
};
use domain::{kind::Kind, name};

use super::{attrs, authorization, draft::Draft, write::Managed};
use crate::{
    Error,
    document::{codec::Stored, index},
};

/// Reserved prefixes of Namespace names.
const RESERVED: &[&str] = &["octelium", "local", "cordium"];

impl Managed for Namespace {
    async fn prepare(
        draft: &mut Draft<'_>,
        new: &mut Self,
        old: Option<&Stored<Self>>,
    ) -> Result<(), Error> {
        authorization::check(draft, new, old).await?;
        let spec = new.spec_mut();
        attrs::check("spec.attrs", spec.attrs.as_ref())?;
        if old.is_some() || draft.author.is_cluster() {
            return Ok(());
        }
        let name = new.name();
        if let Some(reserved) = RESERVED
            .iter()
            .find(|reserved| name.starts_with(**reserved))
        {
            return Err(Error::invalid(format!(
                "metadata.name: names of Namespaces that begin with `{reserved}` are reserved"
            )));
        }
        // The Namespace and the Service would share a host name.
        let service = name::service_full_name(name);
        if draft.find::<Service>(&service).await?.is_some() {
            return Err(Error::invalid(format!(
                "metadata.name: there is a Service {service} already, which has the same host name"
            )));
        }
        Ok(())
    }

    async fn release(draft: &mut Draft<'_>, old: &Stored<Self>) -> Result<(), Error> {
        let uid = old.uid.to_string();
        if !draft
            .by_index::<Service>(index::NAMESPACE, &uid, 1)
            .await?
            .is_empty()
        {
            return Err(Error::denied(
                "Namespace has existing Services. Delete them first",
            ));
        }
        draft.limit(Kind::Service, index::NAMESPACE, uid, 1);
        Ok(())
    }
}
