//! Removal of Sessions that can never be used again. They would count against the limit of their User.

use std::collections::HashMap;

use api::core_v1::{Credential, Device, Session, User};
use domain::{clock::UnixMillis, credential, id::Uid, kind::Kind, session};
use store::{Operation, Store, StoreError, Transaction};

use crate::{
    Context,
    document::{
        codec::{self, Stored},
        index, load,
    },
};

const PAGE: u32 = 500;
/// Maximum number of Sessions of a User.
const OF_USER: u32 = 10_000;

/// Removes the dead Sessions of a User.
///
/// # Errors
/// Returns the error of the store.
pub(crate) async fn of_user(ctx: &Context, user: Uid) -> Result<(), StoreError> {
    let now = ctx.now();
    let uid = user.to_string();
    let (sessions, _) =
        load::by_index::<Session>(&*ctx.store, index::USER, &uid, OF_USER, now).await?;
    remove_dead(ctx, sessions, now).await
}

/// Removes the Sessions of a Credential that its rotation has ended.
///
/// # Errors
/// Returns the error of the store.
pub(crate) async fn of_credential(ctx: &Context, credential: Uid) -> Result<(), StoreError> {
    let now = ctx.now();
    let uid = credential.to_string();
    let (sessions, _) =
        load::by_index::<Session>(&*ctx.store, index::CREDENTIAL, &uid, OF_USER, now).await?;
    remove_dead(ctx, sessions, now).await
}

/// Removes all dead Sessions of the Cluster.
///
/// # Errors
/// Returns the error of the store.
pub(crate) async fn all(ctx: &Context) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let now = ctx.now();
        let documents = ctx.store.scan(Kind::Session, after, PAGE, now).await?;
        after = documents.last().map(|document| document.uid);
        let is_last = u32::try_from(documents.len()).unwrap_or(PAGE) < PAGE;
        let sessions: Result<Vec<_>, _> = documents.iter().map(codec::decode).collect();
        remove_dead(ctx, sessions?, now).await?;
        if is_last {
            return Ok(());
        }
    }
}

async fn remove_dead(
    ctx: &Context,
    sessions: Vec<Stored<Session>>,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let mut known = DependencyCache::default();
    for stored in sessions {
        if !known.is_dead(&*ctx.store, &stored.message, now).await? {
            continue;
        }
        let mut transaction = Transaction::at(now);
        transaction.push(Operation::Delete(
            Kind::Session,
            stored.uid,
            Some(stored.revision),
        ));
        match ctx.store.commit(transaction).await {
            Ok(_) | Err(store::CommitError::Conflict { .. }) => {}
            Err(store::CommitError::Store(error)) => return Err(error),
            Err(error) => tracing::error!(%error, "an ended Session could not be removed"),
        }
    }
    Ok(())
}

/// Cache of the objects that Sessions depend on, for one pass.
#[derive(Default)]
struct DependencyCache {
    users: HashMap<String, bool>,
    credentials: HashMap<String, Option<Credential>>,
    devices: HashMap<String, bool>,
}

impl DependencyCache {
    /// Returns whether the Session can never become valid again. A locked or disabled Session can.
    async fn is_dead(
        &mut self,
        store: &dyn Store,
        session: &Session,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        if session::is_over(session, now) {
            return Ok(true);
        }
        let Some(status) = &session.status else {
            return Ok(true);
        };
        let Some(user) = &status.user_ref else {
            return Ok(true);
        };
        if !present::<User>(store, &mut self.users, &user.uid, now).await? {
            return Ok(true);
        }
        if let Some(device) = &status.device_ref
            && !present::<Device>(store, &mut self.devices, &device.uid, now).await?
        {
            return Ok(true);
        }
        let Some(reference) = &status.credential_ref else {
            return Ok(false);
        };
        if !self.credentials.contains_key(&reference.uid) {
            let credential = match reference.uid.parse() {
                Ok(uid) => load::by_uid::<Credential>(store, uid, now).await?,
                Err(_) => None,
            };
            let credential = credential.map(|stored| stored.message);
            self.credentials.insert(reference.uid.clone(), credential);
        }
        let credential = self
            .credentials
            .get(&reference.uid)
            .and_then(Option::as_ref);
        Ok(credential
            .is_none_or(|credential| has_ended(credential, status.credential_version, now)))
    }
}

/// Returns whether the generation has ended for good. An expired Credential can still be extended.
fn has_ended(credential: &Credential, version: u32, now: UnixMillis) -> bool {
    matches!(
        credential::accepts_version(credential, version, now),
        Err(credential::Refusal::Superseded)
    )
}

async fn present<T: codec::Resource>(
    store: &dyn Store,
    known: &mut HashMap<String, bool>,
    uid: &str,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    if let Some(known) = known.get(uid) {
        return Ok(*known);
    }
    let is_present = match uid.parse() {
        Ok(uid) => store.get(T::DOCUMENT, uid, now).await?.is_some(),
        Err(_) => false,
    };
    known.insert(uid.to_owned(), is_present);
    Ok(is_present)
}
