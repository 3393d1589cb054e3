//! The identity provider as its metadata describe it (SAML Metadata, IdP role).

use std::time::Duration;

use domain::clock::UnixMillis;

use super::{
    certificate::Certificate,
    error::{Error, ErrorKind},
    instant,
};

mod metadata;

pub use metadata::{MAX_METADATA_BYTES, MetadataOptions};

/// Metadata are asked for again after this time where they do not say, and at the latest.
const REFRESH: Duration = Duration::from_hours(1);
const LONGEST_REFRESH: Duration = Duration::from_hours(24);
/// Nobody is asked more often.
const SHORTEST_REFRESH: Duration = Duration::from_mins(5);

/// How a message reaches a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// In the query of a redirection, deflated.
    Redirect,
    /// In a form that the browser posts.
    Post,
}

/// Where messages of one kind go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// How they get there.
    pub binding: Binding,
    /// Requests go here: an `https` URL, or an `http` one of this machine.
    pub location: String,
    /// Responses go here where that is another place.
    pub response_location: Option<String>,
}

/// An identity provider.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Its name: the `Issuer` of what it says.
    pub entity_id: String,
    /// Any of these signs. Several stand there while it changes its key.
    pub signing: Vec<Certificate>,
    /// For these it can decrypt.
    pub encryption: Vec<Certificate>,
    /// Where logins begin; not empty.
    pub single_sign_on: Vec<Endpoint>,
    /// Where Sessions end.
    pub single_logout: Vec<Endpoint>,
    /// Whether it takes signed requests alone.
    pub wants_signed_requests: bool,
    /// Nothing of this holds from then on.
    pub valid_until: Option<UnixMillis>,
    /// How long a copy may be held.
    pub cache_duration: Option<Duration>,
}

impl Provider {
    /// When the metadata are to be fetched again, if they were fetched at `fetched_at`.
    pub fn refresh_at(&self, fetched_at: UnixMillis) -> UnixMillis {
        let wanted = self.cache_duration.unwrap_or(REFRESH);
        let due = fetched_at.saturating_add(wanted.min(LONGEST_REFRESH));
        self.valid_until
            .map_or(due, |until| due.min(until))
            .max(fetched_at.saturating_add(SHORTEST_REFRESH))
    }

    /// Refuses metadata whose time is over.
    pub(super) fn check_validity(&self, now: UnixMillis) -> Result<(), Error> {
        match self.valid_until {
            Some(until) if instant::has_ended(until, now) => Err(Error::new(
                ErrorKind::Metadata,
                format!("the metadata were valid until {until}"),
            )),
            _ => Ok(()),
        }
    }
}

/// The endpoint to use: by redirection where there is the choice.
pub(super) fn preferred(endpoints: &[Endpoint]) -> Option<&Endpoint> {
    endpoints
        .iter()
        .find(|endpoint| endpoint.binding == Binding::Redirect)
        .or_else(|| endpoints.first())
}
