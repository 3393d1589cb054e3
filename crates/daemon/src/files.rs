//! The files of the daemon in the data directory.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

/// The default data directory.
pub(crate) const DEFAULT_DATA_DIR: &str = "octelium-data";

/// Creates the data directory with mode 0700 if it does not exist.
///
/// # Errors
///
/// Returns an error if it cannot be created.
pub(crate) fn create_directory(path: &Path) -> anyhow::Result<PathBuf> {
    let context = || format!("data directory {}", path.display());
    if !path.exists() {
        fs::create_dir_all(path).with_context(context)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).with_context(context)?;
    }
    path.canonicalize().with_context(context)
}

/// Writes a file atomically, with mode 0600.
///
/// # Errors
///
/// Returns an error if it cannot be written.
pub(crate) fn write_secret(path: &Path, content: &str) -> anyhow::Result<()> {
    write(path, content, 0o600)
}

/// Writes a file atomically, with mode 0644.
///
/// # Errors
///
/// Returns an error if it cannot be written.
pub(crate) fn write_public(path: &Path, content: &str) -> anyhow::Result<()> {
    write(path, content, 0o644)
}

/// Locks the data directory against other processes that serve or restore it, until the file is dropped.
///
/// # Errors
///
/// Returns an error if another process holds the lock.
pub(crate) fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join("lock");
    let context = || format!("lock {}", path.display());
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .with_context(context)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "{} is in use by another octeliumd: stop it first",
            data_dir.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(context),
    }
}

fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let context = || format!("file {}", path.display());
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let staged = PathBuf::from(name);
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&staged)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&staged, path)
    };
    write().with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_file_is_readable_only_by_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        write_secret(&path, "one").unwrap();
        write_secret(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
