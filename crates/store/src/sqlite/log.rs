//! Queries of audit and access events.

use rusqlite::{Connection, params_from_iter, types::Value};

use super::query::split;
use crate::{
    Bounds, Pages, StoreError,
    paging::Splitter,
    row::{self, LogQuery, Operand},
};

/// Finds a page by the encoded sizes of its events.
pub(super) fn bounds(
    connection: &Connection,
    query: LogQuery,
    pages: Pages,
) -> Result<Bounds, StoreError> {
    let table = query.table;
    let (conditions, mut parameters) = where_clause(query);
    parameters.push(Value::Integer(row::to_column(Splitter::max_items(pages))));
    let mut statement = connection.prepare_cached(&format!(
        "SELECT length(body) FROM {table} WHERE {conditions} ORDER BY at DESC, id DESC LIMIT ?"
    ))?;
    split(statement.query(params_from_iter(&parameters))?, pages)
}

fn where_clause(query: LogQuery) -> (String, Vec<Value>) {
    let mut conditions = String::from("1");
    let mut parameters = Vec::new();
    for (column, operand) in query.conditions {
        conditions = format!("{conditions} AND {column} ?");
        parameters.push(match operand {
            Operand::Integer(number) => Value::Integer(number),
            Operand::Bytes(bytes) => Value::Blob(bytes),
            Operand::Text(text) => Value::Text(text),
        });
    }
    (conditions, parameters)
}

/// Returns a page of events, newest first, and the total number of matching events.
pub(super) fn page<T>(
    connection: &Connection,
    query: LogQuery,
    decode: fn(&[u8]) -> Result<T, StoreError>,
) -> Result<(Vec<T>, u64), StoreError> {
    let (table, limit, offset) = (query.table, query.limit, query.offset);
    let (conditions, mut parameters) = where_clause(query);
    let total: i64 = connection
        .prepare_cached(&format!("SELECT count(*) FROM {table} WHERE {conditions}"))?
        .query_row(params_from_iter(&parameters), |row| row.get(0))?;
    parameters.push(Value::Integer(limit.into()));
    parameters.push(Value::Integer(row::to_column(offset)));
    let mut statement = connection.prepare_cached(&format!(
        "SELECT body FROM {table} WHERE {conditions} ORDER BY at DESC, id DESC LIMIT ? OFFSET ?"
    ))?;
    let mut rows = statement.query(params_from_iter(&parameters))?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let body = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        events.push(decode(body)?);
    }
    Ok((events, row::from_column(total)))
}
