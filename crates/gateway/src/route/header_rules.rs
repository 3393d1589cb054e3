//! Header fields that configuration adds and removes.

use api::core_v1::service::spec::config::http::{
    Header,
    header::{KeyValue, key_value},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{canonical, route::Problems};

/// First removes, then adds.
#[derive(Default)]
pub(crate) struct HeaderRules {
    removed: Vec<HeaderName>,
    added: Vec<Added>,
}

struct Added {
    name: HeaderName,
    value: HeaderValue,
    append: bool,
}

impl HeaderRules {
    pub(super) fn for_requests(spec: &Header, problems: &mut Problems) -> Self {
        Self::compile(
            "Request",
            &spec.remove_request_headers,
            &spec.add_request_headers,
            problems,
        )
    }

    pub(super) fn for_responses(spec: &Header, problems: &mut Problems) -> Self {
        Self::compile(
            "Response",
            &spec.remove_response_headers,
            &spec.add_response_headers,
            problems,
        )
    }

    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.removed {
            headers.remove(name);
        }
        for added in &self.added {
            if added.append {
                headers.append(&added.name, added.value.clone())
            } else {
                headers.insert(&added.name, added.value.clone()).is_some()
            };
        }
    }

    fn compile(
        kind: &str,
        removed: &[String],
        added: &[KeyValue],
        problems: &mut Problems,
    ) -> Self {
        let mut rules = Self::default();
        for (index, name) in removed.iter().enumerate() {
            let path = format!("spec.config.http.header.remove{kind}Headers[{index}]");
            rules.removed.extend(field_name(name, &path, problems));
        }
        for (index, field) in added.iter().enumerate() {
            let path = format!("spec.config.http.header.add{kind}Headers[{index}]");
            let Some(name) = field_name(&field.key, &format!("{path}.key"), problems) else {
                continue;
            };
            let text = match &field.r#type {
                Some(key_value::Type::Value(text)) => text.as_str(),
                None => "",
                Some(key_value::Type::Eval(_)) => {
                    problems.add(&format!("{path}.eval"), "is not served yet; use value");
                    continue;
                }
            };
            match HeaderValue::from_str(text) {
                Ok(value) => rules.added.push(Added {
                    name,
                    value,
                    append: field.append,
                }),
                Err(_) => problems.add(&format!("{path}.value"), "is no header value"),
            }
        }
        rules
    }
}

fn field_name(text: &str, path: &str, problems: &mut Problems) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        problems.add(path, "is no header name");
        return None;
    };
    let framing = name == header::HOST || name == header::CONTENT_LENGTH;
    if framing || canonical::is_hop_by_hop(name.as_str()) || canonical::is_ours(name.as_str()) {
        problems.add(path, "is a field that the gateway sets itself");
        return None;
    }
    Some(name)
}
