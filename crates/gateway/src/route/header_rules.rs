//! Header fields that the configuration adds and removes.

use std::sync::Arc;

use api::core_v1::service::spec::config::http::{
    Header,
    header::{KeyValue, key_value},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use policy::Scope;

use crate::{
    canonical::{self, Names},
    problems::Problems,
    route::expression::{Expression, Failure, FailureKind},
};

/// Header rules: first removes fields, then adds fields. A name matches all its spellings.
#[derive(Default)]
pub(crate) struct HeaderRules {
    /// The names that are removed or replaced, in all spellings. `None` if there are none.
    cleared: Option<Arc<Names>>,
    added: Vec<Added>,
    has_expressions: bool,
}

struct Added {
    name: HeaderName,
    value: Value,
    append: bool,
}

enum Value {
    Fixed(HeaderValue),
    Computed(Expression),
}

/// The results of the expressions of the rules for one request, in order.
pub(crate) type Computed = Vec<Option<HeaderValue>>;

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

    /// Returns the names that are removed or replaced, or `None` if there are none.
    pub(crate) fn names(&self) -> Option<Arc<Names>> {
        self.cleared.clone()
    }

    pub(crate) fn has_expressions(&self) -> bool {
        self.has_expressions
    }

    /// Evaluates the expressions. An empty result means that the field is not added.
    ///
    /// # Errors
    ///
    /// Returns a [`Failure`] if an expression fails or its result is not a valid field value.
    pub(crate) fn compute(&self, scope: &Scope<'_>) -> Result<Computed, Failure> {
        if !self.has_expressions {
            return Ok(Computed::new());
        }
        let expressions = self.added.iter().filter_map(|added| match &added.value {
            Value::Computed(expression) => Some(expression),
            Value::Fixed(_) => None,
        });
        expressions
            .map(|expression| {
                let text = expression.evaluate(scope)?;
                if text.is_empty() {
                    return Ok(None);
                }
                HeaderValue::try_from(text.into_bytes())
                    .map(Some)
                    .map_err(|_| expression.failure(FailureKind::NoFieldValue))
            })
            .collect()
    }

    /// Applies the rules. `computed` is the result of [`Self::compute`].
    pub(crate) fn apply(&self, computed: Computed, headers: &mut HeaderMap) {
        if let Some(cleared) = &self.cleared {
            cleared.remove_from(headers);
        }
        let mut computed = computed.into_iter();
        for added in &self.added {
            let value = match &added.value {
                Value::Fixed(value) => Some(value.clone()),
                Value::Computed(_) => computed.next().flatten(),
            };
            match value {
                Some(value) if added.append => {
                    headers.append(&added.name, value);
                }
                Some(value) => {
                    headers.insert(&added.name, value);
                }
                None if added.append => {}
                // A value from the other side must not take the place of ours.
                None => {
                    headers.remove(&added.name);
                }
            }
        }
    }

    fn compile(
        kind: &str,
        removed: &[String],
        added: &[KeyValue],
        problems: &mut Problems,
    ) -> Self {
        let mut rules = Self::default();
        let mut cleared = Names::default();
        for (index, name) in removed.iter().enumerate() {
            let path = format!("spec.config.http.header.remove{kind}Headers[{index}]");
            if let Some(name) = field_name(name, &path, problems) {
                cleared.insert(&name);
            }
        }
        for (index, field) in added.iter().enumerate() {
            let path = format!("spec.config.http.header.add{kind}Headers[{index}]");
            let Some(name) = field_name(&field.key, &format!("{path}.key"), problems) else {
                continue;
            };
            let value = match &field.r#type {
                Some(key_value::Type::Eval(source)) => {
                    Expression::compile(source, &format!("{path}.eval"), problems)
                        .map(Value::Computed)
                }
                Some(key_value::Type::Value(text)) => {
                    fixed(text, &format!("{path}.value"), problems)
                }
                None => fixed("", &format!("{path}.value"), problems),
            };
            let Some(value) = value else { continue };
            rules.has_expressions |= matches!(value, Value::Computed(_));
            if !field.append {
                cleared.insert(&name);
            }
            rules.added.push(Added {
                name,
                value,
                append: field.append,
            });
        }
        rules.cleared = (!cleared.is_empty()).then(|| Arc::new(cleared));
        rules
    }
}

fn fixed(text: &str, path: &str, problems: &mut Problems) -> Option<Value> {
    if let Ok(value) = HeaderValue::from_str(text) {
        return Some(Value::Fixed(value));
    }
    problems.add(path, "is not a header value");
    None
}

/// Parses the name of a field that the configuration may set.
pub(super) fn field_name(text: &str, path: &str, problems: &mut Problems) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        problems.add(path, "is not a header name");
        return None;
    };
    let framing = name == header::HOST || name == header::CONTENT_LENGTH;
    if framing || canonical::is_hop_by_hop(name.as_str()) || canonical::is_ours(name.as_str()) {
        problems.add(path, "is a field that the gateway sets itself");
        return None;
    }
    Some(name)
}
