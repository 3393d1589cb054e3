//! Replacement of the existing database by the restored one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use domain::clock::{Clock as _, SystemClock};
use store::sqlite::DATABASE_FILE;

use crate::files::create_directory;

/// The database, its write-ahead log and the index of the log.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];
const STAGING: &str = "restoring";

/// Returns true if the directory contains a database.
pub(super) fn contains_database(data_dir: &Path) -> bool {
    data_dir.join(DATABASE_FILE).exists()
}

/// The directory in which the database is restored. Its drop removes the remaining files.
pub(super) struct Staging {
    data_dir: PathBuf,
    path: PathBuf,
}

impl Staging {
    /// Creates an empty directory, and removes the rest of an interrupted restore.
    pub(super) fn create(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join(STAGING);
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
        }
        create_directory(&path)?;
        Ok(Self {
            data_dir: data_dir.to_owned(),
            path,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the database to its place. Keeps the previous one and returns the prefix of its file names.
    pub(super) fn install(self) -> anyhow::Result<Option<PathBuf>> {
        let kept = self.data_dir.join(format!(
            "{DATABASE_FILE}.before-restore-{}",
            SystemClock.now().seconds()
        ));
        let present = self.data_dir.join(DATABASE_FILE);
        let was_there = present.exists();
        // The logs are moved first. A database without its log is only outdated; a log without its database is
        // dangerous.
        for suffix in SUFFIXES.iter().rev() {
            move_file(&with(&present, suffix), &with(&kept, suffix))?;
        }
        let restored = self.path.join(DATABASE_FILE);
        for suffix in SUFFIXES.iter().rev() {
            move_file(&with(&restored, suffix), &with(&present, suffix))?;
        }
        fs::File::open(&self.data_dir)
            .and_then(|directory| directory.sync_all())
            .with_context(|| self.data_dir.display().to_string())?;
        Ok(was_there.then_some(kept))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "not removed");
        }
    }
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

fn move_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    if from.exists() {
        fs::rename(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    }
    Ok(())
}
