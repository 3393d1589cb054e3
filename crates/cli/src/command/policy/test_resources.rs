//! The resources that test cases are decided with.

use std::collections::BTreeMap;

use api::{
    core_v1::{
        ClusterConfig, Device, Group, InlinePolicy, Namespace, Policy, Service, Session, User,
        policy::Spec,
    },
    meta_v1::Metadata,
    platform_v1::{DecisionExplanation, DecisionRequest, Resource, resource::Resource as Body},
    resource::Object,
};
use domain::{
    clock::UnixMillis,
    name::{DEFAULT_NAMESPACE, service_full_name},
};
use policy::{Described, PolicySet, Subject, Target};

/// Resources by name.
#[derive(Default)]
pub(crate) struct TestResources {
    policies: BTreeMap<String, Policy>,
    users: BTreeMap<String, User>,
    groups: BTreeMap<String, Group>,
    sessions: BTreeMap<String, Session>,
    devices: BTreeMap<String, Device>,
    services: BTreeMap<String, Service>,
    namespaces: BTreeMap<String, Namespace>,
    cluster: Option<ClusterConfig>,
}

impl TestResources {
    /// Adds a resource or replaces the one with the same name. Ignores kinds that Policies cannot read.
    pub(crate) fn add(&mut self, resource: Resource) {
        match resource.resource {
            Some(Body::Policy(policy)) => put(&mut self.policies, policy),
            Some(Body::User(user)) => put(&mut self.users, user),
            Some(Body::Group(group)) => put(&mut self.groups, group),
            Some(Body::Session(session)) => put(&mut self.sessions, session),
            Some(Body::Device(device)) => put(&mut self.devices, device),
            Some(Body::Namespace(namespace)) => put(&mut self.namespaces, namespace),
            Some(Body::Service(mut service)) => {
                // The Cluster stores Services by their full name.
                let name = service_full_name(service.name());
                service
                    .metadata
                    .get_or_insert_with(Metadata::default)
                    .name
                    .clone_from(&name);
                self.services.insert(name, service);
            }
            Some(Body::ClusterConfig(config)) => self.cluster = Some(config),
            _ => {}
        }
    }

    /// Compiles the named Policies.
    pub(crate) fn policies(&self) -> PolicySet {
        PolicySet::new(self.policies.values().cloned())
    }

    /// Returns the specs of all named and inline Policies, with their names in reasons.
    pub(crate) fn written(&self) -> Vec<(String, &Spec)> {
        let mut all: Vec<(String, &Spec)> = Vec::new();
        for (name, policy) in &self.policies {
            all.extend(policy.spec.as_ref().map(|spec| (name.clone(), spec)));
        }
        let inline = |owner: &str, policies: &[InlinePolicy]| -> Vec<(String, usize)> {
            policies
                .iter()
                .enumerate()
                .map(|(index, policy)| (policy::inline_name(owner, index, policy), index))
                .collect()
        };
        macro_rules! owners {
            ($($owners:expr),*) => {$(
                for owner in $owners {
                    let authorization = owner.spec.as_ref().and_then(|spec| spec.authorization.as_ref());
                    let policies = authorization.map_or(&[][..], |attached| &attached.inline_policies);
                    for (name, index) in inline(owner.name(), policies) {
                        let spec = policies.get(index).and_then(|policy| policy.spec.as_ref());
                        all.extend(spec.map(|spec| (name, spec)));
                    }
                }
            )*};
        }
        owners!(
            self.services.values(),
            self.namespaces.values(),
            self.cluster.iter(),
            self.users.values(),
            self.groups.values(),
            self.sessions.values(),
            self.devices.values()
        );
        all
    }

    /// Decides a request with these resources.
    ///
    /// # Errors
    /// Returns a message if a named resource is missing or the request has values that no request can have.
    pub(crate) fn decide(
        &self,
        policies: &PolicySet,
        request: &DecisionRequest,
        now: UnixMillis,
    ) -> Result<DecisionExplanation, String> {
        let name = service_full_name(&request.service);
        let service = find(&self.services, "Service", &name)?;
        let described = Described::new(request, service)?;
        if let Some(reason) = policy::decided_without_policies(service, request) {
            return Ok(policy::refusal(reason));
        }
        let namespace = name
            .split_once('.')
            .map_or(DEFAULT_NAMESPACE, |(_, namespace)| namespace);
        let stand_in = Namespace {
            metadata: Some(Metadata {
                name: namespace.to_owned(),
                ..Metadata::default()
            }),
            ..Namespace::default()
        };
        let namespace = self.namespaces.get(namespace).unwrap_or(&stand_in);
        let target = Target::new(service, namespace, self.cluster.as_ref());
        let (subject, mut assumptions) = if policy::is_anonymous(service) {
            (None, Vec::new())
        } else {
            let (subject, assumptions) = self.subject(request)?;
            (Some(subject), assumptions)
        };
        let at = request.at.as_ref().map_or(now, UnixMillis::from_proto);
        match policy::explain_request(policies, subject.as_ref(), &target, &described, at) {
            Ok(mut answer) => {
                answer.assumptions.append(&mut assumptions);
                Ok(answer)
            }
            Err(misread) => Ok(policy::refusal(misread.to_string())),
        }
    }

    fn subject(&self, request: &DecisionRequest) -> Result<(Subject, Vec<String>), String> {
        let mut assumptions = Vec::new();
        let user = find(&self.users, "User", &request.user)?;
        let names = user.spec.as_ref().map_or(&[][..], |spec| &spec.groups);
        let groups: Result<Vec<Group>, String> = names
            .iter()
            .map(|name| find(&self.groups, "Group", name).cloned())
            .collect();
        let session = if request.session.is_empty() {
            assumptions.push("no Session is given".to_owned());
            policy::default_session()
        } else {
            find(&self.sessions, "Session", &request.session)?.clone()
        };
        let device = match request.device.as_str() {
            "" => None,
            name => Some(find(&self.devices, "Device", name)?),
        };
        Ok((Subject::new(user, &groups?, &session, device), assumptions))
    }
}

fn put<T: Object>(into: &mut BTreeMap<String, T>, resource: T) {
    into.insert(resource.name().to_owned(), resource);
}

fn find<'a, T>(among: &'a BTreeMap<String, T>, kind: &str, name: &str) -> Result<&'a T, String> {
    among.get(name).ok_or_else(|| {
        format!(
            "the files do not contain the {kind} {name}; use --cluster to load it from the Cluster"
        )
    })
}
