//! The kinds that are held completely: Policies, Services, Namespaces, Groups, `IdentityProviders` and the
//! `ClusterConfig`.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use api::{
    core_v1::{ClusterConfig, Group, Namespace, Policy, Service},
    resource::Object as _,
};
use arc_swap::ArcSwap;
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use policy::{PolicySet, Target};
use store::{Document, Revision, Store, StoreError};

use super::{authenticator_rules::AuthenticatorRules, providers::Providers};
use crate::document::codec::{Resource, Stored, decode};

const PAGE: u32 = 1000;

/// A Service with the data that a decision about it needs.
pub struct ServiceEntry {
    /// The Service.
    pub service: Arc<Service>,
    /// Namespace of the Service.
    pub namespace: Arc<Namespace>,
    /// Both as Policies see them, with the attached Policies of the Service, the Namespace and the Cluster.
    pub target: Arc<Target>,
    /// Revision of the Service.
    pub revision: Revision,
}

/// Snapshots of the held objects. A reader keeps the snapshot it loaded; a change replaces it.
pub(super) struct ResourceSnapshots {
    policies: ArcSwap<PolicySet>,
    /// Names by uid, for deletions.
    policy_names: ArcSwap<HashMap<Uid, String>>,
    namespaces: ArcSwap<HashMap<Uid, Arc<Namespace>>>,
    groups: ArcSwap<Groups>,
    config: ArcSwap<ClusterConfig>,
    authenticator_rules: ArcSwap<AuthenticatorRules>,
    services: ArcSwap<Services>,
    providers: Providers,
}

#[derive(Default)]
struct Groups {
    by_name: HashMap<String, (Uid, Arc<Group>)>,
    names: HashMap<Uid, String>,
}

#[derive(Default)]
struct Services {
    by_uid: HashMap<Uid, Arc<Stored<Service>>>,
    by_name: HashMap<String, Arc<ServiceEntry>>,
    by_host: HashMap<String, Arc<ServiceEntry>>,
    /// The configuration from which the targets were built.
    config: Arc<ClusterConfig>,
}

/// Returns whether documents of this kind are held completely.
pub(super) fn has_snapshot(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Policy
            | Kind::Namespace
            | Kind::Group
            | Kind::ClusterConfig
            | Kind::Service
            | Kind::IdentityProvider
    )
}

impl ResourceSnapshots {
    pub(super) fn empty() -> Self {
        Self {
            policies: ArcSwap::from_pointee(PolicySet::new([])),
            policy_names: ArcSwap::default(),
            namespaces: ArcSwap::default(),
            groups: ArcSwap::default(),
            config: ArcSwap::default(),
            authenticator_rules: ArcSwap::from_pointee(AuthenticatorRules::of(
                &ClusterConfig::default(),
            )),
            services: ArcSwap::default(),
            providers: Providers::default(),
        }
    }

    /// Reads all objects again.
    pub(super) async fn reload(
        &self,
        store: &dyn Store,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let policies: Vec<Stored<Policy>> = all_undamaged(store, now).await?;
        let namespaces: Vec<Stored<Namespace>> = all_undamaged(store, now).await?;
        let groups: Vec<Stored<Group>> = all_undamaged(store, now).await?;
        let configs = all(store, Kind::ClusterConfig, now).await?;
        let config = configs.first().map(decode::<ClusterConfig>).transpose()?;
        let services: Vec<Stored<Service>> = all_undamaged(store, now).await?;
        self.providers.reload(all_undamaged(store, now).await?);

        let names = policies
            .iter()
            .map(|policy| (policy.uid, policy.message.name().to_owned()));
        self.policy_names.store(Arc::new(names.collect()));
        let policies = policies.into_iter().map(|policy| policy.message);
        self.policies.store(Arc::new(PolicySet::new(policies)));
        let namespaces = namespaces
            .into_iter()
            .map(|one| (one.uid, Arc::new(one.message)));
        self.namespaces.store(Arc::new(namespaces.collect()));
        let mut held = Groups::default();
        for group in groups {
            held.put(group);
        }
        self.groups.store(Arc::new(held));
        let config = config.map(|config| config.message).unwrap_or_default();
        self.put_config(config);
        let services = services.into_iter().map(|one| (one.uid, Arc::new(one)));
        self.rebuild_services(services.collect());
        Ok(())
    }

