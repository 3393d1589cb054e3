//! The caller's identity as sent to the upstream.

use std::sync::Arc;

use api::core_v1::service::spec::config::http::Identity as Spec;
use http::{HeaderName, HeaderValue};

use crate::{canonical, problems::Problems};

/// The header field with the signed assertion.
pub(crate) const ASSERTION: HeaderName = HeaderName::from_static("x-octelium-assertion");

/// The form in which an upstream gets the identity. The default sends nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IdentityRule {
    /// Send header fields.
    pub(crate) headers: bool,
    /// Send a signed assertion for this audience.
    pub(crate) audience: Option<Arc<str>>,
}

/// The identity fields for one request.
pub(crate) type IdentityFields = Vec<(HeaderName, HeaderValue)>;

impl IdentityRule {
    /// Compiles the rule. `url` is the URL of the Service.
    pub(super) fn compile(spec: Option<&Spec>, url: &str, problems: &mut Problems) -> Self {
        debug_assert!(
            canonical::is_ours(ASSERTION.as_str()),
            "clients cannot send it"
        );
        let Some(spec) = spec else {
            return Self::default();
        };
        let audience = match spec.audience.as_str() {
            "" => url,
            audience => audience,
        };
        if !spec.assertion && !spec.audience.is_empty() {
            problems.add(
                "spec.config.http.identity.audience",
                "has no effect without assertion",
            );
        }
        Self {
            headers: spec.headers,
            audience: spec.assertion.then(|| Arc::from(audience)),
        }
    }

    pub(crate) fn is_configured(&self) -> bool {
        self.headers || self.audience.is_some()
    }
}
