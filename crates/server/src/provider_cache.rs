//! Network access of a replica to identity providers, and cached provider data such as keys.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use authn::{
    jwks::{KeyLocation, KeySource},
    outbound::Outbound,
    provider::{github, oidc::RelyingParty},
    saml::{DecryptionKey, SigningKey},
    saml_source::{MetadataLocation, MetadataSource, ProviderSelection},
};
use domain::clock::Clock;
use tokio::sync::OnceCell;

/// Maximum number of cached sources. Above it, unused ones are evicted.
const SOURCES: usize = 256;

/// Cached data about identity providers.
#[derive(Default)]
pub(crate) struct ProviderCache {
    outbound: OnceLock<Outbound>,
    /// Sources by location, so that edits of other provider settings do not discard them.
    sources: Mutex<HashMap<KeyLocation, Arc<KeySource>>>,
    /// Relying parties by issuer.
    relying_party: Mutex<HashMap<String, Arc<RelyingParty>>>,
    github: github::Endpoints,
    /// The SAML keys of the Cluster. Empty until they are first used.
    pub(crate) saml_keys: OnceCell<Arc<SamlKeys>>,
    /// Metadata of SAML providers by location and choice.
    saml_metadata: Mutex<HashMap<(MetadataLocation, ProviderSelection), Arc<MetadataSource>>>,
}

/// The keys that sign SAML requests and decrypt assertions.
pub(crate) struct SamlKeys {
    pub(crate) signing: SigningKey,
    pub(crate) decryption: DecryptionKey,
}

impl ProviderCache {
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
    pub(crate) fn relying_party(&self, issuer: &str, clock: &Arc<dyn Clock>) -> Arc<RelyingParty> {
        let mut relying_party = self
            .relying_party
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = relying_party.get(issuer) {
            return known.clone();
        }
        if relying_party.len() >= SOURCES {
            relying_party.retain(|_, known| Arc::strong_count(known) > 1);
        }
        let new = RelyingParty::new(issuer, self.outbound().clone(), clock.clone());
        let new = Arc::new(new);
        relying_party.insert(issuer.to_owned(), new.clone());
        new
    }

    /// Returns the endpoints of GitHub.
    pub(crate) fn github(&self) -> &github::Endpoints {
        &self.github
    }

    /// Returns the source of the part of a SAML provider's metadata that `choice` selects.
    pub(crate) fn saml_metadata(
        &self,
        location: MetadataLocation,
        choice: ProviderSelection,
        clock: &Arc<dyn Clock>,
    ) -> Arc<MetadataSource> {
        let key = (location, choice);
        let sources = &self.saml_metadata;
        let mut sources = sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = sources.get(&key) {
            return source.clone();
        }
        if sources.len() >= SOURCES {
            sources.retain(|_, source| Arc::strong_count(source) > 1);
        }
        let outbound = self.outbound().clone();
        let (location, choice) = key.clone();
        let source = MetadataSource::new(location, choice, outbound, clock.clone());
        let source = Arc::new(source);
        sources.insert(key, source.clone());
        source
    }
}
