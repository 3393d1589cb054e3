//! Document queries.

use std::pin::pin;

use deadpool_postgres::Client;
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use futures_util::TryStreamExt as _;
use tokio_postgres::{Error, Row, types::ToSql};

use super::error::failed;
use crate::{
    Bounds, Document, Order, Page, Pages, Query, Revision, StoreError, paging::Splitter, row,
    seal::WithSealed,
};

pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

pub(super) async fn get(
    client: &Client,
    kind: Kind,
    uid: Uid,
    now: UnixMillis,
) -> Result<Option<Document>, StoreError> {
    let mut found = documents(
        client,
        "SELECT kind, uid, name, revision, created_at, expires_at, body FROM documents
         WHERE kind = $1 AND uid = $2 AND expires_at > $3",
        &[&kind.as_str(), &uid.as_bytes().as_slice(), &now.0],
    )
    .await?;
    Ok(found.pop())
}

pub(super) async fn get_by_name(
    client: &Client,
    kind: Kind,
    name: &str,
    now: UnixMillis,
) -> Result<Option<Document>, StoreError> {
    // Names never contain NUL, and PostgreSQL rejects it.
    if name.contains('\0') {
        return Ok(None);
    }
    let mut found = documents(
        client,
        "SELECT kind, uid, name, revision, created_at, expires_at, body FROM documents
         WHERE kind = $1 AND name = $2 AND expires_at > $3",
        &[&kind.as_str(), &name, &now.0],
    )
    .await?;
    Ok(found.pop())
}

/// Returns the sealed part of a document.
pub(super) async fn sealed(
    client: &Client,
    kind: Kind,
    uid: Uid,
) -> Result<Option<Vec<u8>>, StoreError> {
    let rows = rows(
        client,
        "SELECT sealed FROM documents WHERE kind = $1 AND uid = $2",
        &[&kind.as_str(), &uid.as_bytes().as_slice()],
    )
    .await?;
    rows.first()
        .map_or(Ok(None), |row| row.try_get(0))
        .map_err(|error| reading(&error))
}

/// Returns a document and its sealed part, of the same revision.
pub(super) async fn get_with_sealed(
    client: &Client,
    kind: Kind,
    uid: Uid,
    now: UnixMillis,
) -> Result<Option<WithSealed>, StoreError> {
    let rows = rows(
        client,
        "SELECT kind, uid, name, revision, created_at, expires_at, body, sealed FROM documents
         WHERE kind = $1 AND uid = $2 AND expires_at > $3",
        &[&kind.as_str(), &uid.as_bytes().as_slice(), &now.0],
    )
    .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let sealed = row.try_get(7).map_err(|error| reading(&error))?;
    Ok(Some((document(row)?, sealed)))
}

/// Returns the documents after `after`, in the order of their uids.
pub(super) async fn scan(
    client: &Client,
    kind: Kind,
    after: Option<Uid>,
    limit: u32,
    now: UnixMillis,
) -> Result<Vec<Document>, StoreError> {
    let after = after.map(|uid| uid.as_bytes().to_vec()).unwrap_or_default();
    documents(
        client,
        "SELECT kind, uid, name, revision, created_at, expires_at, body FROM documents
         WHERE kind = $1 AND uid > $2 AND expires_at > $3 ORDER BY uid LIMIT $4",
        &[&kind.as_str(), &after, &now.0, &i64::from(limit)],
    )
    .await
}

/// Returns a page of documents and the total number.
pub(super) async fn list(client: &Client, query: &Query) -> Result<Page, StoreError> {
    let documents = page(client, query).await?;
    let read = u64::try_from(documents.len()).unwrap_or(u64::MAX);
    let is_last = read < u64::from(query.limit) && (read > 0 || query.offset == 0);
    let total = if is_last {
        query.offset.saturating_add(read)
    } else {
        total(client, query).await?
    };
    Ok(Page { documents, total })
}

/// Finds a page by the encoded sizes of its documents.
pub(super) async fn bounds(
    client: &Client,
    query: &Query,
    pages: Pages,
) -> Result<Bounds, StoreError> {
    let sql = select(query, "octet_length(d.body)");
    let kind = query.kind.as_str();
    let most = row::to_column(Splitter::max_items(pages));
    match &query.index {
        None => split(client, &sql, &[&kind, &query.now.0, &most, &0_i64], pages).await,
        Some((name, value)) => {
            let value = row::index_value(value);
            let parameters: Parameters<'_> = &[&kind, &query.now.0, &most, &0_i64, name, &value];
            split(client, &sql, parameters, pages).await
        }
    }
}

