//! Queries of audit and access events.

use deadpool_postgres::Client;
use tokio_postgres::types::ToSql;

use super::{
    error::failed,
    query::{rows, split},
};
use crate::{
    Bounds, Pages, StoreError,
    paging::Splitter,
    row::{self, LogQuery, Operand},
};

/// Finds a page by the encoded sizes of its events.
pub(super) async fn bounds(
    client: &Client,
    query: LogQuery,
    pages: Pages,
) -> Result<Bounds, StoreError> {
    let (conditions, mut parameters) = where_clause(&query);
    let table = query.table;
    let sql = format!(
        "SELECT octet_length(body) FROM {table} WHERE {conditions} ORDER BY at DESC, id DESC LIMIT ${}",
        parameters.len() + 1
    );
    let most = row::to_column(Splitter::max_items(pages));
    parameters.push(&most);
    split(client, &sql, &parameters, pages).await
}

fn where_clause(query: &LogQuery) -> (String, Vec<&(dyn ToSql + Sync)>) {
    let mut conditions = String::from("true");
    let mut parameters: Vec<&(dyn ToSql + Sync)> = Vec::new();
    for (column, operand) in &query.conditions {
        parameters.push(match operand {
            Operand::Integer(number) => number,
            Operand::Bytes(bytes) => bytes,
            Operand::Text(text) => text,
        });
        conditions = format!("{conditions} AND {column} ${}", parameters.len());
    }
    (conditions, parameters)
}

/// Returns a page of events, newest first, and the total number of matching events.
pub(super) async fn page<T>(
    client: &Client,
    query: LogQuery,
    decode: fn(&[u8]) -> Result<T, StoreError>,
) -> Result<(Vec<T>, u64), StoreError> {
    let (conditions, mut parameters) = where_clause(&query);
    let table = query.table;
    let malformed = |error| failed("reading events", &error);
    let count = format!("SELECT count(*) FROM {table} WHERE {conditions}");
    let total: i64 = rows(client, &count, &parameters)
        .await?
        .first()
        .map_or(Ok(0), |row| row.try_get(0))
        .map_err(malformed)?;
    let (limit, offset) = (i64::from(query.limit), row::to_column(query.offset));
    let page = format!(
        "SELECT body FROM {table} WHERE {conditions} ORDER BY at DESC, id DESC LIMIT ${} OFFSET ${}",
        parameters.len() + 1,
        parameters.len() + 2
    );
    parameters.extend([&limit as &(dyn ToSql + Sync), &offset]);
    let events = rows(client, &page, &parameters)
        .await?
        .iter()
        .map(|row| decode(row.try_get(0).map_err(malformed)?))
        .collect::<Result<_, _>>()?;
    Ok((events, row::from_column(total)))
}
