//! Credentials. Creating one returns no token; tokens are issued separately.

use std::time::Duration;

use api::{
    core_v1::{
        Credential, Session, User,
        credential::{Spec, spec::Type},
        session::status::Type as SessionType,
        user::spec::Type as UserType,
    },
    resource::Object as _,
};
use domain::{clock::UnixMillis, credential, kind::Kind, rng};

use super::{authorization, draft::Draft, write::Managed};
use crate::{
    Error,
    document::{codec::Stored, index},
};

const AUTHENTICATIONS: u32 = 1_000_000;
/// Two years of 366 days.
const LIFETIME: Duration = Duration::from_hours(2 * 366 * 24);
const ID_ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const ID_PART: usize = 4;

impl Managed for Credential {
    async fn prepare(
        draft: &mut Draft<'_>,
        new: &mut Self,
        old: Option<&Stored<Self>>,
    ) -> Result<(), Error> {
        // Policies do not apply to its holder, so nothing about it may change, least of all its expiry.
        if old.is_some_and(|old| credential::recovery_until(&old.message).is_some()) {
            return Err(Error::precondition(
                "A recovery Credential cannot be changed. It expires on its own. Delete it, or run `octeliumd recover` \
                 on the machine of the Cluster for a new one",
            ));
        }
        authorization::check(draft, new, old).await?;
        let spec = new.spec_mut();
        if matches!(Type::try_from(spec.r#type), Err(_) | Ok(Type::Unknown)) {
            return Err(Error::invalid(
                "spec.type must be AUTH_TOKEN, OAUTH2 or ACCESS_TOKEN",
            ));
        }
        if SessionType::try_from(spec.session_type).is_err() {
            return Err(Error::invalid(
                "spec.sessionType must be CLIENT or CLIENTLESS, or left out",
            ));
        }
        check_uses(spec)?;
        let before = old.and_then(|old| old.message.spec());
        // An expired Credential can still be disabled.
        if before.is_none_or(|before| before.expires_at != spec.expires_at) {
            check_expiry(spec, draft.now)?;
        }
        if let Some(old) = before {
            if old.r#type != spec.r#type {
                return Err(Error::invalid("The Credential type cannot be modified"));
            }
            if old.user != spec.user {
                return Err(Error::invalid("The Credential User cannot be modified"));
            }
        }
        let (name, r#type) = (spec.user.clone(), spec.r#type());
        if name.is_empty() {
            return Err(Error::invalid("spec.user must be set"));
        }
        let user = draft
            .require::<User>(&name)
            .await?
            .ok_or_else(|| Error::invalid(format!("The User {name} does not exist")))?;
        let user_type = user.message.spec().map(api::core_v1::user::Spec::r#type);
        if r#type != Type::AuthToken && user_type != Some(UserType::Workload) {
            return Err(Error::invalid(
                "spec.type: OAUTH2 and ACCESS_TOKEN Credentials are for WORKLOAD Users only",
            ));
        }
        if old.is_none() {
            let id = unused_id(draft).await?;
            let status = new.status_mut();
            status.id = id;
            status.user_ref = Some(user.message.reference());
        }
        Ok(())
    }

    async fn release(draft: &mut Draft<'_>, old: &Stored<Self>) -> Result<(), Error> {
        // Deleting the Credential invalidates its Sessions in any case.
        let uid = old.uid.to_string();
        let sessions = draft
            .by_index::<Session>(index::CREDENTIAL, &uid, u32::MAX)
            .await?;
        for session in &sessions {
            draft.delete_dependent(session);
        }
        draft.limit(Kind::Session, index::CREDENTIAL, uid, 1);
        Ok(())
    }
}

fn check_uses(spec: &Spec) -> Result<(), Error> {
    if spec.max_authentications > AUTHENTICATIONS {
        return Err(Error::invalid(format!(
            "spec.maxAuthentications is {}; at most {AUTHENTICATIONS} are allowed",
            spec.max_authentications
        )));
    }
    if spec.auto_delete && spec.max_authentications == 0 {
        return Err(Error::invalid(
            "spec.autoDelete needs spec.maxAuthentications",
        ));
    }
    Ok(())
}

fn check_expiry(spec: &Spec, now: UnixMillis) -> Result<(), Error> {
    let Some(expires_at) = &spec.expires_at else {
        return Ok(());
    };
    let expires_at = UnixMillis::from_proto(expires_at);
    if expires_at <= now {
        return Err(Error::invalid("spec.expiresAt must be in the future"));
    }
    if expires_at > now.saturating_add(LIFETIME) {
        return Err(Error::invalid("spec.expiresAt must be within 2 years"));
    }
    Ok(())
}

async fn unused_id(draft: &mut Draft<'_>) -> Result<String, Error> {
    loop {
        let part = || rng::random_string(&*draft.context.rng, ID_ALPHABET, ID_PART);
        let id = format!("{}-{}", part(), part());
        if draft
            .by_index::<Credential>(index::ID, &id, 1)
            .await?
            .is_empty()
        {
            return Ok(id);
        }
    }
}
