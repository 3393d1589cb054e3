//! An identity provider, described by its metadata (SAML Metadata, IdP role).

use std::time::Duration;

use domain::clock::UnixMillis;

use super::{
    certificate::Certificate,
    error::{Error, ErrorKind},
    instant,
};

mod metadata;

pub use metadata::{MAX_METADATA_BYTES, MetadataOptions};

/// Refresh interval of the metadata without `cacheDuration`, and the upper and lower limit of the interval.
const REFRESH: Duration = Duration::from_hours(1);
const LONGEST_REFRESH: Duration = Duration::from_hours(24);
const SHORTEST_REFRESH: Duration = Duration::from_mins(5);

/// Transport of a message to a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// Deflated message in the query of a redirect.
    Redirect,
    /// Message in a form that the browser posts.
    Post,
}

/// An endpoint for one kind of message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Binding of the endpoint.
    pub binding: Binding,
    /// URL for requests: `https`, or `http` on the local host.
    pub location: String,
    /// URL for responses, if it differs.
    pub response_location: Option<String>,
}

/// An identity provider.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Entity id, which is the `Issuer` of its messages.
    pub entity_id: String,
    /// Certificates whose keys can sign messages. There are several during a key rotation.
    pub signing: Vec<Certificate>,
    /// Certificates for the encryption of messages to the provider.
    pub encryption: Vec<Certificate>,
    /// Endpoints for login requests, never empty.
    pub single_sign_on: Vec<Endpoint>,
    /// Endpoints for logout messages.
    pub single_logout: Vec<Endpoint>,
    /// True if the provider accepts only signed requests.
    pub wants_signed_requests: bool,
    /// Time at which the metadata expire.
    pub valid_until: Option<UnixMillis>,
    /// Time for which the metadata can be cached.
    pub cache_duration: Option<Duration>,
}

impl Provider {
    /// Returns the time to refetch metadata that were fetched at `fetched_at`.
    pub fn refresh_at(&self, fetched_at: UnixMillis) -> UnixMillis {
        let wanted = self.cache_duration.unwrap_or(REFRESH);
        let due = fetched_at.saturating_add(wanted.min(LONGEST_REFRESH));
        self.valid_until
            .map_or(due, |until| due.min(until))
            .max(fetched_at.saturating_add(SHORTEST_REFRESH))
    }

    /// Returns an error if the metadata have expired.
    pub(super) fn check_validity(&self, now: UnixMillis) -> Result<(), Error> {
        match self.valid_until {
            Some(until) if instant::has_ended(until, now) => Err(Error::new(
                ErrorKind::Metadata,
                format!("the metadata expired at {until}"),
            )),
            _ => Ok(()),
        }
    }
}

/// Returns the endpoint to use, with a preference for the redirect binding.
pub(super) fn preferred(endpoints: &[Endpoint]) -> Option<&Endpoint> {
    endpoints
        .iter()
        .find(|endpoint| endpoint.binding == Binding::Redirect)
        .or_else(|| endpoints.first())
}
