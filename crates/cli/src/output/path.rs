//! Paths into JSON, for `-o jsonpath=` and `-o field=`: names, positions and `*`, a subset of RFC 9535.

use std::str::FromStr;

use serde_json::Value;

/// A path, such as `spec.session.maxPerUser`, `$.items[*].metadata.name` or `{.items[0].metadata.labels['a.b']}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    /// Index in a list. Negative indexes count from the end.
    Position(i64),
    All,
}

impl Path {
    /// Returns the selected values, in document order.
    pub(crate) fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![value];
        for step in &self.0 {
            found = found
                .into_iter()
                .flat_map(|value| step.find(value))
                .collect();
        }
        found
    }
}

impl Step {
    fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match (self, value) {
            (Self::Name(name), Value::Object(fields)) => fields.get(name).into_iter().collect(),
            (Self::Position(position), Value::Array(items)) => {
                let distance = usize::try_from(position.unsigned_abs()).ok();
                let position = if *position < 0 {
                    distance.and_then(|distance| items.len().checked_sub(distance))
                } else {
                    distance
                };
                position.and_then(|at| items.get(at)).into_iter().collect()
            }
            (Self::All, Value::Array(items)) => items.iter().collect(),
            (Self::All, Value::Object(fields)) => fields.values().collect(),
            _ => Vec::new(),
        }
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let inner = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        let inner = inner.unwrap_or(text).trim();
        let mut rest = inner.strip_prefix('$').unwrap_or(inner);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = if let Some(inside) = rest.strip_prefix('[') {
                bracket(inside).ok_or_else(|| wrong(rest))?
            } else {
                let name = match rest.strip_prefix('.') {
                    Some(name) => name,
                    None if steps.is_empty() && rest.len() == inner.len() => rest,
                    None => return Err(wrong(rest)),
                };
                dotted(name).ok_or_else(|| wrong(rest))?
            };
            steps.push(step);
            rest = after;
        }
        Ok(Self(steps))
    }
}

fn wrong(rest: &str) -> String {
    format!(
        "`{rest}` is not a path: use names and positions such as spec.groups[0], ['a.b'] for names with other \
         characters, and [*] for all items"
    )
}

fn dotted(text: &str) -> Option<(Step, &str)> {
    if let Some(after) = text.strip_prefix('*') {
        return Some((Step::All, after));
    }
    let is_name = |character: char| character.is_alphanumeric() || "_-".contains(character);
    let (name, after) = text.split_at(
        text.find(|character| !is_name(character))
            .unwrap_or(text.len()),
    );
    (!name.is_empty()).then(|| (Step::Name(name.to_owned()), after))
}

/// Parses a step after an opening bracket and returns the remaining text.
fn bracket(text: &str) -> Option<(Step, &str)> {
    for quote in ['\'', '"'] {
        if let Some(name) = text.strip_prefix(quote) {
            let (name, after) = name.split_once(quote)?;
            return Some((Step::Name(name.to_owned()), after.strip_prefix(']')?));
        }
    }
    let (inside, after) = text.split_once(']')?;
    match inside {
        "*" => Some((Step::All, after)),
        _ => Some((Step::Position(inside.parse().ok()?), after)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_positions_and_all() {
        let list = json!({"items": [
            {"name": "a", "labels": {"x.y": "1"}, "n": 1},
            {"name": "b", "tags": ["s", "t"]},
        ]});
        let find = |path: &str| json!(path.parse::<Path>().unwrap().find(&list));
        assert_eq!(find("items[*].name"), json!(["a", "b"]));
        assert_eq!(find("$.items.*.name"), json!(["a", "b"]));
        assert_eq!(find("{.items[0].labels['x.y']}"), json!(["1"]));
        assert_eq!(find("items[-1].tags[\"0\"]"), json!([]));
        assert_eq!(find("items[-1].tags[-2]"), json!(["s"]));
        assert_eq!(find("items[-3]"), json!([]));
        assert_eq!(find("$[\"items\"][0].n"), json!([1]));
        assert_eq!(find("items[7].name"), json!([]));
        assert_eq!(find("$"), json!([list]));
    }

    #[test]
    fn malformed_paths_are_refused() {
        for text in [
            "a..b",
            "a[",
            "a[]",
            "a['b]",
            "a b",
            "a.[0]",
            "items[?(@.n)]",
            ".",
            "a[0]b",
        ] {
            assert!(text.parse::<Path>().is_err(), "{text}");
        }
    }
}
