//! Resets all second factors of a User who lost them.

use std::collections::BTreeMap;

use api::{
    core_v1::{Authenticator, User},
    platform_v1::{ResetAuthenticatorsRequest, ResetAuthenticatorsResponse},
    resource::Object as _,
};
use domain::kind::Kind;

use crate::{
    Error,
    document::index,
    resource::{
        administrators,
        draft::Draft,
        write::{Managed as _, Plan, find},
    },
};

/// Deletes the Authenticators of a User, the recovery codes and the count of wrong codes. Also ends the Sessions that
/// were created with one of them or require it.
pub struct Reset(pub ResetAuthenticatorsRequest);

impl Plan for Reset {
    type Output = ResetAuthenticatorsResponse;

    async fn stage(&self, draft: &mut Draft<'_>) -> Result<Self::Output, Error> {
        let reference = self.0.user_ref.clone().unwrap_or_default();
        let user = find::<User>(draft, &reference.name, &reference.uid).await?;
        if !reference.uid.is_empty() && reference.uid != user.message.uid() {
            return Err(Error::not_found(Kind::User, reference.uid));
        }
        let uid = user.uid.to_string();
        let all = draft
            .by_index::<Authenticator>(index::USER, &uid, u32::MAX >> 8)
            .await?;
        let had_more = draft.delete_internal(Kind::SecondFactors, user.uid).await?;
        if all.is_empty() && !had_more {
            return Ok(ResetAuthenticatorsResponse::default());
        }
        for authenticator in &all {
            draft.delete_dependent(authenticator);
            Authenticator::release(draft, authenticator).await?;
        }
        // If another one is added meanwhile, the transaction fails and is planned again.
        draft.limit(Kind::Authenticator, index::USER, uid, 1);
        draft.hold(&user);
        administrators::check(draft).await?;
        let (authenticators, sessions) = (all.len(), draft.count_deleted(Kind::Session));
        let attrs = BTreeMap::from([
            ("authenticators".to_owned(), authenticators.to_string()),
            ("sessions".to_owned(), sessions.to_string()),
        ]);
        if let Some(metadata) = user.message.metadata() {
            draft.record("user.authenticators_reset", Kind::User, metadata, attrs);
        }
        Ok(ResetAuthenticatorsResponse {
            deleted_authenticators: u32::try_from(authenticators).unwrap_or(u32::MAX),
            ended_sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
        })
    }
}