    /// Applies the current state of changed documents; `None` for a deleted one.
    pub(super) fn apply(
        &self,
        changes: &[(Kind, Uid, Option<Document>)],
    ) -> Result<(), StoreError> {
        self.apply_policies(changes);
        self.providers.apply(changes);
        let rebuilds_all = self.apply_surroundings(changes)?;
        let mut services = self.services.load().by_uid.clone();
        let mut has_changed = rebuilds_all;
        for (_, uid, document) in changes.iter().filter(|(kind, ..)| *kind == Kind::Service) {
            has_changed = true;
            match document.as_ref().and_then(undamaged) {
                Some(service) => services.insert(*uid, Arc::new(service)),
                None => services.remove(uid),
            };
        }
        if has_changed {
            self.rebuild_services(services);
        }
        Ok(())
    }

    pub(super) fn policies(&self) -> PolicySet {
        PolicySet::clone(&self.policies.load())
    }

    pub(super) fn providers(&self) -> &Providers {
        &self.providers
    }

    pub(super) fn config(&self) -> Arc<ClusterConfig> {
        self.config.load_full()
    }

    pub(super) fn authenticator_rules(&self) -> Arc<AuthenticatorRules> {
        self.authenticator_rules.load_full()
    }

    fn put_config(&self, config: ClusterConfig) {
        let rules = AuthenticatorRules::of(&config);
        self.authenticator_rules.store(Arc::new(rules));
        self.config.store(Arc::new(config));
    }

    pub(super) fn group(&self, name: &str) -> Option<(Uid, Arc<Group>)> {
        self.groups.load().by_name.get(name).cloned()
    }

    pub(super) fn service_by_name(&self, name: &str) -> Option<Arc<ServiceEntry>> {
        self.services.load().by_name.get(name).cloned()
    }

    pub(super) fn service_by_host(&self, hostname: &str) -> Option<Arc<ServiceEntry>> {
        self.services.load().by_host.get(hostname).cloned()
    }

    pub(super) fn services(&self) -> Vec<Arc<ServiceEntry>> {
        self.services.load().by_name.values().cloned().collect()
    }

    pub(super) fn namespace(&self, name: &str) -> Option<Arc<Namespace>> {
        let namespaces = self.namespaces.load();
        namespaces
            .values()
            .find(|namespace| namespace.name() == name)
            .cloned()
    }

    fn apply_policies(&self, changes: &[(Kind, Uid, Option<Document>)]) {
        let changes: Vec<_> = changes
            .iter()
            .filter(|(kind, ..)| *kind == Kind::Policy)
            .collect();
        if changes.is_empty() {
            return;
        }
        let mut policies = self.policies();
        let mut names = HashMap::clone(&self.policy_names.load());
        // A name can come back as another Policy, in the same changes and in any order.
        for (_, uid, _) in &changes {
            if let Some(name) = names.remove(uid) {
                policies = policies.without(&name);
            }
        }
        for (_, uid, document) in changes {
            if let Some(policy) = document.as_ref().and_then(undamaged::<Policy>) {
                names.insert(*uid, policy.message.name().to_owned());
                policies = policies.with(policy.message);
            }
        }
        self.policies.store(Arc::new(policies));
        self.policy_names.store(Arc::new(names));
    }

    /// Applies Namespaces, Groups and the `ClusterConfig`. Returns true if the targets of all Services must be
    /// rebuilt.
    fn apply_surroundings(
        &self,
        changes: &[(Kind, Uid, Option<Document>)],
    ) -> Result<bool, StoreError> {
        let mut namespaces = HashMap::clone(&self.namespaces.load());
        let mut groups: Option<Groups> = None;
        let mut rebuilds_all = false;
        for (kind, uid, document) in changes {
            match kind {
                Kind::Namespace => {
                    rebuilds_all = true;
                    match document.as_ref().and_then(undamaged::<Namespace>) {
                        Some(namespace) => {
                            namespaces.insert(*uid, Arc::new(namespace.message));
                        }
                        None => {
                            namespaces.remove(uid);
                        }
                    }
                }
                Kind::Group => {
                    let groups = groups.get_or_insert_with(|| self.groups.load().copy());
                    groups.remove(*uid);
                    if let Some(group) = document.as_ref().and_then(undamaged) {
                        groups.put(group);
                    }
                }
                Kind::ClusterConfig => {
                    rebuilds_all = true;
                    let config = document.as_ref().map(decode::<ClusterConfig>).transpose()?;
                    let config = config.map(|config| config.message).unwrap_or_default();
                    self.put_config(config);
                }
                _ => {}
            }
        }
        if let Some(groups) = groups {
            self.groups.store(Arc::new(groups));
        }
        if rebuilds_all {
            self.namespaces.store(Arc::new(namespaces));
        }
        Ok(rebuilds_all)
    }

