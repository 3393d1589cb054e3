//! Parses the query of a request.

use std::{
    borrow::Cow,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use percent_encoding::percent_decode_str;

use crate::Fields;

/// Query parameters, parsed on first use. Records whether a Policy read one that an upstream may interpret differently.
pub struct QueryView<'a> {
    query: &'a str,
    parsed: OnceLock<Parsed<'a>>,
    misread: AtomicBool,
}

struct Parsed<'a> {
    parameters: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    malformed: bool,
}

impl<'a> QueryView<'a> {
    /// Creates a view of the part of the URI after the question mark.
    pub fn new(query: Option<&'a str>) -> Self {
        Self {
            query: query.unwrap_or_default(),
            parsed: OnceLock::new(),
            misread: AtomicBool::new(false),
        }
    }

    /// Returns whether a Policy read an ambiguous value: a repeated parameter, or any parameter of a query that is
    /// malformed or contains `;`, which some parsers treat as a separator.
    pub fn was_misread(&self) -> bool {
        self.misread.load(Ordering::Relaxed)
    }

    fn parsed(&self) -> &Parsed<'a> {
        let parsed = self.parsed.get_or_init(|| Parsed::read(self.query));
        if parsed.malformed {
            self.misread.store(true, Ordering::Relaxed);
        }
        parsed
    }
}

impl Fields for QueryView<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        if self.query.is_empty() {
            return None;
        }
        let mut values = self
            .parsed()
            .parameters
            .iter()
            .filter(|(parameter, _)| parameter == name);
        let (_, first) = values.next()?;
        if values.next().is_some() {
            self.misread.store(true, Ordering::Relaxed);
        }
        Some(first)
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        if self.query.is_empty() {
            return;
        }
        let parameters = &self.parsed().parameters;
        for (index, (name, value)) in parameters.iter().enumerate() {
            if parameters
                .iter()
                .take(index)
                .any(|(earlier, _)| earlier == name)
            {
                self.misread.store(true, Ordering::Relaxed);
            } else {
                visit(name, value);
            }
        }
    }
}

impl<'a> Parsed<'a> {
    /// Parses `application/x-www-form-urlencoded`. A query with more than 1000 parameters counts as malformed.
    fn read(query: &'a str) -> Self {
        let mut malformed = query.contains(';');
        let mut parameters = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if parameters.len() == 1000 {
                malformed = true;
                break;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decode(name), decode(value)) {
                (Some(name), Some(value)) => parameters.push((name, value)),
                _ => malformed = true,
            }
        }
        Self {
            parameters,
            malformed,
        }
    }
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a=1&b=2", "b", Some("2"), false)]
    #[case("a=1&b=2", "c", None, false)]
    #[case("a=%41+b", "a", Some("A b"), false)]
    #[case("%61=1", "a", Some("1"), false)]
    #[case("flag", "flag", Some(""), false)]
    #[case("a=1&x=1&x=2", "a", Some("1"), false)]
    #[case("role=user&role=admin", "role", Some("user"), true)]
    #[case("role=user&%72ole=admin", "role", Some("user"), true)]
    #[case("a=1;role=admin", "role", None, true)]
    #[case("role=%ff", "role", None, true)]
    fn c08_a_parameter_that_decides_has_one_value(
        #[case] query: &str,
        #[case] name: &str,
        #[case] value: Option<&str>,
        #[case] misread: bool,
    ) {
        let view = QueryView::new(Some(query));
        assert_eq!(view.get(name), value);
        assert_eq!(view.was_misread(), misread);
    }

    #[test]
    fn c08_reading_all_parameters_notices_repetition() {
        let view = QueryView::new(Some("a=1&b=2&a=3"));
        let mut seen = Vec::new();
        view.each(&mut |name, value| seen.push((name.to_owned(), value.to_owned())));
        assert_eq!(seen.len(), 2);
        assert!(view.was_misread());
    }

    #[test]
    fn a_query_that_no_policy_reads_is_not_checked() {
        assert!(!QueryView::new(Some("a=1&a=2;%ff")).was_misread());
    }
}
