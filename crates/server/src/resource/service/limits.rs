//! Timeouts, retries and body limits of a Service.

use std::time::Duration;

use api::{
    core_v1::service::spec::{
        Mode,
        config::{
            Http,
            http::{Retry, auth, body},
        },
    },
    meta_v1,
};
use domain::service::{MAX_BUFFERED_BODY, buffers_bodies};

use crate::Error;

const LONGEST_TIMEOUT: Duration = Duration::from_hours(24);
const RETRIES: u32 = 100;
const AUDIENCE_BYTES: usize = 512;

/// Checks numbers and times.
///
/// # Errors
/// Returns `InvalidArgument` with the path of the field.
pub(super) fn check(path: &str, http: &Http, mode: Mode) -> Result<(), Error> {
    if let Some(timeouts) = &http.timeouts {
        for (field, duration) in [
            ("connect", &timeouts.connect),
            ("response", &timeouts.response),
            ("bodyIdle", &timeouts.body_idle),
        ] {
            check_time(&format!("{path}.timeouts.{field}"), duration.as_ref())?;
        }
    }
    if let Some(retry) = &http.retry {
        check_retry(&format!("{path}.retry"), retry)?;
    }
    let json = match http
        .body
        .as_ref()
        .map(|given| body::Mode::try_from(given.mode))
    {
        None | Some(Ok(body::Mode::Unset)) => false,
        Some(Ok(body::Mode::Json)) => true,
        Some(Err(_)) => {
            return Err(Error::invalid(format!("{path}.body.mode must be JSON")));
        }
    };
    if mode == Mode::Grpc && (json || http.enable_request_buffering) {
        let field = if json {
            "body.mode"
        } else {
            "enableRequestBuffering"
        };
        return Err(Error::invalid(format!(
            "{path}.{field} cannot be used with mode GRPC, whose bodies are streams"
        )));
    }
    check_buffered_size(path, http)?;
    let auth = http.auth.as_ref().and_then(|auth| auth.r#type.as_ref());
    if let (Mode::Grpc, Some(auth::Type::Sigv4(sigv4))) = (mode, auth)
        && sigv4.service != "s3"
    {
        return Err(Error::invalid(format!(
            "{path}.auth.sigv4 signs bodies, and cannot be used with mode GRPC, whose bodies are streams"
        )));
    }
    if let Some(identity) = &http.identity {
        let is_text = identity.audience.len() <= AUDIENCE_BYTES
            && identity.audience.chars().all(|c| !c.is_control());
        if !is_text {
            return Err(Error::invalid(format!(
                "{path}.identity.audience must be text of at most {AUDIENCE_BYTES} bytes"
            )));
        }
        if !identity.assertion && !identity.audience.is_empty() {
            return Err(Error::invalid(format!(
                "{path}.identity.audience has no effect without assertion"
            )));
        }
    }
    Ok(())
}

fn check_buffered_size(path: &str, http: &Http) -> Result<(), Error> {
    let size = http.body.as_ref().map_or(0, |body| body.max_request_size);
    if size <= MAX_BUFFERED_BODY || !buffers_bodies(http) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{path}.body.maxRequestSize is {size}; at most {MAX_BUFFERED_BODY} bytes (32 MiB) are allowed if bodies are \
         buffered. Lower it, or set none of enableRequestBuffering, body.mode and auth.sigv4"
    )))
}

fn check_retry(path: &str, retry: &Retry) -> Result<(), Error> {
    if retry.max_retries > RETRIES {
        return Err(Error::invalid(format!(
            "{path}.maxRetries is {}; at most {RETRIES} are allowed",
            retry.max_retries
        )));
    }
    if retry.multiplier != 0.0 && !(1.0..=10.0).contains(&retry.multiplier) {
        return Err(Error::invalid(format!(
            "{path}.multiplier must be from 1 to 10"
        )));
    }
    for (field, duration) in [
        ("initialInterval", &retry.initial_interval),
        ("maxInterval", &retry.max_interval),
        ("maxElapsedTime", &retry.max_elapsed_time),
    ] {
        check_time(&format!("{path}.{field}"), duration.as_ref())?;
    }
    for (index, code) in retry.status_codes.iter().enumerate() {
        if !(200..=599).contains(code) {
            return Err(Error::invalid(format!(
                "{path}.statusCodes[{index}] is {code}; it must be from 200 to 599"
            )));
        }
    }
    Ok(())
}

/// Permits shorter times than other fields: one millisecond is a valid timeout.
fn check_time(path: &str, duration: Option<&meta_v1::Duration>) -> Result<(), Error> {
    let Some(duration) = duration else {
        return Ok(());
    };
    match domain::duration::from_proto(duration) {
        Some(duration) if !duration.is_zero() && duration <= LONGEST_TIMEOUT => Ok(()),
        _ => Err(Error::invalid(format!(
            "{path} must be from 1 millisecond to 24 hours"
        ))),
    }
}
