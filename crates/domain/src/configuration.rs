//! The named configurations of a Service, and inheritance between them.

use std::{borrow::Cow, collections::HashMap};

use api::core_v1::service::spec::{Config, DynamicConfig};
use prost::Message as _;

/// The name of `spec.config` in a `parent` reference.
pub const DEFAULT: &str = "default";

/// The error for an invalid `parent`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParentError {
    /// The parent does not exist.
    #[error("the configuration {0} does not exist")]
    Unknown(String),
    /// The chain of parents contains a cycle.
    #[error("{0} is one of its own parents")]
    Circular(String),
}

/// Returns the configurations of `dynamic` in their order, each merged with its parents. The own value of a field
/// overrides that of the parent, messages are merged field by field, and lists are appended to those of the parent.
///
/// # Errors
/// Returns the index of the configuration and a [`ParentError`] if its `parent` does not exist or leads to a cycle.
pub fn inherited<'a>(
    default: Option<&'a Config>,
    dynamic: &'a DynamicConfig,
) -> Result<Vec<Cow<'a, Config>>, (usize, ParentError)> {
    let mut by_name: HashMap<&str, &Config> = dynamic
        .configs
        .iter()
        .map(|config| (config.name.as_str(), config))
        .collect();
    if let Some(default) = default {
        by_name.insert(DEFAULT, default);
    }
    dynamic
        .configs
        .iter()
        .enumerate()
        .map(|(index, config)| merged(config, &by_name).map_err(|error| (index, error)))
        .collect()
}

fn merged<'a>(
    config: &'a Config,
    by_name: &HashMap<&str, &'a Config>,
) -> Result<Cow<'a, Config>, ParentError> {
    if config.parent.is_empty() {
        return Ok(Cow::Borrowed(config));
    }
    let mut line = vec![config];
    let mut parent = config.parent.as_str();
    while !parent.is_empty() {
        let next = by_name
            .get(parent)
            .ok_or_else(|| ParentError::Unknown(parent.to_owned()))?;
        if line.len() > by_name.len() {
            return Err(ParentError::Circular(config.name.clone()));
        }
        line.push(next);
        parent = &next.parent;
    }
    // Concatenated messages decode to their merger (protobuf, "Last One Wins").
    let bytes: Vec<u8> = line
        .iter()
        .rev()
        .flat_map(|config| config.encode_to_vec())
        .collect();
    // Cannot fail: the bytes were encoded above.
    let mut merged = Config::decode(bytes.as_slice()).unwrap_or_default();
    config.name.clone_into(&mut merged.name);
    merged.parent.clear();
    Ok(Cow::Owned(merged))
}

#[cfg(test)]
mod tests {
    use api::core_v1::service::spec::config::{
        Http, Type, Upstream,
        http::{Body, Header, header::KeyValue},
        upstream,
    };
    use rstest::rstest;

    use super::*;

    fn http(http: Http) -> Type {
        Type::Http(http)
    }

    fn upstream(url: &str) -> Upstream {
        Upstream {
            r#type: Some(upstream::Type::Url(url.to_owned())),
            ..Upstream::default()
        }
    }

    fn adding(key: &str) -> Header {
        Header {
            add_request_headers: vec![KeyValue {
                key: key.to_owned(),
                ..KeyValue::default()
            }],
            ..Header::default()
        }
    }

    fn config(name: &str, parent: &str) -> Config {
        Config {
            name: name.to_owned(),
            parent: parent.to_owned(),
            ..Config::default()
        }
    }

    #[test]
    fn own_settings_override_those_of_the_parent() {
        let default = Config {
            upstream: Some(upstream("http://default")),
            r#type: Some(http(Http {
                header: Some(adding("A")),
                body: Some(Body {
                    max_request_size: 10,
                    ..Body::default()
                }),
                ..Http::default()
            })),
            ..Config::default()
        };
        let middle = Config {
            upstream: Some(upstream("http://middle")),
            ..config("middle", DEFAULT)
        };
        let last = Config {
            r#type: Some(http(Http {
                header: Some(adding("B")),
                is_upstream_http2: true,
                ..Http::default()
            })),
            ..config("last", "middle")
        };
        let dynamic = DynamicConfig {
            configs: vec![last, middle, config("alone", "")],
            ..DynamicConfig::default()
        };
        let configs = inherited(Some(&default), &dynamic).unwrap();
        let last = &configs[0];
        assert_eq!(last.name, "last");
        assert_eq!(last.parent, "");
        assert_eq!(last.upstream, Some(upstream("http://middle")));
        let Some(Type::Http(http)) = &last.r#type else {
            panic!("{last:?}");
        };
        assert!(http.is_upstream_http2);
        assert_eq!(http.body.as_ref().unwrap().max_request_size, 10);
        let keys = &http.header.as_ref().unwrap().add_request_headers;
        assert_eq!(
            keys.iter().map(|field| &*field.key).collect::<Vec<_>>(),
            ["A", "B"]
        );
        assert_eq!(configs[1].upstream, Some(upstream("http://middle")));
        assert_eq!(*configs[2], config("alone", ""));
    }

    #[rstest]
    #[case(&[("a", "b")], 0, ParentError::Unknown("b".to_owned()))]
    #[case(&[("a", "default")], 0, ParentError::Unknown("default".to_owned()))]
    #[case(&[("a", "a")], 0, ParentError::Circular("a".to_owned()))]
    #[case(&[("a", ""), ("b", "c"), ("c", "b")], 1, ParentError::Circular("b".to_owned()))]
    #[case(&[("a", "b"), ("b", "c"), ("c", "b")], 0, ParentError::Circular("a".to_owned()))]
    fn invalid_parents_are_reported(
        #[case] configs: &[(&str, &str)],
        #[case] index: usize,
        #[case] expected: ParentError,
    ) {
        let dynamic = DynamicConfig {
            configs: configs
                .iter()
                .map(|(name, parent)| config(name, parent))
                .collect(),
            ..DynamicConfig::default()
        };
        assert_eq!(inherited(None, &dynamic), Err((index, expected)));
    }
}
