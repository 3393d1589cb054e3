//! Refuses changes that would remove or lock out the last administrator.
//!
//! An administrator is a User who is neither disabled nor locked and holds one of these:
//! - a Credential whose current token can authenticate now and creates ACTIVE Sessions
//! - an ACTIVE Session without scopes that is valid now
//!
//! The Policies must also allow every method of the core API with it. The policy engine evaluates the objects as the
//! transaction will leave them. The check therefore covers every cause: a User, Group, Credential, Policy or the
//! `ClusterConfig`. A Policy that depends on more than the call itself, such as an address or a time, may exclude a
//! User. This errs towards refusing.
//!
//! The transaction holds the objects that prove a remaining administrator at their revisions. Two transactions that
//! remove each other's last administrator can therefore not both succeed.

use std::collections::BTreeSet;

use api::{
    core_v1::{Credential, Device, Group, Session, User, session::spec::State},
    resource::Object as _,
};
use domain::{credential, id::Uid, kind::Kind, session};
use store::Revision;

use super::{cluster_config, draft::Draft};
use crate::{
    Error,
    document::{
        codec::{self, Stored},
        index,
    },
};

mod access;

const CANDIDATES: u32 = 1000;
const SCANNED: u32 = 1000;

/// The revisions that prove that a User is an administrator.
type Evidence = Vec<(Kind, Uid, Revision)>;

/// Refuses a draft that removes the last administrator.
///
/// # Errors
/// Returns `FailedPrecondition` if the draft leaves no administrator although one exists now. Returns `Unavailable` or
/// `Internal` if the store fails.
pub async fn check(draft: &mut Draft<'_>) -> Result<(), Error> {
    let weakened = draft.weakened().clone();
    let takes_nothing = !weakened.shared && weakened.users.is_empty();
    if draft.author.is_cluster() || takes_nothing {
        return Ok(());
    }
    let author = draft.author;
    let own_user = author
        .actor()
        .and_then(|actor| actor.principal.user().uid().parse().ok());
    let mut remaining = match own_user {
        Some(user) => evidence(draft, user).await?,
        None => None,
    };
    let mut before = Draft::new(draft.context, author);
    if remaining.is_none() && !weakened.shared {
        let mut loses_one = false;
        for user in &weakened.users {
            loses_one |= evidence(&mut before, *user).await?.is_some();
        }
        if !loses_one {
            return Ok(());
        }
    }
    if remaining.is_none() {
        remaining = anybody(draft).await?;
    }
    if let Some(remaining) = remaining {
        for (kind, uid, revision) in remaining {
            draft.hold_revision(kind, uid, revision);
        }
        return Ok(());
    }
    if anybody(&mut before).await?.is_none() {
        // There is no administrator now, so the draft makes nothing worse and may be the recovery.
        return Ok(());
    }
    Err(Error::precondition(
        "After this change the Cluster would have no administrator: no enabled User with a valid Credential or Session \
         would be \
         allowed to call the whole core API. Give another User full access first",
    ))
}

/// Searches for any administrator.
async fn anybody(draft: &mut Draft<'_>) -> Result<Option<Evidence>, Error> {
    let mut asked = BTreeSet::new();
    // Credentials come first because they are fewer than Sessions.
    for kind in [Kind::Credential, Kind::Session] {
        let mut after = None;
        loop {
            let store = &draft.context.store;
            let documents = store.scan(kind, after, SCANNED, draft.now).await?;
            for document in &documents {
                let user = match kind {
                    Kind::Credential => user_of(&codec::decode::<Credential>(document)?.message),
                    _ => user_of(&codec::decode::<Session>(document)?.message),
                };
                let Some(user) = user.filter(|user| asked.insert(*user)) else {
                    continue;
                };
                if let Some(evidence) = evidence(draft, user).await? {
                    return Ok(Some(evidence));
                }
            }
            after = documents.last().map(|document| document.uid);
            if documents.len() < usize::try_from(SCANNED).unwrap_or(usize::MAX) {
                break;
            }
        }
    }
    Ok(None)
}

