//! The master key file that an embedded store keeps next to its database.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use domain::rng::Rng;
use zeroize::Zeroizing;

use super::MasterKey;
use crate::StoreError;

/// Reads the key at `path`. If the file does not exist, creates it with a random key and mode 0600.
///
/// # Errors
/// Returns an error if the file cannot be read or written, is malformed, or is accessible to other users.
pub fn load_or_create(path: &Path, rng: &dyn Rng) -> Result<MasterKey, StoreError> {
    let failed = |error| StoreError::new(format!("master key {}", path.display())).caused_by(error);
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match created {
        Ok(mut file) => {
            let key = MasterKey::random(rng);
            let text = key.to_text();
            file.write_all(text.as_bytes())
                .and_then(|()| file.write_all(b"\n"))
                .and_then(|()| file.sync_all())
                .and_then(|()| sync_directory_of(path))
                .map_err(failed)?;
            Ok(key)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(path),
        Err(error) => Err(failed(error)),
    }
}

fn read(path: &Path) -> Result<MasterKey, StoreError> {
    let shown = path.display();
    let failed = |error| StoreError::new(format!("master key {shown}")).caused_by(error);
    let mut file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(StoreError::new(format!(
            "master key {shown} can be read by users other than its owner: chmod 600 {shown}"
        )));
    }
    let mut text = Zeroizing::new(String::with_capacity(128));
    file.read_to_string(&mut text).map_err(failed)?;
    MasterKey::parse(&text).map_err(|error| StoreError::new(format!("master key {shown}: {error}")))
}

/// Syncs the directory, so that the key file survives a power failure like the data sealed under it.
fn sync_directory_of(path: &Path) -> std::io::Result<()> {
    path.parent()
        .map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use domain::rng::SystemRng;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master-key");
        let made = load_or_create(&path, &SystemRng).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = load_or_create(&path, &SystemRng).unwrap();
        assert!(made.id() == read.id());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master-key");
        load_or_create(&path, &SystemRng).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = load_or_create(&path, &SystemRng).err().unwrap();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}
