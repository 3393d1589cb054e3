//! Network access of a replica to identity providers, and cached provider data such as keys.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use authn::{
    jwks::{KeyLocation, KeySource},
    outbound::Outbound,
    provider::{github, oidc::Relying},
};
use domain::clock::Clock;

mod ending;
pub(crate) mod oidc;
pub(crate) mod saml;

/// Path to which identity providers redirect or post.
pub(crate) const CALLBACK: &str = "/callback";
/// Maximum number of cached sources. Above it, unused ones are evicted.
const SOURCES: usize = 256;

/// Cached data about identity providers.
#[derive(Default)]
pub(crate) struct Federation {
    outbound: OnceLock<Outbound>,
    /// Sources by location, so that edits of other provider settings do not discard them.
    sources: Mutex<HashMap<KeyLocation, Arc<KeySource>>>,
    /// Relying parties by issuer.
    relying: Mutex<HashMap<String, Arc<Relying>>>,
    github: github::Endpoints,
    saml: saml::State,
}

impl Federation {
    /// Uses `outbound` for requests to providers.
    pub(crate) fn by(outbound: Outbound) -> Self {
        Self {
            outbound: OnceLock::from(outbound),
            ..Self::default()
        }
    }

    /// Returns the outbound connector. The default reaches only the public Internet.
    pub(crate) fn outbound(&self) -> &Outbound {
        self.outbound.get_or_init(Outbound::default)
    }

    /// Returns the key source of a location.
    pub(crate) fn keys(&self, location: KeyLocation, clock: &Arc<dyn Clock>) -> Arc<KeySource> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = sources.get(&location) {
            return source.clone();
        }
        if sources.len() >= SOURCES {
            sources.retain(|_, source| Arc::strong_count(source) > 1);
        }
        let source = KeySource::new(location.clone(), self.outbound().clone(), clock.clone());
        let source = Arc::new(source);
        sources.insert(location, source.clone());
        source
    }

    /// Returns the relying party for the `OpenID` Connect provider with this issuer.
    pub(crate) fn relying(&self, issuer: &str, clock: &Arc<dyn Clock>) -> Arc<Relying> {
        let mut relying = self.relying.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = relying.get(issuer) {
            return known.clone();
        }
        if relying.len() >= SOURCES {
            relying.retain(|_, known| Arc::strong_count(known) > 1);
        }
        let new = Relying::new(issuer, self.outbound().clone(), clock.clone());
        let new = Arc::new(new);
        relying.insert(issuer.to_owned(), new.clone());
        new
    }

    /// Returns the endpoints of GitHub.
    pub(crate) fn github(&self) -> &github::Endpoints {
        &self.github
    }
}
