//! All named Policies of a Cluster, compiled.

use std::sync::Arc;

use api::core_v1;
use hashbrown::HashMap;

/// An immutable set of compiled Policies; cheap to clone and to share.
#[derive(Clone, Default)]
pub struct PolicySet(Arc<HashMap<Arc<str>, Arc<core_v1::Policy>>>);

impl PolicySet {
    /// Compiles `policies`; one that does not compile is kept and never allows.
    pub fn new(policies: impl IntoIterator<Item = core_v1::Policy>) -> Self {
        policies
            .into_iter()
            .fold(Self::default(), |set, policy| set.with(policy))
    }

    /// The set with `policy` added or replaced.
    #[must_use]
    pub fn with(&self, policy: core_v1::Policy) -> Self {
        let mut policies = (*self.0).clone();
        let name = policy
            .metadata
            .as_ref()
            .map_or("", |metadata| &metadata.name);
        policies.insert(Arc::from(name), Arc::new(policy));
        Self(Arc::new(policies))
    }

    /// The set without the Policy of that name.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let mut policies = (*self.0).clone();
        policies.remove(name);
        Self(Arc::new(policies))
    }
}
