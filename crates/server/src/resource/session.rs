//! Sessions. Authentication creates them; administrators change their state.

use api::{
    core_v1::{Session, session::spec::State},
    resource::Object as _,
};
use domain::clock::UnixMillis;

use super::{
    authorization,
    draft::Draft,
    write::{Managed, Origin},
};
use crate::{Error, document::codec::Stored};

impl Managed for Session {
    const ORIGIN: Origin = Origin::Authentication;

    async fn prepare(
        draft: &mut Draft<'_>,
        new: &mut Self,
        old: Option<&Stored<Self>>,
    ) -> Result<(), Error> {
        authorization::check(draft, new, old).await?;
        let spec = new.spec_mut();
        let state = State::try_from(spec.state);
        if matches!(state, Err(_) | Ok(State::Unknown)) {
            return Err(Error::invalid(
                "spec.state must be ACTIVE, PENDING or REJECTED",
            ));
        }
        let expires_at = spec
            .expires_at
            .as_ref()
            .ok_or_else(|| Error::invalid("spec.expiresAt must be set"))?;
        if UnixMillis::from_proto(expires_at) <= draft.now {
            return Err(Error::invalid("spec.expiresAt must be in the future"));
        }
        let is_own = old.is_some_and(|old| draft.author.is_own_session(old.uid));
        if is_own && state != Ok(State::Active) {
            return Err(Error::denied(
                "Cannot set the state of your own Session to PENDING or REJECTED",
            ));
        }
        Ok(())
    }

    async fn release(draft: &mut Draft<'_>, old: &Stored<Self>) -> Result<(), Error> {
        if draft.author.is_own_session(old.uid) {
            return Err(Error::denied("Cannot delete own Session"));
        }
        Ok(())
    }
}
