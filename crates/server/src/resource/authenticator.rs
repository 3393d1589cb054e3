//! Authenticators. Users register them; administrators approve, reject and delete them.

use api::{
    core_v1::{Authenticator, Session, authenticator::spec::State},
    resource::Object as _,
};
use domain::authenticator;

use super::{
    draft::Draft,
    write::{Managed, Origin},
};
use crate::{
    Error,
    document::{codec::Stored, index},
};

mod reset;

pub use reset::Reset;

impl Managed for Authenticator {
    const ORIGIN: Origin = Origin::Authentication;

    async fn prepare(
        draft: &mut Draft<'_>,
        new: &mut Self,
        old: Option<&Stored<Self>>,
    ) -> Result<(), Error> {
        let spec = new.spec_mut();
        let state = State::try_from(spec.state);
        if matches!(state, Err(_) | Ok(State::Unknown)) {
            return Err(Error::invalid(
                "spec.state must be ACTIVE, PENDING or REJECTED",
            ));
        }
        if !authenticator::is_display_name(&spec.display_name) {
            return Err(Error::invalid(
                "spec.displayName must be at most 120 printable ASCII characters",
            ));
        }
        match state {
            // Approval clears the suspicion that the authenticator was cloned.
            Ok(State::Active) => new.status_mut().cloned_at = None,
            Ok(State::Rejected) => {
                if let Some(old) = old {
                    end_sessions(draft, old).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn release(draft: &mut Draft<'_>, old: &Stored<Self>) -> Result<(), Error> {
        end_sessions(draft, old).await?;
        draft.limit(
            domain::kind::Kind::Session,
            index::AUTHENTICATOR,
            old.uid.to_string(),
            1,
        );
        Ok(())
    }
}

/// Deletes the Sessions that were created with this Authenticator or require it.
async fn end_sessions(
    draft: &mut Draft<'_>,
    authenticator: &Stored<Authenticator>,
) -> Result<(), Error> {
    let uid = authenticator.uid.to_string();
    let sessions = draft
        .by_index::<Session>(index::AUTHENTICATOR, &uid, u32::MAX >> 8)
        .await?;
    for session in sessions {
        draft.delete_dependent(&session);
    }
    Ok(())
}
