//! Documents that are copied or removed without changes.

use std::collections::BTreeSet;

use api::{
    core_v1::{Authenticator, Session},
    meta_v1::ObjectReference,
};
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use server::document::{codec, load::with_token_ids};
use store::{
    AuditQuery, Document, Expected, IndexEntry, NewDocument, Operation, SecretWrite, Store,
    StoreError,
};

use super::{Carried, secret, write};
use crate::storage::all;

/// The number of audit events read at a time.
const PAGE: u32 = 1000;

/// Removes documents that no longer exist in `former`.
pub(super) async fn remove_missing(
    former: &dyn Store,
    restored: &dyn Store,
    kind: Kind,
    now: UnixMillis,
    carried: &mut Carried,
) -> anyhow::Result<()> {
    let present = uids(former, kind, now).await?;
    let mut operations = Vec::new();
    for uid in uids(restored, kind, now).await?.difference(&present) {
        *carried.removed.entry(kind).or_default() += 1;
        operations.push(Operation::Delete(kind, *uid, None));
    }
    write(restored, operations, now).await
}

/// Copies the signing keys created since the backup, because newer tokens are signed with them.
pub(super) async fn copy_signing_keys(
    former: &dyn Store,
    restored: &dyn Store,
    now: UnixMillis,
) -> anyhow::Result<()> {
    let mut operations = Vec::new();
    for document in missing(former, restored, Kind::SigningKey, now).await? {
        let Some(secret) = former.secret(Kind::SigningKey, document.uid).await? else {
            continue;
        };
        let indexes = server::keys::indexes(&document)?;
        operations.push(copy(document, indexes, SecretWrite::Set(secret)));
    }
    write(restored, operations, now).await
}

/// Copies the Sessions created since the backup, including those created with rotated tokens. Their validity depends on
/// their Users and Credentials, as usual.
pub(super) async fn copy_sessions(
    former: &dyn Store,
    restored: &dyn Store,
    now: UnixMillis,
) -> anyhow::Result<()> {
    let mut operations = Vec::new();
    for document in missing(former, restored, Kind::Session, now).await? {
        let Some(session) = with_token_ids::<Session>(former, document.uid, now).await? else {
            continue;
        };
        let document = codec::encode(
            session.uid,
            session.created_at,
            &session.message,
            SecretWrite::Keep,
        );
        operations.push(Operation::Put(document, Expected::Absent));
    }
    write(restored, operations, now).await
}

/// Copies the Authenticators added since the backup, because otherwise their Users would need fewer factors than
/// before. Authenticators of Users and Devices that do not exist are left out.
pub(super) async fn copy_authenticators(
    former: &dyn Store,
    restored: &dyn Store,
    now: UnixMillis,
) -> anyhow::Result<()> {
    let users = uids(restored, Kind::User, now).await?;
    let devices = uids(restored, Kind::Device, now).await?;
    let mut operations = Vec::new();
    for document in missing(former, restored, Kind::Authenticator, now).await? {
        let added = codec::decode::<Authenticator>(&document)?;
        let status = added.message.status.clone().unwrap_or_default();
        let is_in = |there: &BTreeSet<Uid>, reference: &ObjectReference| {
            let uid = reference.uid.parse::<Uid>();
            uid.is_ok_and(|uid| there.contains(&uid))
        };
        let has_user = status.user_ref.is_some_and(|user| is_in(&users, &user));
        let of = status.device_ref.filter(|device| !device.uid.is_empty());
        if has_user && of.is_none_or(|device| is_in(&devices, &device)) {
            let secret = secret(former, Kind::Authenticator, added.uid).await?;
            let document = codec::encode(added.uid, added.created_at, &added.message, secret);
            operations.push(Operation::Put(document, Expected::Absent));
        }
    }
    write(restored, operations, now).await
}

/// Copies the tokens that were revoked individually.
pub(super) async fn copy_revoked_tokens(
    former: &dyn Store,
    restored: &dyn Store,
    now: UnixMillis,
) -> anyhow::Result<()> {
    let missing = missing(former, restored, Kind::RevokedToken, now).await?;
    let operations = missing
        .into_iter()
        .map(|document| copy(document, Vec::new(), SecretWrite::Keep))
        .collect();
    write(restored, operations, now).await
}

/// Copies the audit events since the backup.
pub(super) async fn copy_audit(
    former: &dyn Store,
    restored: &dyn Store,
    since: UnixMillis,
) -> anyhow::Result<()> {
    let mut events = Vec::new();
    loop {
        let (page, total) = former
            .audit(AuditQuery {
                since: Some(since),
                offset: u64::try_from(events.len())?,
                limit: PAGE,
                ..AuditQuery::default()
            })
            .await?;
        let is_last = page.is_empty();
        events.extend(page);
        if is_last || u64::try_from(events.len())? >= total {
            break;
        }
    }
    // The query returns the newest events first.
    events.reverse();
    for page in events.chunks(usize::try_from(PAGE)?) {
        restored.append_audit(page.to_vec()).await?;
    }
    Ok(())
}

pub(super) async fn missing(
    former: &dyn Store,
    restored: &dyn Store,
    kind: Kind,
    now: UnixMillis,
) -> Result<Vec<Document>, StoreError> {
    let there = uids(restored, kind, now).await?;
    let mut documents = all(former, kind, now).await?;
    documents.retain(|document| !there.contains(&document.uid));
    Ok(documents)
}

pub(super) async fn uids(
    store: &dyn Store,
    kind: Kind,
    now: UnixMillis,
) -> Result<BTreeSet<Uid>, StoreError> {
    let documents = all(store, kind, now).await?;
    Ok(documents.into_iter().map(|document| document.uid).collect())
}

pub(super) fn copy(document: Document, indexes: Vec<IndexEntry>, secret: SecretWrite) -> Operation {
    let document = NewDocument {
        kind: document.kind,
        uid: document.uid,
        name: document.name,
        created_at: document.created_at,
        expires_at: document.expires_at,
        body: document.body,
        indexes,
        secret,
    };
    Operation::Put(document, Expected::Absent)
}
