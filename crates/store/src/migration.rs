//! The migrations: numbered alike in every backend, applied in order, never edited once released.

use crate::StoreError;

/// One step from an empty database to the present schema.
pub(crate) struct Migration {
    /// Counts from 1, without gaps.
    pub(crate) number: u32,
    /// What it does, as its file is called.
    pub(crate) name: &'static str,
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

macro_rules! migrations {
    ($($number:literal $file:literal,)*) => {
        /// All of them, in order.
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

/// Those that a database at `applied` lacks.
///
/// # Errors
/// Where the database was made by a newer version of this program.
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
