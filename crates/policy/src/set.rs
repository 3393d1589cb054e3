//! The compiled Policies of a Cluster, and the Policies that a resource attaches.

use std::sync::{
    Arc, LazyLock, Mutex, PoisonError, Weak,
    atomic::{AtomicU64, Ordering},
};

use api::core_v1::{self, InlinePolicy};
use arc_swap::ArcSwapOption;
use hashbrown::HashMap;
use prost::Message as _;

use crate::rule::Policy;

/// An immutable set of compiled Policies, cheap to clone and share.
#[derive(Clone)]
pub struct PolicySet(Arc<Inner>);

struct Inner {
    /// Unique among the sets of this process.
    id: u64,
    policies: HashMap<Arc<str>, Arc<Policy>>,
}

impl Default for PolicySet {
    fn default() -> Self {
        Self::of(HashMap::new())
    }
}

impl PolicySet {
    /// Compiles `policies`. A Policy that does not compile is kept, and its broken rules never allow.
    pub fn new(policies: impl IntoIterator<Item = core_v1::Policy>) -> Self {
        Self::of(policies.into_iter().map(|policy| entry(&policy)).collect())
    }

    /// Returns a copy of the set with `policy` added or replaced.
    #[must_use]
    #[allow(
        clippy::needless_pass_by_value,
        reason = "callers pass ownership, as to `new`"
    )]
    pub fn with(&self, policy: core_v1::Policy) -> Self {
        let mut policies = self.0.policies.clone();
        let (name, policy) = entry(&policy);
        policies.insert(name, policy);
        Self::of(policies)
    }

    /// Returns a copy of the set without the Policy `name`.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let mut policies = self.0.policies.clone();
        policies.remove(name);
        Self::of(policies)
    }

    /// Returns the number of Policies.
    pub fn len(&self) -> usize {
        self.0.policies.len()
    }

    /// Returns whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.policies.is_empty()
    }

    fn of(policies: HashMap<Arc<str>, Arc<Policy>>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(Inner { id, policies }))
    }
}

fn entry(policy: &core_v1::Policy) -> (Arc<str>, Arc<Policy>) {
    let name = policy
        .metadata
        .as_ref()
        .map_or("", |metadata| &metadata.name);
    let spec = policy.spec.clone().unwrap_or_default();
    let compiled = Policy::compile(name, &spec);
    (compiled.name.clone(), Arc::new(compiled))
}

/// The Policies that one or more owners attach: names of Policies, and inline Policies.
pub(crate) struct Attachments {
    items: Box<[Attachment]>,
    /// Cached lookup in the last set that was used.
    resolved: ArcSwapOption<Resolved>,
}

enum Attachment {
    Named(Arc<str>),
    Inline(Arc<Policy>),
}

/// The attached Policies, looked up in one set.
pub(crate) struct Resolved {
    set: u64,
    /// Policies that decide.
    pub(crate) active: EvaluatedPolicies,
    /// Policies that decide and shadow Policies, or `None` if no shadow Policy is attached.
    pub(crate) with_shadow: Option<Box<EvaluatedPolicies>>,
}

/// Policies that are evaluated together, each once, in order.
pub(crate) struct EvaluatedPolicies {
    pub(crate) policies: Box<[Arc<Policy>]>,
    /// Name of an attached Policy that does not exist.
    pub(crate) missing: Option<Arc<str>>,
    /// Bitmap of the ranks of all rules.
    pub(crate) ranks: u32,
}

impl Attachments {
    /// Collects the attachments of several owners, in order.
    pub(crate) fn new<'o>(
        owners: impl IntoIterator<Item = (&'o str, &'o [String], &'o [InlinePolicy])>,
    ) -> Self {
        let mut items = Vec::new();
        for (owner, names, inline) in owners {
            items.extend(
                names
                    .iter()
                    .map(|name| Attachment::Named(Arc::from(name.as_str()))),
            );
            for (index, policy) in inline.iter().enumerate() {
                items.push(Attachment::Inline(shared(owner, index, policy)));
            }
        }
        Self {
            items: items.into(),
            resolved: ArcSwapOption::const_empty(),
        }
    }

    /// Runs `run` with the attached Policies, looked up in `set`.
    #[inline]
    pub(crate) fn resolve<R>(&self, set: &PolicySet, run: impl FnOnce(&Resolved) -> R) -> R {
        let cached = self.resolved.load();
        if let Some(resolved) = &*cached
            && resolved.set == set.0.id
        {
            return run(resolved);
        }
        drop(cached);
        let resolved = Arc::new(self.look_up(set));
        self.resolved.store(Some(resolved.clone()));
        run(&resolved)
    }

