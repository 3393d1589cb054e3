//! Which host an upstream is asked for.

use api::core_v1::service::spec::config::http::header::{Host as HostSpec, host};
use http::{HeaderValue, uri::Authority};

use crate::route::Problems;

/// The `Host` or `:authority` of a request to an upstream.
pub(crate) enum HostRule {
    /// That of the upstream's URL.
    Upstream,
    /// That which the client asked for.
    Preserve,
    /// A fixed one.
    Fixed(HeaderValue),
}

impl HostRule {
    pub(super) fn compile(spec: Option<&HostSpec>, problems: &mut Problems) -> Self {
        const PATH: &str = "spec.config.http.header.host";
        match spec.and_then(|spec| spec.r#type.as_ref()) {
            None | Some(host::Type::Preserve(false)) => Self::Upstream,
            Some(host::Type::Preserve(true)) => Self::Preserve,
            Some(host::Type::Value(text)) => {
                let authority = text.parse::<Authority>().is_ok();
                if let (true, Ok(value)) = (authority, HeaderValue::from_str(text)) {
                    Self::Fixed(value)
                } else {
                    problems.add(&format!("{PATH}.value"), "is no host");
                    Self::Upstream
                }
            }
            Some(host::Type::Eval(_)) => {
                problems.add(&format!("{PATH}.eval"), "is not served yet; use value");
                Self::Upstream
            }
        }
    }
}
