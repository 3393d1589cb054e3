//! Checks of the data directory and its files.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::Report;
use crate::running::ROOT_TOKEN_FILE;

/// Checks the file permissions.
pub(crate) fn examine(data_dir: &Path, report: &mut Report) {
    let mut exposed = false;
    for name in [
        ".",
        "master-key",
        "octelium.db",
        "octelium.db-wal",
        "octelium.db-shm",
        ROOT_TOKEN_FILE,
    ] {
        let path = data_dir.join(name);
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            exposed = true;
            report.problem(
                path.display().to_string(),
                format!(
                    "other users can access it (mode {mode:o}): chmod go= {}",
                    path.display()
                ),
            );
        }
    }
    if !exposed {
        report.passed("permissions", "only the owner can access the state");
    }
    if data_dir.join(ROOT_TOKEN_FILE).exists() {
        report.warning(
            ROOT_TOKEN_FILE,
            "the first token of User root still exists: remove the file when you no longer need it",
        );
    }
}
