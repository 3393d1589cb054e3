//! What a replica knows of the identity providers that it asks over the network: their keys, and how to reach them.

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

/// How many sources of keys are held; above that those go that nobody uses.
const SOURCES: usize = 256;

/// See the module.
#[derive(Default)]
pub(crate) struct Federation {
    outbound: OnceLock<Outbound>,
    /// By where they are, so that they outlive edits of anything else.
    sources: Mutex<HashMap<KeyLocation, Arc<KeySource>>>,
    /// By issuer.
    relying: Mutex<HashMap<String, Arc<Relying>>>,
    github: github::Endpoints,
    saml: saml::State,
}

impl Federation {
    /// Reaches providers by `outbound`.
    pub(crate) fn by(outbound: Outbound) -> Self {
        Self {
            outbound: OnceLock::from(outbound),
            ..Self::default()
        }
    }

    /// The public Internet alone, unless said otherwise.
    pub(crate) fn outbound(&self) -> &Outbound {
        self.outbound.get_or_init(Outbound::default)
    }

    /// The keys at a place.
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

    /// The `OpenID` Connect provider that is this issuer.
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

    /// Where GitHub is.
    pub(crate) fn github(&self) -> &github::Endpoints {
        &self.github
    }
}