/// Finds a page, given a statement that returns the sizes of the items in order.
pub(super) async fn split(
    client: &Client,
    sql: &str,
    parameters: Parameters<'_>,
    pages: Pages,
) -> Result<Bounds, StoreError> {
    let reading = |error: Error| reading(&error);
    let statement = client.prepare_cached(sql).await.map_err(reading)?;
    let rows = client
        .query_raw(&statement, parameters.iter().copied())
        .await
        .map_err(reading)?;
    let mut rows = pin!(rows);
    let mut splitter = Splitter::new(pages);
    while let Some(row) = rows.try_next().await.map_err(reading)? {
        let size: i32 = row.try_get(0).map_err(reading)?;
        if splitter.add(row::from_column(size.into())) {
            break;
        }
    }
    Ok(splitter.bounds())
}

async fn page(client: &Client, query: &Query) -> Result<Vec<Document>, StoreError> {
    let sql = select(
        query,
        "d.kind, d.uid, d.name, d.revision, d.created_at, d.expires_at, d.body",
    );
    let kind = query.kind.as_str();
    let offset = row::to_column(query.offset);
    let limit = i64::from(query.limit);
    match &query.index {
        None => documents(client, &sql, &[&kind, &query.now.0, &limit, &offset]).await,
        Some((name, value)) => {
            let value = row::index_value(value);
            let parameters: Parameters<'_> = &[&kind, &query.now.0, &limit, &offset, name, &value];
            documents(client, &sql, parameters).await
        }
    }
}

/// Builds the statement that reads `columns` of a page. Parameters 3 and 4 are limit and offset.
fn select(query: &Query, columns: &str) -> String {
    let order = match query.order {
        Order::Created => "d.created_at, d.uid",
        Order::CreatedDescending => "d.created_at DESC, d.uid DESC",
        Order::Name => "d.name",
        Order::NameDescending => "d.name DESC",
    };
    match &query.index {
        None => format!(
            "SELECT {columns} FROM documents d
             WHERE d.kind = $1 AND d.expires_at > $2 ORDER BY {order} LIMIT $3 OFFSET $4"
        ),
        Some(_) => format!(
            "SELECT {columns}
             FROM entries e JOIN documents d ON d.kind = e.kind AND d.uid = e.uid
             WHERE e.kind = $1 AND e.name = $5 AND e.value = $6 AND e.expires_at > $2
             ORDER BY {order} LIMIT $3 OFFSET $4"
        ),
    }
}

async fn total(client: &Client, query: &Query) -> Result<u64, StoreError> {
    let kind = query.kind.as_str();
    let rows = match &query.index {
        None => {
            let sql = "SELECT count(*) FROM documents WHERE kind = $1 AND expires_at > $2";
            rows(client, sql, &[&kind, &query.now.0]).await?
        }
        Some((name, value)) => {
            let sql = "SELECT count(*) FROM entries
                       WHERE kind = $1 AND name = $3 AND value = $4 AND expires_at > $2";
            let value = row::index_value(value);
            rows(client, sql, &[&kind, &query.now.0, name, &value]).await?
        }
    };
    let total: i64 = rows
        .first()
        .map_or(Ok(0), |row| row.try_get(0))
        .map_err(|error| reading(&error))?;
    Ok(row::from_column(total))
}

pub(super) async fn rows(
    client: &Client,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<Row>, StoreError> {
    let statement = client
        .prepare_cached(sql)
        .await
        .map_err(|error| reading(&error))?;
    client
        .query(&statement, parameters)
        .await
        .map_err(|error| reading(&error))
}

async fn documents(
    client: &Client,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<Document>, StoreError> {
    rows(client, sql, parameters)
        .await?
        .iter()
        .map(document)
        .collect()
}

fn document(row: &Row) -> Result<Document, StoreError> {
    let reading = |error: Error| reading(&error);
    Ok(Document {
        kind: row::kind(row.try_get(0).map_err(reading)?)?,
        uid: row::uid(row.try_get(1).map_err(reading)?)?,
        name: row.try_get(2).map_err(reading)?,
        revision: Revision(row::from_column(row.try_get(3).map_err(reading)?)),
        created_at: UnixMillis(row.try_get(4).map_err(reading)?),
        expires_at: row::expiry_from_column(row.try_get(5).map_err(reading)?),
        body: row.try_get(6).map_err(reading)?,
    })
}

fn reading(error: &Error) -> StoreError {
    failed("reading", error)
}
