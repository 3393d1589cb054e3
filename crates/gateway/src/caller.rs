//! The identity of a caller, for the log and for upstreams.

use std::sync::{Mutex, OnceLock, PoisonError};

use domain::{clock::UnixMillis, id::Uid};
use http::{HeaderName, HeaderValue};

/// The maximum number of cached assertions of a caller, one for each audience.
const KEPT_ASSERTIONS: usize = 16;

/// The facts about a caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallerFacts {
    /// The name of the User.
    pub user: String,
    /// The uid of the User.
    pub user_uid: String,
    /// The email address of the User.
    pub email: Option<String>,
    /// The names of the User's Groups.
    pub groups: Vec<String>,
    /// The name of the Session.
    pub session: String,
    /// The uid of the Session.
    pub session_uid: String,
    /// The name of the Credential that created the Session.
    pub credential: Option<String>,
}

/// A caller with cached header fields and assertions. Keep it for as long as the facts are valid.
pub struct Caller {
    facts: CallerFacts,
    user: Option<Uid>,
    fields: OnceLock<Vec<(HeaderName, HeaderValue)>>,
    assertions: Mutex<Vec<Issued>>,
}

/// A signed assertion of a caller's identity.
#[derive(Clone)]
pub struct Assertion {
    /// A JWT in compact serialization.
    pub value: HeaderValue,
    /// The time from which upstreams reject it.
    pub expires_at: UnixMillis,
}

struct Issued {
    audience: Box<str>,
    fresh_until: UnixMillis,
    value: HeaderValue,
}

impl Caller {
    /// Creates a caller with empty caches.
    pub fn new(facts: CallerFacts) -> Self {
        Self {
            user: facts.user_uid.parse().ok(),
            facts,
            fields: OnceLock::new(),
            assertions: Mutex::default(),
        }
    }

    /// Returns the facts about the caller.
    pub fn facts(&self) -> &CallerFacts {
        &self.facts
    }

    /// Returns the uid of the User, or `None` if the facts contain none.
    pub(crate) fn user(&self) -> Option<Uid> {
        self.user
    }

    /// Returns the header fields that identify the caller to an upstream. Values that a field cannot hold are left out.
    pub(crate) fn fields(&self) -> &[(HeaderName, HeaderValue)] {
        self.fields.get_or_init(|| {
            let facts = &self.facts;
            // A name with a comma would be read as two names.
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

    /// Returns the assertion for `audience`. Uses a cached one during the first half of its lifetime, else the result
    /// of `sign`.
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
    fn c12_names_cannot_inject_headers_or_list_items() {
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
