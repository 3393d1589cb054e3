//! Recovery of a Cluster whose administrators have lost their access.

use api::{
    core_v1::{Credential, Session, User, credential, session::status::Type as SessionType},
    meta_v1::Metadata,
};
use domain::{
    credential::{RECOVERY_LIFETIME, Rotation, recovery_until, rotate},
    id::Uid,
    kind::Kind,
    rng::random_string,
    token::Token,
};
use store::SecretWrite;

use super::{objects, sign};
use crate::{
    Context, Error,
    document::{
        codec::{self, Stored},
        index,
    },
    resource::{
        author::Author,
        draft::Draft,
        write::{self, Plan},
    },
};

const ROOT: &str = "root";
const SUFFIX_ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// The limit of a query for all Sessions of `root`. A User has at most 10,000.
const SESSIONS: u32 = u32::MAX >> 8;
/// The number of Credentials read at a time.
const PAGE: u32 = 1000;

/// Creates a one-time authentication token of User `root`. Creates or enables `root` if necessary, and ends its
/// Sessions.
///
/// The API evaluates no Policies for the Session that the token creates. All of this ends after 15 minutes.
/// Credentials of earlier recoveries are deleted.
///
/// The caller has the store and its master key, and could change anything anyway.
///
/// # Errors
/// Returns an error if the store fails.
pub async fn recover(context: &Context) -> Result<Token, Error> {
    let plan = Recover {
        token_id: context.new_uid(),
        name: format!(
            "recovery-{}",
            random_string(&*context.rng, SUFFIX_ALPHABET, 8)
        ),
    };
    let author = Author::cluster("recover");
    let credential = write::transact(context, &author, &plan).await?;
    sign(context, &credential, plan.token_id)
}

struct Recover {
    token_id: Uid,
    name: String,
}

impl Plan for Recover {
    type Output = Stored<Credential>;

    async fn stage(&self, draft: &mut Draft<'_>) -> Result<Self::Output, Error> {
        stage_root(draft).await?;
        let expires_at = draft.now.saturating_add(RECOVERY_LIFETIME);
        let credential = Credential {
            metadata: Some(Metadata {
                name: self.name.clone(),
                description: "Created for recovery".to_owned(),
                ..Metadata::default()
            }),
            spec: Some(credential::Spec {
                r#type: credential::spec::Type::AuthToken.into(),
                user: ROOT.to_owned(),
                session_type: SessionType::Client.into(),
                max_authentications: 1,
                expires_at: Some(expires_at.to_proto()),
                ..credential::Spec::default()
            }),
            ..Credential::default()
        };
        write::create(draft, credential).await?;
        let mut staged = draft
            .find::<Credential>(&self.name)
            .await?
            .ok_or_else(|| Error::internal("the recovery Credential was not staged"))?;
        rotate(
            &mut staged.message,
            Rotation::EndSessions,
            self.token_id,
            draft.now,
        )
        .map_err(|refusal| Error::internal(refusal.reason()))?;
        let status = staged.message.status.get_or_insert_default();
        status.recovery = true;
        status.recovery_until = Some(expires_at.to_proto());
        draft.replace(&staged, staged.message.clone(), SecretWrite::Keep)?;
        Ok(staged)
    }
}

/// Stages User `root` so that it can log in: creates it, or enables and unlocks it. Deletes its Sessions and the
/// Credentials of earlier recoveries.
async fn stage_root(draft: &mut Draft<'_>) -> Result<(), Error> {
    let Some(root) = draft.find::<User>(ROOT).await? else {
        for user in objects::users() {
            if user
                .metadata
                .as_ref()
                .is_some_and(|metadata| metadata.name == ROOT)
            {
                write::create(draft, user).await?;
            }
        }
        return Ok(());
    };
    delete_recovery_credentials(draft).await?;
    let uid = root.uid.to_string();
    for session in draft
        .by_index::<Session>(index::USER, &uid, SESSIONS)
        .await?
    {
        draft.delete(&session);
    }
    let mut enabled = root.message.clone();
    if let Some(spec) = &mut enabled.spec {
        spec.is_disabled = false;
    }
    if let Some(status) = &mut enabled.status {
        status.is_locked = false;
    }
    if enabled != root.message {
        draft.replace(&root, enabled, SecretWrite::Keep)?;
    }
    Ok(())
}

/// Stages the deletion of the Credentials of earlier recoveries. Reads all Credentials in pages, because their number
/// has no limit.
async fn delete_recovery_credentials(draft: &mut Draft<'_>) -> Result<(), Error> {
    let mut after = None;
    loop {
        let store = &draft.context.store;
        let documents = store.scan(Kind::Credential, after, PAGE, draft.now).await?;
        for document in &documents {
            let Ok(credential) = codec::decode::<Credential>(document) else {
                // Nothing authenticates with a damaged document, and `octeliumd doctor` reports it. It must not
                // prevent the recovery.
                continue;
            };
            if recovery_until(&credential.message).is_some() {
                draft.delete(&credential);
            }
        }
        let count = u32::try_from(documents.len()).unwrap_or(PAGE);
        if count < PAGE {
            return Ok(());
        }
        after = documents.last().map(|document| document.uid);
    }
}
