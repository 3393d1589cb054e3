//! Durations in specs.

use api::meta_v1::Duration;

use crate::Error;

/// Checks that a duration, if set, is between 1 second and 100 years.
///
/// # Errors
/// Returns `InvalidArgument` with the path of the field.
pub(super) fn check(path: &str, duration: Option<&Duration>) -> Result<(), Error> {
    match duration.map(domain::duration::check) {
        Some(Err(error)) => Err(Error::invalid(format!("{path}: {error}"))),
        Some(Ok(_)) | None => Ok(()),
    }
}
