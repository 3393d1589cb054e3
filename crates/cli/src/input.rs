//! Reads files and standard input.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read as _},
    path::Path,
};

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use crate::failure::Failure;

/// Maximum size of a token or password, in bytes.
const MAX_SECRET: usize = 64 << 10;

/// Reads a whole file, or standard input if `path` is `-`, up to `limit` bytes.
///
/// # Errors
/// Returns a failure if the input cannot be read or is longer.
pub(crate) fn read(path: &str, limit: usize) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::input(format!("{}: {error}", source_name(path)));
    let mut bytes = Vec::new();
    // One more byte is enough to detect an input that is too long.
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
            "{}: larger than the limit of {}",
            source_name(path),
            size(limit)
        )));
    }
    Ok(bytes)
}

/// Reads a secret from a file, or from standard input if `path` is `-`, and trims white space.
///
/// If standard input is a terminal, prompts for the secret without showing it.
///
/// # Errors
/// Returns a failure if the input cannot be read, is empty or is not text.
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

/// Returns the name of the source in messages.
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
