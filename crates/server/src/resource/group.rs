//! Groups.

use api::{
    core_v1::{Group, IdentityProvider, User},
    resource::Object as _,
};
use domain::kind::Kind;

use super::{attrs, authorization, draft::Draft, write::Managed};
use crate::{
    Error,
    document::{codec::Stored, index},
};

impl Managed for Group {
    async fn prepare(
        draft: &mut Draft<'_>,
        new: &mut Self,
        old: Option<&Stored<Self>>,
    ) -> Result<(), Error> {
        attrs::check("spec.attrs", new.spec_mut().attrs.as_ref())?;
        authorization::check(draft, new, old).await
    }

    async fn release(draft: &mut Draft<'_>, old: &Stored<Self>) -> Result<(), Error> {
        let name = old.message.name();
        if !draft
            .by_index::<User>(index::GROUP, name, 1)
            .await?
            .is_empty()
        {
            return Err(Error::denied(
                "There are Users belonging to this Group. Take them out of it first",
            ));
        }
        draft.limit(Kind::User, index::GROUP, name, 1);
        let providers = draft
            .by_index::<IdentityProvider>(index::GROUP, name, 1)
            .await?;
        if let Some(provider) = providers.first() {
            return Err(Error::denied(format!(
                "The IdentityProvider {} puts Users into this Group. Take it out of there first",
                provider.message.name()
            )));
        }
        draft.limit(Kind::IdentityProvider, index::GROUP, name, 1);
        Ok(())
    }
}
