//! The timeouts of a Service, and the limits of request bodies that are buffered before the decision.

use std::time::Duration;

use api::{
    core_v1::service::spec::config::{Http, http::body::Mode as BodyMode},
    meta_v1,
};
use domain::{
    duration,
    service::{MAX_BUFFERED_BODY, buffers_bodies, signs_bodies},
};

use crate::{Config, mode::Mode, problems::Problems};

/// The default limit of a buffered body, in bytes.
const DEFAULT_WHOLE: u32 = 4 * 1024 * 1024;
/// The maximum of all timeouts.
const LONGEST: Duration = Duration::from_hours(24);

/// The timeouts of a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) response: Duration,
    pub(crate) body_idle: Duration,
}

impl Timeouts {
    pub(super) fn compile(http: &Http, settings: &Config, problems: &mut Problems) -> Self {
        let given = http.timeouts.unwrap_or_default();
        let mut value = |field: &str, given: Option<&meta_v1::Duration>, default: Duration| {
            let Some(given) = given else { return default };
            match duration::from_proto(given) {
                Some(given) if !given.is_zero() && given <= LONGEST => given,
                _ => {
                    let path = format!("spec.config.http.timeouts.{field}");
                    problems.add(&path, "must be from 1 millisecond to 24 hours");
                    default
                }
            }
        };
        Self {
            connect: value("connect", given.connect.as_ref(), settings.connect_timeout),
            response: value(
                "response",
                given.response.as_ref(),
                settings.response_timeout,
            ),
            body_idle: value(
                "bodyIdle",
                given.body_idle.as_ref(),
                settings.body_idle_timeout,
            ),
        }
    }
}

/// Buffering of whole request bodies before the request is authorized or sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Buffering {
    /// In bytes. At most [`MAX_BUFFERED_BODY`].
    pub(crate) limit: u64,
    /// The maximum pause within a body.
    pub(crate) idle: Duration,
    /// True if the body must be JSON. Policies see it as `bodyMap`.
    pub(crate) json: bool,
}

impl Buffering {
    pub(super) fn compile(
        http: &Http,
        mode: Mode,
        timeouts: Timeouts,
        problems: &mut Problems,
    ) -> Option<Self> {
        let default = api::core_v1::service::spec::config::http::Body::default();
        let body = http.body.as_ref().unwrap_or(&default);
        let json = match body.mode() {
            BodyMode::Unset => false,
            BodyMode::Json => true,
        };
        if !buffers_bodies(http) {
            return None;
        }
        if mode == Mode::Grpc {
            let path = match (json, signs_bodies(http)) {
                (true, _) => "body.mode",
                (false, true) => "auth.sigv4",
                (false, false) => "enableRequestBuffering",
            };
            problems.add(
                &format!("spec.config.http.{path}"),
                "cannot be used with mode GRPC, whose bodies are streams",
            );
        }
        let limit = match body.max_request_size {
            0 => DEFAULT_WHOLE,
            limit => limit,
        };
        // Earlier versions stored larger values.
        if limit > MAX_BUFFERED_BODY {
            problems.warn(
                "spec.config.http.body.maxRequestSize",
                &format!(
                    "is {limit}, but buffered bodies of more than {MAX_BUFFERED_BODY} bytes are refused; lower it"
                ),
            );
        }
        Some(Self {
            limit: u64::from(limit.min(MAX_BUFFERED_BODY)),
            idle: timeouts.body_idle,
            json,
        })
    }
}
