//! Reads resources from the store.

use domain::{clock::UnixMillis, id::Uid};
use store::{Order, Query, Store, StoreError};

use super::codec::{Resource, Stored, decode, decode_with_token_ids};

/// Returns the resource with this uid.
///
/// # Errors
/// Returns an error if the store cannot be read or the document is damaged.
pub async fn by_uid<T: Resource>(
    store: &dyn Store,
    uid: Uid,
    now: UnixMillis,
) -> Result<Option<Stored<T>>, StoreError> {
    let document = store.get(T::DOCUMENT, uid, now).await?;
    document.as_ref().map(decode).transpose()
}

/// Returns the resource with this uid and its token ids, for code that authenticates.
///
/// # Errors
/// Returns an error if the store cannot be read, or the document or secret is damaged.
pub async fn with_token_ids<T: Resource>(
    store: &dyn Store,
    uid: Uid,
    now: UnixMillis,
) -> Result<Option<Stored<T>>, StoreError> {
    let found = store.get_with_secret(T::DOCUMENT, uid, now).await?;
    found.as_ref().map(decode_with_token_ids).transpose()
}

/// Returns the resource with this name.
///
/// # Errors
/// Returns an error if the store cannot be read or the document is damaged.
pub async fn by_name<T: Resource>(
    store: &dyn Store,
    name: &str,
    now: UnixMillis,
) -> Result<Option<Stored<T>>, StoreError> {
    let document = store.get_by_name(T::DOCUMENT, name, now).await?;
    document.as_ref().map(decode).transpose()
}

/// Returns up to `limit` resources with an index entry, oldest first, and their total number.
///
/// # Errors
/// Returns an error if the store cannot be read or a document is damaged.
pub async fn by_index<T: Resource>(
    store: &dyn Store,
    index: &'static str,
    value: &str,
    limit: u32,
    now: UnixMillis,
) -> Result<(Vec<Stored<T>>, u64), StoreError> {
    let page = store
        .list(Query {
            kind: T::DOCUMENT,
            index: Some((index, value.to_owned())),
            order: Order::Created,
            offset: 0,
            limit,
            now,
        })
        .await?;
    let resources: Result<Vec<_>, _> = page.documents.iter().map(decode).collect();
    Ok((resources?, page.total))
}
