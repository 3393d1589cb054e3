//! Document queries.

use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, Rows, params};

use crate::{
    Bounds, Document, Order, Page, Pages, Query, Revision, StoreError, paging::Splitter, row,
    seal::WithSealed,
};

pub(super) fn get(
    connection: &Connection,
    kind: Kind,
    uid: Uid,
    now: UnixMillis,
) -> Result<Option<Document>, StoreError> {
    one(
        connection,
        "SELECT kind, uid, name, revision, created_at, expires_at, body FROM documents
         WHERE kind = ?1 AND uid = ?2 AND expires_at > ?3",
        params![kind.as_str(), uid.as_bytes(), now.0],
    )
}

pub(super) fn get_by_name(
    connection: &Connection,
    kind: Kind,
    name: &str,
    now: UnixMillis,
) -> Result<Option<Document>, StoreError> {
    one(
        connection,
        "SELECT kind, uid, name, revision, created_at, expires_at, body FROM documents
         WHERE kind = ?1 AND name = ?2 AND expires_at > ?3",
        params![kind.as_str(), name, now.0],
    )
}

/// Returns the sealed part of a document.
pub(super) fn sealed(
    connection: &Connection,
    kind: Kind,
    uid: Uid,
) -> Result<Option<Vec<u8>>, StoreError> {
    let sealed = connection
        .prepare_cached("SELECT sealed FROM documents WHERE kind = ?1 AND uid = ?2")?
        .query_row(params![kind.as_str(), uid.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(sealed.flatten())
}

/// Returns a document and its sealed part, of the same revision.
pub(super) fn get_with_sealed(
    connection: &Connection,
    kind: Kind,
    uid: Uid,
    now: UnixMillis,
) -> Result<Option<WithSealed>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT kind, uid, name, revision, created_at, expires_at, body, sealed FROM documents
         WHERE kind = ?1 AND uid = ?2 AND expires_at > ?3",
    )?;
    let mut rows = statement.query(params![kind.as_str(), uid.as_bytes(), now.0])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some((document(row)?, row.get(7)?)))
}

/// Returns the documents after `after`, in the order of their uids.
pub(super) fn scan(
    connection: &Connection,
    kind: Kind,
    after: Option<Uid>,
    limit: u32,
    now: UnixMillis,
) -> Result<Vec<Document>, StoreError> {
    let after = after.map(|uid| uid.as_bytes().to_vec()).unwrap_or_default();
    many(
        connection,
        "SELECT kind, uid, name, revision, created_at, expires_at, body FROM documents
         WHERE kind = ?1 AND uid > ?2 AND expires_at > ?3 ORDER BY uid LIMIT ?4",
        params![kind.as_str(), after, now.0, limit],
    )
}

/// Returns a page of documents and the total number.
pub(super) fn list(connection: &Connection, query: &Query) -> Result<Page, StoreError> {
    let documents = page(connection, query)?;
    let read = u64::try_from(documents.len()).unwrap_or(u64::MAX);
    let is_last = read < u64::from(query.limit) && (read > 0 || query.offset == 0);
    let total = if is_last {
        query.offset.saturating_add(read)
    } else {
        total(connection, query)?
    };
    Ok(Page { documents, total })
}

/// Finds a page by the encoded sizes of its documents.
pub(super) fn bounds(
    connection: &Connection,
    query: &Query,
    pages: Pages,
) -> Result<Bounds, StoreError> {
    let sql = select(query, "length(d.body)");
    let kind = query.kind.as_str();
    let most = row::to_column(Splitter::max_items(pages));
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = match &query.index {
        None => statement.query(params![kind, query.now.0, most, 0])?,
        Some((name, value)) => {
            let value = row::index_value(value);
            statement.query(params![kind, query.now.0, most, 0, name, value])?
        }
    };
    split(rows, pages)
}

/// Finds a page, given rows with the sizes of the items in order.
pub(super) fn split(mut rows: Rows<'_>, pages: Pages) -> Result<Bounds, StoreError> {
    let mut splitter = Splitter::new(pages);
    while let Some(row) = rows.next()? {
        if splitter.add(row::from_column(row.get(0)?)) {
            break;
        }
    }
    Ok(splitter.bounds())
}

fn page(connection: &Connection, query: &Query) -> Result<Vec<Document>, StoreError> {
    let sql = select(
        query,
        "d.kind, d.uid, d.name, d.revision, d.created_at, d.expires_at, d.body",
    );
    let kind = query.kind.as_str();
    let offset = row::to_column(query.offset);
    match &query.index {
        None => many(
            connection,
            &sql,
            params![kind, query.now.0, query.limit, offset],
        ),
        Some((name, value)) => many(
            connection,
            &sql,
            params![
                kind,
                query.now.0,
                query.limit,
                offset,
                name,
                row::index_value(value)
            ],
        ),
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
             WHERE d.kind = ?1 AND d.expires_at > ?2 ORDER BY {order} LIMIT ?3 OFFSET ?4"
        ),
        Some(_) => format!(
            "SELECT {columns}
             FROM entries e CROSS JOIN documents d ON d.id = e.document
             WHERE e.kind = ?1 AND e.name = ?5 AND e.value = ?6 AND e.expires_at > ?2
             ORDER BY {order} LIMIT ?3 OFFSET ?4"
        ),
    }
}

fn total(connection: &Connection, query: &Query) -> Result<u64, StoreError> {
    let kind = query.kind.as_str();
    let total = match &query.index {
        None => connection
            .prepare_cached("SELECT count(*) FROM documents WHERE kind = ?1 AND expires_at > ?2")?
            .query_row(params![kind, query.now.0], |row| row.get(0))?,
        Some((name, value)) => connection
            .prepare_cached(
                "SELECT count(*) FROM entries
                 WHERE kind = ?1 AND name = ?3 AND value = ?4 AND expires_at > ?2",
            )?
            .query_row(
                params![kind, query.now.0, name, row::index_value(value)],
                |row| row.get(0),
            )?,
    };
    Ok(row::from_column(total))
}

fn one(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
) -> Result<Option<Document>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    rows.next()?.map(document).transpose()
}

fn many(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
) -> Result<Vec<Document>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut documents = Vec::new();
    while let Some(row) = rows.next()? {
        documents.push(document(row)?);
    }
    Ok(documents)
}

fn document(row: &Row<'_>) -> Result<Document, StoreError> {
    Ok(Document {
        kind: row::kind(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?,
        uid: row::uid(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?,
        name: row.get(2)?,
        revision: Revision(row::from_column(row.get(3)?)),
        created_at: UnixMillis(row.get(4)?),
        expires_at: row::expiry_from_column(row.get(5)?),
        body: row.get(6)?,
    })
}