    /// Returns the memory size, in bytes. It does not include shared Policies and may count names twice.
    pub(crate) fn weight(&self) -> usize {
        let names = self.items.iter().map(|item| match item {
            Attachment::Named(name) => name.len() + 2 * size_of::<usize>(),
            Attachment::Inline(_) => 0,
        });
        let resolved = self.resolved.load();
        let resolved = resolved.as_ref().map_or(0, |resolved| {
            let all = [Some(&resolved.active), resolved.with_shadow.as_deref()];
            let policies = all
                .into_iter()
                .flatten()
                .map(|evaluated| evaluated.policies.len());
            size_of::<Resolved>() + policies.sum::<usize>() * size_of::<Arc<Policy>>()
        });
        size_of::<Self>()
            + self.items.len() * size_of::<Attachment>()
            + names.sum::<usize>()
            + resolved
    }

    fn look_up(&self, set: &PolicySet) -> Resolved {
        let mut found: Vec<FoundPolicy> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut missing: Vec<(Arc<str>, bool)> = Vec::new();
        for item in &self.items {
            let name = match item {
                Attachment::Inline(policy) => {
                    found.push(FoundPolicy::new(policy, !policy.is_shadow));
                    continue;
                }
                Attachment::Named(name) => name,
            };
            // A parent that is attached only through a shadow Policy is a shadow Policy too.
            let mut active = true;
            for name in with_parents(name) {
                let Some(policy) = set.0.policies.get(name) else {
                    missing.push((Arc::from(name), active));
                    continue;
                };
                active &= !policy.is_shadow;
                if let Some(known) = places.get(name).and_then(|place| found.get_mut(*place)) {
                    known.active |= active;
                } else {
                    places.insert(name, found.len());
                    found.push(FoundPolicy::new(policy, active));
                }
            }
        }
        let first_missing = |all: PolicySelection| {
            let mut missing = missing.iter();
            let found = missing.find(|(_, active)| *active || all == PolicySelection::WithShadow);
            found.map(|(name, _)| name.clone())
        };
        let evaluated = |all: PolicySelection| {
            let policies = found
                .iter()
                .filter(|found| found.active || all == PolicySelection::WithShadow)
                .map(|found| found.policy.clone());
            EvaluatedPolicies::new(policies.collect(), first_missing(all))
        };
        let has_shadow = found.iter().any(|found| !found.active);
        Resolved {
            set: set.0.id,
            active: evaluated(PolicySelection::Active),
            with_shadow: has_shadow.then(|| Box::new(evaluated(PolicySelection::WithShadow))),
        }
    }
}

/// Selects which of the found Policies to evaluate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PolicySelection {
    Active,
    WithShadow,
}

struct FoundPolicy {
    policy: Arc<Policy>,
    active: bool,
}

impl FoundPolicy {
    fn new(policy: &Arc<Policy>, active: bool) -> Self {
        Self {
            policy: policy.clone(),
            active,
        }
    }
}

impl EvaluatedPolicies {
    fn new(policies: Box<[Arc<Policy>]>, missing: Option<Arc<str>>) -> Self {
        Self {
            ranks: policies
                .iter()
                .fold(0, |ranks, policy| ranks | policy.ranks),
            policies,
            missing,
        }
    }
}

impl Resolved {
    /// Returns the Policies to evaluate if shadow Policies take part.
    pub(crate) fn everything(&self) -> &EvaluatedPolicies {
        self.with_shadow.as_deref().unwrap_or(&self.active)
    }
}

/// Yields a Policy name and its parents: `a.b.c`, `b.c`, `c`.
fn with_parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| {
        name.split_once('.').map(|(_, parent)| parent)
    })
}

/// Returns the name of an inline Policy in reasons, such as `alice/inlinePolicies[0]`.
pub fn inline_name(owner: &str, index: usize, inline: &InlinePolicy) -> String {
    if inline.name.is_empty() {
        format!("{owner}/inlinePolicies[{index}]")
    } else {
        format!("{owner}/{}", inline.name)
    }
}

/// Compiles an inline Policy once for all owners that have the same one. Sessions copy those of their Credential.
fn shared(owner: &str, index: usize, inline: &InlinePolicy) -> Arc<Policy> {
    static KNOWN: LazyLock<Mutex<HashMap<Vec<u8>, Weak<Policy>>>> = LazyLock::new(Mutex::default);
    let name = inline_name(owner, index, inline);
    let spec = inline.spec.clone().unwrap_or_default();
    let mut key = name.as_bytes().to_vec();
    key.push(0);
    key.extend(spec.encode_to_vec());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(policy) = known.get(&key).and_then(Weak::upgrade) {
        return policy;
    }
    if known.len() == known.capacity() {
        known.retain(|_, policy| policy.strong_count() > 0);
    }
    let policy = Arc::new(Policy::compile(&name, &spec));
    known.insert(key, Arc::downgrade(&policy));
    policy
}
