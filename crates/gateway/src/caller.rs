//! Who a caller is, as the log names it and upstreams are told.

use std::sync::{Mutex, OnceLock, PoisonError};

use domain::clock::UnixMillis;
use http::{HeaderName, HeaderValue};

/// How many upstreams' assertions are kept for a caller.
const KEPT_ASSERTIONS: usize = 16;

/// What is known of a caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallerFacts {
    /// Name of the User.
    pub user: String,
    /// Uid of the User.
    pub user_uid: String,
    /// E-mail address of the User.
    pub email: Option<String>,
    /// Names of the User's Groups.
    pub groups: Vec<String>,
    /// Name of the Session.
    pub session: String,
    /// Uid of the Session.
    pub session_uid: String,
    /// Name of the Credential that the Session came from.
    pub credential: Option<String>,
}

/// A caller, and what was made for it. To be kept for as long as the facts hold.
pub struct Caller {
    facts: CallerFacts,
    fields: OnceLock<Vec<(HeaderName, HeaderValue)>>,
    assertions: Mutex<Vec<Issued>>,
}

/// A signed statement of who a caller is.
#[derive(Clone)]
pub struct Assertion {
    /// A JWT in compact serialization.
    pub value: HeaderValue,
    /// From here on upstreams refuse it.
    pub expires_at: UnixMillis,
}

struct Issued {
    audience: Box<str>,
    fresh_until: UnixMillis,
    value: HeaderValue,
}

impl Caller {
    /// A caller for whom nothing was made yet.
    pub fn new(facts: CallerFacts) -> Self {
        Self {
            facts,
            fields: OnceLock::new(),
            assertions: Mutex::default(),
        }
    }

    /// What is known of it.
    pub fn facts(&self) -> &CallerFacts {
        &self.facts
    }

    /// The header fields that tell an upstream who it is. What cannot be said in one is left out.
    pub(crate) fn fields(&self) -> &[(HeaderName, HeaderValue)] {
        self.fields.get_or_init(|| {
            let facts = &self.facts;
            // A name with a comma would read as two.
            let groups = facts.groups.iter().filter(|group| !group.contains(','));
            let groups: Vec<&str> = groups.map(String::as_str).collect();
            let groups = groups.join(",");
            let fields = [
                ("x-octelium-user", facts.user.as_str()),
                ("x-octelium-user-uid", &facts.user_uid),
                (
                    "x-octelium-user-email",
                    facts.email.as_deref().unwrap_or_default(),
                ),
                ("x-octelium-groups", &groups),
                ("x-octelium-session", &facts.session),
                ("x-octelium-session-uid", &facts.session_uid),
            ];
            fields
                .into_iter()
                .filter(|(_, text)| !text.is_empty())
                .filter_map(|(name, text)| {
                    let value = HeaderValue::try_from(text).ok()?;
                    Some((HeaderName::from_static(name), value))
                })
                .collect()
        })
    }

    /// The assertion for `audience`: one that was made before and is good for half its life yet, else what `sign`
    /// makes.
    pub(crate) fn assertion(
        &self,
        audience: &str,
        now: UnixMillis,
        sign: impl FnOnce() -> Option<Assertion>,
    ) -> Option<HeaderValue> {
        let mut issued = self
            .assertions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = issued.iter().find(|known| *known.audience == *audience);
        if let Some(known) = known
            && now < known.fresh_until
        {
            return Some(known.value.clone());
        }
        let made = sign()?;
        issued.retain(|known| *known.audience != *audience && now < known.fresh_until);
        if issued.len() >= KEPT_ASSERTIONS {
            issued.remove(0);
        }
        let life = made.expires_at.since(now);
        issued.push(Issued {
            audience: audience.into(),
            fresh_until: now.saturating_add(life / 2),
            value: made.value.clone(),
        });
        Some(made.value)
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use super::*;

    #[test]
    fn c12_no_name_reads_as_more_than_it_is() {
        let caller = Caller::new(CallerFacts {
            user: "alice".to_owned(),
            email: Some("a@b\r\nX-Octelium-User: root".to_owned()),
            groups: vec!["dev".to_owned(), "x,admins".to_owned(), "ops".to_owned()],
            ..CallerFacts::default()
        });
        let fields: Vec<(&str, &str)> = caller
            .fields()
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(
            fields,
            [
                ("x-octelium-user", "alice"),
                ("x-octelium-groups", "dev,ops")
            ]
        );
    }

    #[test]
    fn a19_an_assertion_is_used_for_half_its_life_and_for_its_audience_alone() {
        let caller = Caller::new(CallerFacts::default());
        let made = Cell::new(0);
        let now = Cell::new(UnixMillis(0));
        let ask = |audience: &str| {
            caller.assertion(audience, now.get(), || {
                made.set(made.get() + 1);
                Some(Assertion {
                    value: HeaderValue::from(made.get()),
                    expires_at: now.get().saturating_add(Duration::from_mins(1)),
                })
            })
        };
        assert_eq!(ask("a").unwrap(), "1");
        assert_eq!(ask("b").unwrap(), "2");
        now.set(UnixMillis(29_999));
        assert_eq!(ask("a").unwrap(), "1");
        now.set(UnixMillis(30_000));
        assert_eq!(ask("a").unwrap(), "3");
        for audience in 0..100 {
            ask(&audience.to_string());
        }
        assert!(caller.assertions.lock().unwrap().len() <= KEPT_ASSERTIONS);
    }
}
