//! Schema migrations. They have the same numbers in every backend, are applied in order, and never change after a
//! release.

use crate::StoreError;

/// One step from an empty database to the current schema.
pub(crate) struct Migration {
    /// The number, from 1 without gaps.
    pub(crate) number: u32,
    /// The name of its file.
    pub(crate) name: &'static str,
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

macro_rules! migrations {
    ($($number:literal $file:literal,)*) => {
        /// All migrations, in order.
        pub(crate) const MIGRATIONS: &[Migration] = &[$(Migration {
            number: $number,
            name: $file,
            sqlite: include_str!(concat!("../migrations/sqlite/", $file, ".sql")),
            postgres: include_str!(concat!("../migrations/postgres/", $file, ".sql")),
        },)*];
    };
}

migrations! {
    1 "0001-initial",
    2 "0002-access",
    3 "0003-history",
}

/// Returns the migrations that a database at `applied` is missing.
///
/// # Errors
/// Returns an error if a newer version of this program has migrated the database.
pub(crate) fn pending(
    applied: u32,
) -> Result<impl Iterator<Item = &'static Migration>, StoreError> {
    let latest = MIGRATIONS.last().map_or(0, |migration| migration.number);
    if applied > latest {
        return Err(StoreError::new(format!(
            "the database is at migration {applied}, this version knows {latest}: start a newer version, or \
             restore a backup made by this one"
        )));
    }
    Ok(MIGRATIONS
        .iter()
        .filter(move |migration| migration.number > applied))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_from_one_and_open_the_file_names() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(usize::try_from(migration.number).unwrap(), index + 1);
            assert!(
                migration
                    .name
                    .starts_with(&format!("{:04}-", migration.number))
            );
        }
    }

    #[test]
    fn a_database_of_a_newer_version_is_refused() {
        assert!(pending(9999).is_err());
    }
}
