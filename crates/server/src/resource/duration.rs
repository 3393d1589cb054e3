//! Durations in specs.

use api::meta_v1::Duration;

use crate::Error;

/// Checks a duration that is there: 1 second to 100 years.
///
/// # Errors
/// A text that names the field.
pub(super) fn check(path: &str, duration: Option<&Duration>) -> Result<(), Error> {
    match duration.map(domain::duration::check) {
        Some(Err(error)) => Err(Error::invalid(format!("{path}: {error}"))),
        Some(Ok(_)) | None => Ok(()),
    }
}
