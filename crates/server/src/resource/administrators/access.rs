//! Evaluates whether a Session may call the whole core API.

use std::collections::BTreeMap;

use api::{
    core_v1::{ClusterConfig, Device, Group, Namespace, Policy, Service, Session, User},
    reflect,
    resource::Object as _,
};
use domain::{id::Uid, kind::Kind};
use policy::{Grpc, NoFields, PolicySet, Request, Subject, Target};
use store::Revision;

use super::{
    super::{
        built_in::{API_NAMESPACE, API_SERVICE},
        cluster_config,
        draft::Draft,
    },
    Evidence, of,
};
use crate::{Error, document::codec::Stored};

const PACKAGE: &str = "octelium.api.main.core.v1";
const SERVICE: &str = "MainService";

/// The API as a Service, and the Policies read so far.
pub(super) struct Api {
    service: Stored<Service>,
    namespace: Stored<Namespace>,
    cluster: Option<Stored<ClusterConfig>>,
    target: Target,
    policies: BTreeMap<String, Option<(Policy, Uid, Revision)>>,
}

impl Api {
    /// Returns `None` if the Cluster is not bootstrapped.
    pub(super) async fn load(draft: &mut Draft<'_>) -> Result<Option<Self>, Error> {
        let service = draft.find::<Service>(API_SERVICE).await?;
        let namespace = draft.find::<Namespace>(API_NAMESPACE).await?;
        let cluster = draft.find::<ClusterConfig>(cluster_config::NAME).await?;
        let (Some(service), Some(namespace)) = (service, namespace) else {
            return Ok(None);
        };
        let target = Target::new(
            &service.message,
            &namespace.message,
            cluster.as_ref().map(|cluster| &cluster.message),
        );
        Ok(Some(Self {
            service,
            namespace,
            cluster,
            target,
            policies: BTreeMap::new(),
        }))
    }

    /// Returns whether the Policies allow every method to the Session.
    pub(super) async fn allows_every_method(
        &mut self,
        draft: &mut Draft<'_>,
        user: &Stored<User>,
        groups: &[Stored<Group>],
        session: &Session,
        device: Option<&Device>,
    ) -> Result<bool, Error> {
        for name in self.attached(&user.message, groups, session, device) {
            self.read(draft, &name).await?;
        }
        let known = self.policies.values().flatten();
        let policies = PolicySet::new(known.map(|(policy, ..)| policy.clone()));
        let groups: Vec<Group> = groups.iter().map(|group| group.message.clone()).collect();
        let subject = Subject::new(&user.message, &groups, session, device);
        let full_name = format!("{PACKAGE}.{SERVICE}");
        let Some(service) = reflect::pool().get_service_by_name(&full_name) else {
            return Ok(false);
        };
        let host = format!("{API_NAMESPACE}.{}", draft.context.domain.host());
        let ip = draft.author.actor().and_then(|actor| actor.ip);
        let ip = ip.map(|ip| ip.to_string()).unwrap_or_default();
        Ok(service.methods().all(|method| {
            let path = format!("/{full_name}/{}", method.name());
            let request = Request {
                ip: &ip,
                method: "POST",
                path: &path,
                uri: &path,
                host: &host,
                scheme: "https",
                protocol: "HTTP/2.0",
                size: 0,
                headers: &NoFields,
                query: &NoFields,
                body: &[],
                body_map: None,
                grpc: Some(Grpc {
                    package: PACKAGE,
                    service: SERVICE,
                    service_full_name: &full_name,
                    method: method.name(),
                    target: &[],
                }),
            };
            policy::decide(&policies, Some(&subject), &self.target, &request, draft.now).allowed
        }))
    }

    /// Returns all objects that the conclusion depends on, including `held`.
    pub(super) fn into_evidence(
        self,
        user: &Stored<User>,
        groups: &[Stored<Group>],
        held: Evidence,
    ) -> Evidence {
        let policies = self
            .policies
            .into_values()
            .flatten()
            .map(|(_, uid, revision)| (Kind::Policy, uid, revision));
        let mut evidence = held;
        evidence.push(of(user));
        evidence.extend(groups.iter().map(of));
        evidence.push(of(&self.service));
        evidence.push(of(&self.namespace));
        evidence.extend(self.cluster.as_ref().map(of));
        evidence.extend(policies);
        evidence
    }

    async fn read(&mut self, draft: &mut Draft<'_>, name: &str) -> Result<(), Error> {
        // `a.b.c` has the parent `b.c`, which has the parent `c`.
        let mut next = Some(name);
        while let Some(name) = next {
            if !self.policies.contains_key(name) {
                let policy = draft.find::<Policy>(name).await?;
                let policy = policy.map(|policy| (policy.message, policy.uid, policy.revision));
                self.policies.insert(name.to_owned(), policy);
            }
            next = name.split_once('.').map(|(_, parent)| parent);
        }
        Ok(())
    }

    fn attached(
        &self,
        user: &User,
        groups: &[Stored<Group>],
        session: &Session,
        device: Option<&Device>,
    ) -> Vec<String> {
        let mut names = Vec::new();
        macro_rules! attached {
            ($object:expr) => {
                if let Some(authorization) = $object.spec().and_then(|s| s.authorization.as_ref()) {
                    names.extend(authorization.policies.iter().cloned());
                }
            };
        }
        attached!(user);
        attached!(session);
        attached!(self.service.message);
        attached!(self.namespace.message);
        for group in groups {
            attached!(group.message);
        }
        if let Some(device) = device {
            attached!(device);
        }
        if let Some(cluster) = &self.cluster {
            attached!(cluster.message);
        }
        names
    }
}
