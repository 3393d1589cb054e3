//! Issuance and rotation of the secrets of Credentials.

use api::{
    core_v1::{
        Credential, CredentialToken, Session, User, credential::spec::Type, credential_token,
    },
    meta_v1::ObjectReference,
};
use domain::{
    clock::UnixMillis,
    credential::{self, Rotation},
    id::Uid,
    kind::Kind,
    session::{self, NewSession},
    token::{Claims, Token, TokenType},
};
use store::{CommitError, Expected, Operation, SecretWrite, Transaction};

use super::{reap, sign::SessionTokens};
use crate::{
    Actor, Context, Error,
    audit::{self, Change},
    document::{
        codec::{self, Stored},
        index, load,
    },
    resource::metadata,
    transaction::{Attempts, is_conflict},
};

/// Maximum number of Sessions read for an access-token Credential. It has one per live generation, plus those that a
/// crash left behind.
const SESSIONS: u32 = 16;

/// Creates a new secret for a Credential. The previous secret and all Sessions that it created end at once. Only the
/// response contains the secret.
///
/// # Errors
/// Returns the errors of [`rotate`].
pub async fn generate(
    ctx: &Context,
    actor: &Actor,
    credential: &ObjectReference,
) -> Result<CredentialToken, Error> {
    rotate(ctx, actor, credential, Rotation::EndSessions).await
}

/// Creates a new secret for a Credential. `rotation` selects what happens to the previous secret.
///
/// # Errors
/// Returns `NotFound` if the Credential does not exist, `InvalidArgument` if it is disabled, locked or expired, or
/// does not support this rotation, or `FailedPrecondition` if its User cannot have the Session that an access token
/// needs.
pub async fn rotate(
    ctx: &Context,
    actor: &Actor,
    credential: &ObjectReference,
    rotation: Rotation,
) -> Result<CredentialToken, Error> {
    let mut uid = find(ctx, credential).await?;
    let _lock = ctx.authentication.lock(uid).await;
    let mut attempts = Attempts::default();
    loop {
        let started = attempts.start().await;
        started.map_err(|_| Error::conflict(Kind::Credential, uid))?;
        match attempt(ctx, actor, uid, rotation).await? {
            Some(token) => return Ok(token),
            // The Credential changed in the meantime. It may have been deleted and created again.
            None => uid = find(ctx, credential).await?,
        }
    }
}

/// Makes one attempt. Returns `None` if the Credential changed since it was read.
async fn attempt(
    ctx: &Context,
    actor: &Actor,
    uid: Uid,
    rotation: Rotation,
) -> Result<Option<CredentialToken>, Error> {
    let now = ctx.now();
    let Some(mut stored) = load::with_token_ids::<Credential>(&*ctx.store, uid, now).await? else {
        return Err(Error::not_found(Kind::Credential, uid));
    };
    let credential = &mut stored.message;
    let is_first = credential
        .status
        .as_ref()
        .is_none_or(|status| status.version == 0);
    let token_id = ctx.new_uid();
    credential::rotate(credential, rotation, token_id, now).map_err(|refusal| {
        Error::invalid(sentence(&refusal.to_string())).because(refusal.reason())
    })?;
    credential.metadata.get_or_insert_default().updated_at = Some(now.to_proto());

    let mut transaction = Transaction::at(now);
    let session = match credential_type(credential) {
        Type::AccessToken => {
            Some(access_token_session(ctx, &mut transaction, credential, uid, token_id, now).await?)
        }
        Type::AuthToken | Type::Oauth2 => None,
        Type::Unknown => return Err(Error::invalid("The Credential has no type")),
    };
    transaction.push(Operation::Put(
        codec::encode(uid, stored.created_at, &stored.message, SecretWrite::Keep),
        Expected::Revision(stored.revision),
    ));
    let change = if is_first {
        Change::Issued
    } else {
        Change::Rotated
    };
    let metadata = stored.message.metadata.clone().unwrap_or_default();
    transaction.push(audit::change(
        ctx,
        actor,
        change,
        Kind::Credential,
        &metadata,
    ));
    match ctx.store.commit(transaction).await {
        Ok(committed) => {
            ctx.directory.forget(&[uid]);
            ctx.directory.catch_up(committed.cursor).await;
        }
        Err(error) if is_conflict(&error) => return Ok(None),
        Err(CommitError::LimitReached { .. }) => {
            return Err(Error::precondition(
                "The User has reached its limit of Sessions",
            ));
        }
        Err(error) => return Err(error.into()),
    }
    remove_ended(ctx, uid);
    token(ctx, &stored, session.as_ref(), token_id, now).map(Some)
}

