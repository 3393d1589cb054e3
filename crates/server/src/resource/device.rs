//! Devices. Users register them; administrators approve them.

use api::{
    core_v1::{Authenticator, Device, Session, device::spec::State},
    resource::Object as _,
};

use super::{
    authorization,
    draft::Draft,
    write::{Managed, Origin},
};
use crate::{
    Error,
    document::{
        codec::{Resource, Stored},
        index,
    },
};

impl Managed for Device {
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
        let is_own = old.is_some_and(|old| draft.author.is_own_device(old.uid));
        if is_own && state != Ok(State::Active) {
            return Err(Error::denied(
                "Cannot deactivate the Device that you are using",
            ));
        }
        Ok(())
    }

    async fn release(draft: &mut Draft<'_>, old: &Stored<Self>) -> Result<(), Error> {
        delete_all::<Session>(draft, old).await?;
        delete_all::<Authenticator>(draft, old).await
    }
}

async fn delete_all<T: Resource>(
    draft: &mut Draft<'_>,
    device: &Stored<Device>,
) -> Result<(), Error> {
    let uid = device.uid.to_string();
    for dependent in draft.by_index::<T>(index::DEVICE, &uid, u32::MAX).await? {
        draft.delete_dependent(&dependent);
    }
    draft.limit(T::DOCUMENT, index::DEVICE, uid, 1);
    Ok(())
}