    fn rebuild_services(&self, by_uid: HashMap<Uid, Arc<Stored<Service>>>) {
        let before = self.services.load();
        let namespaces = self.namespaces.load();
        let config = self.config.load();
        let mut services = Services::default();
        for service in by_uid.values() {
            let Some(namespace) = namespace_of(&service.message, &namespaces) else {
                tracing::warn!(
                    service = service.message.name(),
                    "the Namespace of a Service is missing; it is not served"
                );
                continue;
            };
            let known = before.by_name.get(service.message.name()).filter(|known| {
                known.revision == service.revision && Arc::ptr_eq(&known.namespace, namespace)
            });
            let known = known.filter(|_| Arc::ptr_eq(&before.config, &config));
            let entry = known.cloned().unwrap_or_else(|| {
                Arc::new(ServiceEntry {
                    service: Arc::new(service.message.clone()),
                    namespace: namespace.clone(),
                    target: Arc::new(Target::new(&service.message, namespace, Some(&config))),
                    revision: service.revision,
                })
            });
            for hostname in hostnames(&service.message) {
                services.by_host.insert(hostname.to_owned(), entry.clone());
            }
            services
                .by_name
                .insert(service.message.name().to_owned(), entry);
        }
        services.by_uid = by_uid;
        services.config = config.clone();
        self.services.store(Arc::new(services));
    }
}

impl Groups {
    fn put(&mut self, group: Stored<Group>) {
        let name = group.message.name().to_owned();
        self.names.insert(group.uid, name.clone());
        self.by_name
            .insert(name, (group.uid, Arc::new(group.message)));
    }

    fn remove(&mut self, uid: Uid) {
        if let Some(name) = self.names.remove(&uid)
            && self.by_name.get(&name).is_some_and(|(of, _)| *of == uid)
        {
            self.by_name.remove(&name);
        }
    }

    fn copy(&self) -> Self {
        Self {
            by_name: self.by_name.clone(),
            names: self.names.clone(),
        }
    }
}

/// Reads every document of a kind.
async fn all(store: &dyn Store, kind: Kind, now: UnixMillis) -> Result<Vec<Document>, StoreError> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let documents = store.scan(kind, after, PAGE, now).await?;
        let is_last = u32::try_from(documents.len()).unwrap_or(PAGE) < PAGE;
        after = documents.last().map(|document| document.uid);
        found.extend(documents);
        if is_last {
            return Ok(found);
        }
    }
}

async fn all_undamaged<T: Resource>(
    store: &dyn Store,
    now: UnixMillis,
) -> Result<Vec<Stored<T>>, StoreError> {
    let documents = all(store, T::DOCUMENT, now).await?;
    Ok(documents.iter().filter_map(undamaged).collect())
}

/// Decodes a document. A damaged one counts as missing: objects that refer to it are denied, and all others still
/// work.
pub(super) fn undamaged<T: Resource>(document: &Document) -> Option<Stored<T>> {
    match decode(document) {
        Ok(resource) => Some(resource),
        Err(error) => {
            tracing::error!(%error, "a document is damaged; requests that need it are denied");
            None
        }
    }
}

fn namespace_of<'a>(
    service: &Service,
    namespaces: &'a HashMap<Uid, Arc<Namespace>>,
) -> Option<&'a Arc<Namespace>> {
    let reference = service.status.as_ref()?.namespace_ref.as_ref()?;
    namespaces.get(&reference.uid.parse().ok()?)
}

fn hostnames(service: &Service) -> HashSet<&str> {
    let status = service.status.as_ref();
    status
        .into_iter()
        .flat_map(|status| {
            let additional = status.additional_hostnames.iter().map(String::as_str);
            additional.chain([status.primary_hostname.as_str()])
        })
        .filter(|hostname| !hostname.is_empty())
        .collect()
}