/// Returns the proof that the User is an administrator, or `None` if it is not one.
async fn evidence(draft: &mut Draft<'_>, uid: Uid) -> Result<Option<Evidence>, Error> {
    let Some(user) = draft.find_by_uid::<User>(uid).await? else {
        return Ok(None);
    };
    let is_disabled = user.message.spec().is_none_or(|spec| spec.is_disabled);
    let is_locked = user.message.status().is_none_or(|status| status.is_locked);
    if is_disabled || is_locked {
        return Ok(None);
    }
    let Some(mut api) = access::Api::load(draft).await? else {
        return Ok(None);
    };
    let mut groups: Vec<Stored<Group>> = Vec::new();
    for name in user
        .message
        .spec()
        .map(|spec| spec.groups.clone())
        .unwrap_or_default()
    {
        groups.extend(draft.find::<Group>(&name).await?);
    }
    let user_uid = uid.to_string();
    let credentials = draft
        .by_index::<Credential>(index::USER, &user_uid, CANDIDATES)
        .await?;
    for credential in &credentials {
        let Some(session) = session_of(draft, &user.message, &credential.message).await? else {
            continue;
        };
        if api
            .allows_every_method(draft, &user, &groups, &session, None)
            .await?
        {
            return Ok(Some(api.into_evidence(
                &user,
                &groups,
                vec![of(credential)],
            )));
        }
    }
    let sessions = draft
        .by_index::<Session>(index::USER, &user_uid, CANDIDATES)
        .await?;
    for session in &sessions {
        let (credential, device) = companions(draft, &session.message).await?;
        let stands = session::check(
            &session.message,
            &user.message,
            credential.as_ref().map(|credential| &credential.message),
            device.as_ref().map(|device| &device.message),
            draft.now,
        );
        let is_scoped = session
            .message
            .status()
            .is_none_or(|status| !status.scopes.is_empty());
        if stands.is_err() || is_scoped {
            continue;
        }
        let under = match &credential {
            Some(credential) => session::under_credential(&session.message, &credential.message),
            None => session.message.clone(),
        };
        let device_message = device.as_ref().map(|device| &device.message);
        if api
            .allows_every_method(draft, &user, &groups, &under, device_message)
            .await?
        {
            let mut held = vec![of(session)];
            held.extend(credential.as_ref().map(of));
            held.extend(device.as_ref().map(of));
            return Ok(Some(api.into_evidence(&user, &groups, held)));
        }
    }
    Ok(None)
}

/// Returns the Session that the Credential would create now. Returns `None` if it would create no active Session.
async fn session_of(
    draft: &mut Draft<'_>,
    user: &User,
    credential: &Credential,
) -> Result<Option<Session>, Error> {
    let Ok(generation) = credential::redeem_present(credential, draft.now) else {
        return Ok(None);
    };
    let token_id = draft.context.new_uid();
    let cluster = draft.find(cluster_config::NAME).await?;
    let cluster = cluster
        .map(|cluster: Stored<_>| cluster.message)
        .unwrap_or_default();
    let state = session::default_state(user, &cluster);
    if state != State::Active {
        return Ok(None);
    }
    let session_type = session::session_type(credential, "");
    let made = session::new_session(session::NewSession {
        uid: token_id,
        name: String::new(),
        user,
        credential: Some((credential, generation.version())),
        session_type,
        is_browser: false,
        scopes: Vec::new(),
        token_id,
        info: session::credential_info(credential, session::downstream(None, "")),
        lifetimes: session::lifetimes(user, &cluster, session_type),
        state,
        now: draft.now,
    });
    Ok(Some(session::under_credential(&made, credential)))
}

/// Returns the Credential and the Device that the Session refers to.
async fn companions(
    draft: &mut Draft<'_>,
    session: &Session,
) -> Result<(Option<Stored<Credential>>, Option<Stored<Device>>), Error> {
    let status = session.status().cloned().unwrap_or_default();
    let uid = |reference: Option<api::meta_v1::ObjectReference>| {
        reference.and_then(|reference| reference.uid.parse::<Uid>().ok())
    };
    let credential = match uid(status.credential_ref) {
        Some(uid) => draft.find_by_uid(uid).await?,
        None => None,
    };
    let device = match uid(status.device_ref) {
        Some(uid) => draft.find_by_uid(uid).await?,
        None => None,
    };
    Ok((credential, device))
}

fn user_of<T: codec::Resource>(message: &T) -> Option<Uid> {
    message
        .indexes()
        .into_iter()
        .find(|entry| entry.index == index::USER)
        .and_then(|entry| entry.value.parse().ok())
}

fn of<T: codec::Resource>(stored: &Stored<T>) -> (Kind, Uid, Revision) {
    (T::DOCUMENT, stored.uid, stored.revision)
}