/// Builds the Session of an access token. Also deletes the Sessions of generations that end.
async fn access_token_session(
    ctx: &Context,
    transaction: &mut Transaction,
    credential: &Credential,
    uid: Uid,
    token_id: Uid,
    now: UnixMillis,
) -> Result<Session, Error> {
    let reference = credential
        .status
        .as_ref()
        .and_then(|status| status.user_ref.as_ref());
    let user_uid = reference.and_then(|reference| reference.uid.parse().ok());
    let user = match user_uid {
        Some(uid) => load::by_uid::<User>(&*ctx.store, uid, now).await?,
        None => None,
    };
    let user =
        user.ok_or_else(|| Error::precondition("The User of the Credential does not exist"))?;
    if user
        .message
        .spec
        .as_ref()
        .is_some_and(|spec| spec.is_disabled)
    {
        return Err(Error::precondition(
            "The User of the Credential is disabled",
        ));
    }

    let value = uid.to_string();
    let (sessions, _) =
        load::by_index::<Session>(&*ctx.store, index::CREDENTIAL, &value, SESSIONS, now).await?;
    for stored in sessions {
        let version = stored
            .message
            .status
            .as_ref()
            .map_or(0, |status| status.credential_version);
        if credential::accepts_version(credential, version, now).is_err() {
            transaction.push(Operation::Delete(Kind::Session, stored.uid, None));
        }
    }

    let config = ctx.directory.cluster_config();
    let session_type = session::session_type(credential, "");
    let mut lifetimes = session::lifetimes(&user.message, &config, session_type);
    // This Session has no other token, so it lives at least as long as an access token.
    lifetimes.session = lifetimes.session.max(lifetimes.access_token);
    let version = credential
        .status
        .as_ref()
        .map_or(0, |status| status.version);
    let user_name = user
        .message
        .metadata
        .as_ref()
        .map_or("", |metadata| metadata.name.as_str());
    let session_uid = ctx.new_uid();
    let session = session::new_session(NewSession {
        uid: session_uid,
        name: session::new_name(user_name, &*ctx.rng),
        user: &user.message,
        credential: Some((credential, version)),
        session_type,
        is_browser: false,
        scopes: Vec::new(),
        token_id,
        info: session::credential_info(credential, session::downstream(None, "")),
        lifetimes,
        state: session::default_state(&user.message, &config),
        now,
    });
    transaction.push(Operation::Unchanged(Kind::User, user.uid, user.revision));
    transaction.push(Operation::Limit {
        kind: Kind::Session,
        index: index::USER,
        value: user.uid.to_string(),
        below: session::max_per_user(&user.message, &config),
    });
    transaction.push(Operation::Put(
        codec::encode(session_uid, now, &session, SecretWrite::Keep),
        Expected::Absent,
    ));
    Ok(session)
}

fn token(
    ctx: &Context,
    stored: &Stored<Credential>,
    session: Option<&Session>,
    token_id: Uid,
    now: UnixMillis,
) -> Result<CredentialToken, Error> {
    let credential = &stored.message;
    let r#type = if let Some(session) = session {
        let tokens = SessionTokens::sign(ctx, session, Some(credential), now)?;
        credential_token::Type::AccessToken(credential_token::AccessToken {
            access_token: tokens.into_access().expose().to_owned(),
        })
    } else {
        let secret = sign(ctx, stored, token_id, now)?.expose().to_owned();
        if credential_type(credential) == Type::Oauth2 {
            let status = credential.status.as_ref();
            credential_token::Type::Oauth2Credentials(credential_token::OAuth2Credentials {
                client_id: status.map(|status| status.id.clone()).unwrap_or_default(),
                client_secret: secret,
            })
        } else {
            credential_token::Type::AuthenticationToken(credential_token::AuthenticationToken {
                authentication_token: secret,
            })
        }
    };
    Ok(CredentialToken {
        r#type: Some(r#type),
    })
}

/// Signs the current secret of a new Credential.
///
/// # Errors
/// Returns an error if no signing key is available or the Credential has no secret.
pub(super) fn secret(
    ctx: &Context,
    stored: &Stored<Credential>,
    now: UnixMillis,
) -> Result<Token, Error> {
    let token_id = stored
        .message
        .status
        .as_ref()
        .map_or("", |status| &status.token_id);
    sign(ctx, stored, token_id.parse().map_err(Error::internal)?, now)
}

/// Signs the secret. It carries no expiry, because the current expiry of its Credential applies when it is used.
fn sign(
    ctx: &Context,
    stored: &Stored<Credential>,
    token_id: Uid,
    now: UnixMillis,
) -> Result<Token, Error> {
    let signer = ctx.keys.signer(now)?;
    Ok(signer.sign(&Claims {
        token_type: TokenType::Credential,
        key_id: signer.id(),
        subject: stored.uid,
        token_id,
        expires_at: None,
        credential_version: stored
            .message
            .status
            .as_ref()
            .map_or(0, |status| status.version),
        audience: ctx.cluster_uid,
    }))
}

/// Removes the Sessions of ended generations, so that they no longer count against the limit. They are refused
/// already.
fn remove_ended(ctx: &Context, credential: Uid) {
    let ctx = ctx.clone();
    tokio::spawn(async move {
        if let Err(error) = reap::of_credential(&ctx, credential).await {
            tracing::warn!(%error, "the ended Sessions of a Credential will be removed later");
        }
    });
}

async fn find(ctx: &Context, reference: &ObjectReference) -> Result<Uid, Error> {
    let now = ctx.now();
    metadata::check_lengths(Kind::Credential, &reference.name, &reference.uid)?;
    let found = if reference.uid.is_empty() {
        if reference.name.is_empty() {
            return Err(Error::invalid("credentialRef needs a name or a uid"));
        }
        load::by_name::<Credential>(&*ctx.store, &reference.name, now).await?
    } else {
        let uid = reference
            .uid
            .parse()
            .map_err(|_| Error::invalid("credentialRef.uid is not a UUID"))?;
        let found = load::by_uid::<Credential>(&*ctx.store, uid, now).await?;
        found.filter(|stored| {
            let metadata = stored.message.metadata.as_ref();
            reference.name.is_empty()
                || metadata.is_some_and(|metadata| metadata.name == reference.name)
        })
    };
    let which = if reference.name.is_empty() {
        &reference.uid
    } else {
        &reference.name
    };
    found
        .map(|stored| stored.uid)
        .ok_or_else(|| Error::not_found(Kind::Credential, which))
}

fn credential_type(credential: &Credential) -> Type {
    credential
        .spec
        .as_ref()
        .map_or(Type::Unknown, api::core_v1::credential::Spec::r#type)
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    format!(
        "{}{}",
        first.map(String::from).unwrap_or_default(),
        characters.as_str()
    )
}
