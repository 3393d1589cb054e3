//! Responses that are part of the configuration.

use api::core_v1::service::spec::config::http::{
    Response,
    response::{self, direct},
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use crate::problems::Problems;

/// The complete response of a Service without an upstream.
pub(crate) struct DirectResponse {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) body: Bytes,
}

impl DirectResponse {
    pub(super) fn compile(response: &Response, problems: &mut Problems) -> Option<Self> {
        const PATH: &str = "spec.config.http.response.direct";
        let Some(response::Type::Direct(direct)) = &response.r#type else {
            problems.add("spec.config.http.response", "has no type; set direct");
            return None;
        };
        let status = match direct.status_code {
            0 => StatusCode::OK,
            code @ 200..=599 => u16::try_from(code)
                .ok()
                .and_then(|code| StatusCode::from_u16(code).ok())?,
            _ => {
                problems.add(&format!("{PATH}.statusCode"), "must be between 200 and 599");
                return None;
            }
        };
        let content_type = match direct.content_type.as_str() {
            "" => None,
            text => {
                if let Ok(value) = HeaderValue::from_str(text) {
                    Some(value)
                } else {
                    problems.add(&format!("{PATH}.contentType"), "is not a header value");
                    None
                }
            }
        };
        let body = match &direct.r#type {
            None => Bytes::new(),
            Some(direct::Type::Inline(text)) => Bytes::from(text.clone()),
            Some(direct::Type::InlineBytes(bytes)) => Bytes::from(bytes.clone()),
        };
        Some(Self {
            status,
            content_type,
            body,
        })
    }
}
