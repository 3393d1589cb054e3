//! Plugins of a Service.

use std::collections::BTreeSet;

use api::core_v1::service::spec::config::http::{
    Plugin,
    plugin::{Direct, Phase, RateLimit, Type, direct, rate_limit},
};
use domain::name;
use http::HeaderValue;

use super::{
    expression,
    http::{INLINE_BYTES, check_name, check_prefixes},
};
use crate::{Error, resource::duration};

const PLUGINS: usize = 256;
const HIGHEST_RATE: i64 = 1_000_000;
const LONGEST_WINDOW: std::time::Duration = std::time::Duration::from_hours(30 * 24);

/// Checks names, conditions and the settings of each plugin.
///
/// # Errors
/// Returns `InvalidArgument` with the path of the field and, for an expression, line and column.
pub(super) fn check(path: &str, plugins: &[Plugin]) -> Result<(), Error> {
    if plugins.len() > PLUGINS {
        return Err(Error::invalid(format!(
            "{path} has {} entries; at most {PLUGINS} are allowed",
            plugins.len()
        )));
    }
    let mut names = BTreeSet::new();
    for (index, plugin) in plugins.iter().enumerate() {
        let path = format!("{path}[{index}]");
        name::check(&plugin.name, 1)
            .map_err(|error| Error::invalid(format!("{path}.name: {error}")))?;
        if !names.insert(&plugin.name) {
            return Err(Error::invalid(format!(
                "{path}.name: there are two plugins with the name {}",
                plugin.name
            )));
        }
        let phase = Phase::try_from(plugin.phase)
            .map_err(|_| Error::invalid(format!("{path}.phase must be PRE_AUTH or POST_AUTH")))?;
        // A plugin without a condition always applies.
        if plugin.condition.is_some() {
            expression::check_condition(&format!("{path}.condition"), plugin.condition.as_ref())?;
        }
        match &plugin.r#type {
            Some(Type::Direct(direct)) => check_direct(&format!("{path}.direct"), direct)?,
            Some(Type::RateLimit(limit)) => {
                check_rate(&format!("{path}.rateLimit"), limit, phase)?;
            }
            Some(Type::Path(prefixes)) => check_prefixes(
                &format!("{path}.path"),
                &prefixes.add_prefix,
                &prefixes.remove_prefix,
            )?,
            // Not served, so it was refused before.
            Some(Type::ExtProc(_) | Type::Lua(_) | Type::Cache(_) | Type::JsonSchema(_)) => {}
            None => {
                return Err(Error::invalid(format!(
                    "{path} must have direct, rateLimit or path"
                )));
            }
        }
    }
    Ok(())
}

fn check_direct(path: &str, direct: &Direct) -> Result<(), Error> {
    check_status(path, direct.status_code)?;
    let body = direct.body.as_ref().and_then(|body| body.r#type.as_ref());
    check_body(
        path,
        match body {
            None => 0,
            Some(direct::body::Type::Inline(text)) => text.len(),
            Some(direct::body::Type::InlineBytes(bytes)) => bytes.len(),
        },
    )?;
    let fields = direct
        .headers
        .iter()
        .map(|field| (&field.key, &field.value));
    check_fields(path, fields)
}

fn check_rate(path: &str, limit: &RateLimit, phase: Phase) -> Result<(), Error> {
    if !(1..=HIGHEST_RATE).contains(&limit.limit) {
        return Err(Error::invalid(format!(
            "{path}.limit must be from 1 to {HIGHEST_RATE}"
        )));
    }
    let window = limit
        .window
        .as_ref()
        .ok_or_else(|| Error::invalid(format!("{path}.window must be set")))?;
    duration::check(&format!("{path}.window"), Some(window))?;
    if domain::duration::from_proto(window).is_some_and(|window| window > LONGEST_WINDOW) {
        return Err(Error::invalid(format!(
            "{path}.window must be at most 30 days"
        )));
    }
    let key = limit.key.as_ref().and_then(|key| key.r#type.as_ref());
    match key {
        Some(rate_limit::key::Type::Eval(source)) => {
            expression::check_text(&format!("{path}.key.eval"), source)?;
        }
        // The default key is the Session.
        None
        | Some(rate_limit::key::Type::PerSession(true) | rate_limit::key::Type::PerUser(true)) => {
            if phase == Phase::PreAuth {
                return Err(Error::invalid(format!(
                    "{path}.key must have eval in phase PRE_AUTH: the Session and its User are not known yet"
                )));
            }
        }
        Some(rate_limit::key::Type::PerSession(false) | rate_limit::key::Type::PerUser(false)) => {
            return Err(Error::invalid(format!(
                "{path}.key must have eval, or perSession or perUser that is true"
            )));
        }
    }
    check_status(path, limit.status_code)?;
    let body = limit.body.as_ref().and_then(|body| body.r#type.as_ref());
    check_body(
        path,
        match body {
            None => 0,
            Some(rate_limit::body::Type::Inline(text)) => text.len(),
            Some(rate_limit::body::Type::InlineBytes(bytes)) => bytes.len(),
        },
    )?;
    let fields = limit.headers.iter().map(|field| (&field.key, &field.value));
    check_fields(path, fields)
}

fn check_status(path: &str, code: i32) -> Result<(), Error> {
    if code == 0 || (200..=599).contains(&code) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{path}.statusCode is {code}; it must be from 200 to 599"
    )))
}

fn check_body(path: &str, length: usize) -> Result<(), Error> {
    if length <= INLINE_BYTES {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{path}.body has {length} bytes; at most {INLINE_BYTES} are allowed"
    )))
}

fn check_fields<'a>(
    path: &str,
    fields: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<(), Error> {
    for (index, (key, value)) in fields.enumerate() {
        let path = format!("{path}.headers[{index}]");
        check_name(&format!("{path}.key"), key)?;
        if HeaderValue::from_str(value).is_err() {
            return Err(Error::invalid(format!(
                "{path}.value has a character that is not allowed in a header"
            )));
        }
    }
    Ok(())
}
