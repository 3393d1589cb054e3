//! Sessions. Authentication makes them; administrators change their state.

use api::{
    core_v1::{Session, session::spec::State},
    resource::Object as _,
};
use domain::{clock::UnixMillis, kind::Kind};

use super::{authorization, codec::Stored, draft::Draft, write, write::Managed};
use crate::Error;

impl Managed for Session {
    fn check_creatable(_draft: &Draft<'_>) -> Result<(), Error> {
        Err(write::not_creatable(Kind::Session))
    }

    fn overlay(old: &Self, sent: Self) -> Self {
        Self {
            spec: sent.spec,
            ..old.clone()
        }
    }

    async fn prepare(
        draft: &mut Draft<'_>,
        new: &mut Self,
        old: Option<&Stored<Self>>,
    ) -> Result<(), Error> {
        let spec = new.spec_mut();
        authorization::check(draft, spec.authorization.as_ref()).await?;
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
