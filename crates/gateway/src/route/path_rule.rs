//! Prefixes that are added to or removed from a path.

use api::core_v1::service::spec::config::http::Path;
use http::uri::PathAndQuery;

use crate::problems::Problems;

/// A path rule: removes a prefix, then adds one. Prefixes are whole segments, so a canonical path stays canonical.
#[derive(Default)]
pub(crate) struct PathRule {
    removed: String,
    added: String,
}

impl PathRule {
    pub(super) fn compile(spec: Option<&Path>, problems: &mut Problems) -> Self {
        match spec {
            Some(spec) => Self::compile_at(spec, "spec.config.http.path", problems),
            None => Self::default(),
        }
    }

    /// Compiles the rule. `path` is its path in the Service document.
    pub(super) fn compile_at(spec: &Path, path: &str, problems: &mut Problems) -> Self {
        Self {
            removed: prefix(
                &spec.remove_prefix,
                &format!("{path}.removePrefix"),
                problems,
            ),
            added: prefix(&spec.add_prefix, &format!("{path}.addPrefix"), problems),
        }
    }

    /// Returns the target for the upstream, or `None` if it would be too long.
    pub(crate) fn apply(&self, target: PathAndQuery) -> Option<PathAndQuery> {
        if self.removed.is_empty() && self.added.is_empty() {
            return Some(target);
        }
        let path = target.path();
        let rest = match path.strip_prefix(self.removed.as_str()) {
            Some("") => "/",
            Some(rest) if rest.starts_with('/') => rest,
            // `/apiary` does not start with the segment `/api`.
            Some(_) | None => path,
        };
        let mut changed = String::with_capacity(self.added.len() + target.as_str().len());
        changed.push_str(&self.added);
        changed.push_str(rest);
        if let Some(query) = target.query() {
            changed.push('?');
            changed.push_str(query);
        }
        PathAndQuery::try_from(changed).ok()
    }
}

/// Normalizes a prefix: with a leading slash and without a trailing slash, or empty.
fn prefix(text: &str, path: &str, problems: &mut Problems) -> String {
    let trimmed = text.trim_matches('/');
    if trimmed.is_empty() {
        return String::new();
    }
    let prefix = format!("/{trimmed}");
    if crate::canonical::check_path(&prefix).is_err() || prefix.contains(['?', '#']) {
        problems.add(
            path,
            "must be a plain path without dot segments, double slashes or a query",
        );
    }
    prefix
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", "", "/a?b", "/a?b")]
    #[case("/api", "", "/api/x?q=1", "/x?q=1")]
    #[case("/api/", "", "/api", "/")]
    #[case("/api", "", "/apiary", "/apiary")]
    #[case("/api", "", "/other", "/other")]
    #[case("", "v1", "/x", "/v1/x")]
    #[case("/api", "/v1/", "/api/x", "/v1/x")]
    #[case("/api", "/v1", "/api", "/v1/")]
    fn prefixes_are_whole_segments(
        #[case] remove: &str,
        #[case] add: &str,
        #[case] target: &str,
        #[case] expected: &str,
    ) {
        let mut problems = Problems::default();
        let spec = Path {
            add_prefix: add.to_owned(),
            remove_prefix: remove.to_owned(),
        };
        let rule = PathRule::compile(Some(&spec), &mut problems);
        assert!(problems.is_empty());
        assert_eq!(rule.apply(target.parse().unwrap()).unwrap(), expected);
    }

    #[test]
    fn c05_a_prefix_cannot_make_a_path_ambiguous() {
        for text in ["/a/../b", "/a//b", "/a?b", "/a%2fb"] {
            let mut problems = Problems::default();
            let spec = Path {
                add_prefix: text.to_owned(),
                remove_prefix: String::new(),
            };
            PathRule::compile(Some(&spec), &mut problems);
            assert!(!problems.is_empty(), "{text}");
        }
    }
}
