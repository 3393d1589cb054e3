//! Consistency checks and key rotation.

use domain::kind::Kind;
use rusqlite::{Connection, params};

use super::schema;
use crate::{
    Finding, StoreError, row,
    seal::{Sealer, SecretLocation},
};

/// Checks the database for problems.
pub(super) fn check(connection: &Connection, sealer: &Sealer) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    for line in lines {
        let line = line?;
        if line != "ok" {
            findings.push(Finding(format!("integrity: {line}")));
        }
    }
    let orphans: i64 = connection.query_row(
        "SELECT count(*) FROM entries WHERE document NOT IN (SELECT id FROM documents)",
        [],
        |row| row.get(0),
    )?;
    if orphans > 0 {
        findings.push(Finding(format!(
            "{orphans} index entries belong to no document"
        )));
    }
    let mut statement = connection.prepare("SELECT DISTINCT kind FROM documents")?;
    let kinds = statement.query_map([], |row| row.get::<_, String>(0))?;
    for kind in kinds {
        let kind = kind?;
        if kind.parse::<Kind>().is_err() {
            findings.push(Finding(format!("documents of the unknown kind {kind:?}")));
        }
    }
    for_each_sealed(connection, |_, place, sealed| {
        if let Err(error) = sealer.open(place, sealed) {
            findings.push(Finding(error.context));
        }
        Ok(())
    })?;
    Ok(findings)
}

/// Seals again every secret that is not sealed under the current key. Returns the number of resealed secrets.
pub(super) fn reseal(connection: &Connection, sealer: &Sealer) -> Result<u64, StoreError> {
    let mut outdated = Vec::new();
    for_each_sealed(connection, |id, place, sealed| {
        if !sealer.is_present(sealed) {
            outdated.push((id, sealer.seal(place, &sealer.open(place, sealed)?)?));
        }
        Ok(())
    })?;
    let mut statement = connection.prepare("UPDATE documents SET sealed = ?2 WHERE id = ?1")?;
    for (id, sealed) in &outdated {
        statement.execute(params![id, sealed])?;
    }
    schema::seal_key_check(connection, sealer)?;
    Ok(u64::try_from(outdated.len()).unwrap_or(u64::MAX))
}

fn for_each_sealed(
    connection: &Connection,
    mut visit: impl FnMut(i64, SecretLocation<'_>, &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare("SELECT id, kind, uid, sealed FROM documents WHERE sealed IS NOT NULL")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let kind: String = row.get(1)?;
        // The check of kinds reports unknown kinds.
        let Ok(kind) = kind.parse() else { continue };
        let uid = row::uid(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)?;
        let sealed = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
        visit(row.get(0)?, SecretLocation::of_document(kind, uid), sealed)?;
    }
    Ok(())
}
