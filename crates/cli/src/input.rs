//! What is read from files and standard input.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read as _},
    path::Path,
};

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use crate::failure::Failure;

/// No token or password is longer.
const MAX_SECRET: usize = 64 << 10;

/// The whole of a file, or of standard input for `-`; at most `limit` bytes.
///
/// # Errors
/// It cannot be read, or is longer.
pub(crate) fn read(path: &str, limit: usize) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::input(format!("{}: {error}", source_name(path)));
    let mut bytes = Vec::new();
    // One byte more tells what is too long without reading it all.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    if path == "-" {
        io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        let file = File::open(Path::new(path)).map_err(failed)?;
        file.take(most).read_to_end(&mut bytes)
    }
    .map_err(failed)?;
    if bytes.len() > limit {
        return Err(Failure::input(format!(
            "{}: longer than {}, the most that is read",
            source_name(path),
            size(limit)
        )));
    }
    Ok(bytes)
}

/// A secret in a file, or on standard input for `-`, without the white space around it. A terminal is asked
/// without showing what is typed.
///
/// # Errors
/// It cannot be read, or is no text.
pub(crate) fn read_secret(path: &str) -> Result<SecretString, Failure> {
    let bytes = if path == "-" && io::stdin().is_terminal() {
        let typed = rpassword::prompt_password("Token: ")
            .map_err(|error| Failure::input(format!("cannot read from the terminal: {error}")))?;
        Zeroizing::new(typed.into_bytes())
    } else {
        Zeroizing::new(read(path, MAX_SECRET)?)
    };
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::input(format!("{}: not text", source_name(path))))?
        .trim();
    if text.is_empty() {
        return Err(Failure::input(format!("{}: empty", source_name(path))));
    }
    Ok(SecretString::from(text))
}

/// How messages call the source.
pub(crate) fn source_name(path: &str) -> &str {
    if path == "-" { "<stdin>" } else { path }
}

fn size(bytes: usize) -> String {
    if bytes >= 1 << 20 {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{} KiB", bytes >> 10)
    }
}
