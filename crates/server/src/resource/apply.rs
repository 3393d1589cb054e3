//! Applies a set of resources to the Cluster, all or nothing.
//!
//! One draft contains the whole plan: referenced kinds come first, deletions last and in reverse order. Planning
//! continues after a problem, so that the response lists all problems. Any problem prevents the commit.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    core_v1 as core,
    meta_v1::Metadata,
    platform_v1::{
        ApplyRequest, ApplyResponse, Resource as AnyResource,
        apply_response::{Action, Problem, Result as Applied},
        resource::Resource as Body,
    },
};
use domain::{id::Uid, kind::Kind};

use super::{
    administrators,
    draft::Draft,
    metadata,
    write::{self, Managed, Plan},
};
use crate::{
    Error,
    document::codec::{self, Resource, Stored},
    grpc_status,
};

mod prune;

/// The kinds that can be applied. Each kind comes after those that it refers to.
const ORDER: &[Kind] = &[
    Kind::Secret,
    Kind::Config,
    Kind::Policy,
    Kind::Namespace,
    Kind::Group,
    Kind::IdentityProvider,
    Kind::User,
    Kind::Service,
    Kind::Credential,
    Kind::ClusterConfig,
];

/// The plan of one request.
pub struct Apply(pub ApplyRequest);

impl Plan for Apply {
    type Output = ApplyResponse;

    async fn stage(&self, draft: &mut Draft<'_>) -> Result<ApplyResponse, Error> {
        let mut planned = Planned::default();
        for index in self.order(&mut planned) {
            if let Some(resource) = self.0.resources.get(index) {
                let outcome = Box::pin(apply(draft, resource.clone())).await;
                planned.take(index, resource, outcome)?;
            }
        }
        Box::pin(prune::prune(draft, &self.0, &mut planned)).await?;
        planned.check_kept(draft);
        if let Err(error) = administrators::check(draft).await {
            planned.refuse(error)?;
        }
        if self.0.dry_run || !planned.problems.is_empty() {
            draft.discard();
        }
        Ok(planned.into_response(self.0.dry_run))
    }
}

impl Apply {
    /// Returns the positions of the applicable resources in planning order.
    fn order(&self, planned: &mut Planned) -> Vec<usize> {
        let mut ranked = Vec::new();
        for (index, resource) in self.0.resources.iter().enumerate() {
            let kind = kind_of(resource);
            let rank = kind.and_then(|kind| ORDER.iter().position(|of| *of == kind));
            let (Some(kind), Some(rank)) = (kind, rank) else {
                let error = match kind {
                    Some(kind) => Error::invalid(format!("A {kind} cannot be applied")),
                    None => Error::invalid("The resource is empty"),
                };
                planned.problem(Some(index), kind, resource.name(), &error);
                continue;
            };
            let name = stored_name(resource);
            if let Err(error) = metadata::check_lengths(kind, &name, "") {
                planned.problem(Some(index), Some(kind), "", &error);
                continue;
            }
            if !planned.names.insert((kind, name.clone())) {
                let error = Error::invalid("It is given twice in the request");
                planned.problem(Some(index), Some(kind), &name, &error);
                continue;
            }
            // A parent Policy comes before its children: its name has fewer dots.
            ranked.push((rank, name.matches('.').count(), index));
        }
        ranked.sort_unstable();
        ranked.into_iter().map(|(.., index)| index).collect()
    }
}

/// The outcomes so far.
#[derive(Default)]
struct Planned {
    /// Outcomes by position in the request.
    results: BTreeMap<usize, Applied>,
    /// The uids of the named objects, by position in the request.
    kept: BTreeMap<usize, (Kind, Uid)>,
    /// The names in the request.
    names: BTreeSet<(Kind, String)>,
    deletions: Vec<Applied>,
    problems: Vec<Problem>,
}

impl Planned {
    /// Records an outcome.
    ///
    /// # Errors
    /// Returns an error if the Cluster failed.
    fn take(
        &mut self,
        index: usize,
        resource: &AnyResource,
        outcome: Result<Applied, Error>,
    ) -> Result<(), Error> {
        let kind = kind_of(resource);
        match outcome {
            Ok(applied) => {
                let uid = applied
                    .after
                    .as_ref()
                    .and_then(|after| after.uid().parse().ok());
                if let (Some(kind), Some(uid)) = (kind, uid) {
                    self.kept.insert(index, (kind, uid));
                }
                self.results.insert(index, applied);
                Ok(())
            }
            Err(error) if error.fault().is_some() => Err(error),
            Err(error) => {
                self.problem(Some(index), kind, &stored_name(resource), &error);
                Ok(())
            }
        }
    }

    /// Records a problem that concerns no single resource.
    ///
    /// # Errors
    /// Returns an error if the Cluster failed.
    fn refuse(&mut self, error: Error) -> Result<(), Error> {
        if error.fault().is_some() {
            return Err(error);
        }
        self.problem(None, None, "", &error);
        Ok(())
    }

    fn problem(&mut self, index: Option<usize>, kind: Option<Kind>, name: &str, error: &Error) {
        self.problems.push(Problem {
            index: index.and_then(|index| u32::try_from(index).ok()),
            kind: kind.map(|kind| kind.to_string()).unwrap_or_default(),
            name: name.to_owned(),
            code: u32::try_from(i32::from(grpc_status::code(error.kind()))).unwrap_or_default(),
            message: error.public().to_owned(),
        });
    }

    /// Reports named objects that pruning would delete together with their owner.
    fn check_kept(&mut self, draft: &Draft<'_>) {
        let gone: Vec<_> = self
            .kept
            .iter()
            .filter(|(_, (kind, uid))| draft.deletes(*kind, *uid))
            .map(|(index, (kind, _))| (*index, *kind))
            .collect();
        for (index, kind) in gone {
            let name = self.results.get(&index).map(|applied| applied.name.clone());
            let error = Error::precondition(
                "Pruning would delete the object that it belongs to: include that object too, or leave out both",
            );
            self.problem(Some(index), Some(kind), &name.unwrap_or_default(), &error);
        }
    }

    fn into_response(mut self, is_dry_run: bool) -> ApplyResponse {
        self.problems
            .sort_by_key(|problem| problem.index.unwrap_or(u32::MAX));
        let results = if self.problems.is_empty() || is_dry_run {
            self.results.into_values().chain(self.deletions).collect()
        } else {
            Vec::new()
        };
        ApplyResponse {
            results,
            problems: self.problems,
        }
    }
}

async fn apply(draft: &mut Draft<'_>, resource: AnyResource) -> Result<Applied, Error> {
    match resource.resource {
        Some(Body::Secret(sent)) => apply_one::<core::Secret>(draft, sent).await,
        Some(Body::Config(sent)) => apply_one::<core::Config>(draft, sent).await,
        Some(Body::Policy(sent)) => apply_one::<core::Policy>(draft, sent).await,
        Some(Body::IdentityProvider(sent)) => {
            apply_one::<core::IdentityProvider>(draft, sent).await
        }
        Some(Body::Namespace(sent)) => apply_one::<core::Namespace>(draft, sent).await,
        Some(Body::Group(sent)) => apply_one::<core::Group>(draft, sent).await,
        Some(Body::User(sent)) => apply_one::<core::User>(draft, sent).await,
        Some(Body::Service(sent)) => apply_one::<core::Service>(draft, sent).await,
        Some(Body::Credential(sent)) => apply_one::<core::Credential>(draft, sent).await,
        Some(Body::ClusterConfig(sent)) => apply_one::<core::ClusterConfig>(draft, sent).await,
        Some(
            Body::Session(_)
            | Body::Device(_)
            | Body::Authenticator(_)
            | Body::Region(_)
            | Body::Gateway(_),
        )
        | None => Err(Error::invalid("It cannot be applied")),
    }
}

async fn apply_one<T: Managed>(draft: &mut Draft<'_>, sent: T) -> Result<Applied, Error> {
    let name = T::stored_name(sent.name());
    let old = match name.as_str() {
        // The name rule below refuses it.
        "" => None,
        name => draft.find::<T>(name).await?,
    };
    let (action, before, after) = match old {
        None => {
            let created = Box::pin(write::create(draft, sent)).await?;
            (Action::Created, None, created)
        }
        Some(old) => match Box::pin(write::update(draft, &old, sent)).await? {
            Some(new) => (Action::Updated, Some(old.message), new),
            None => (Action::Unchanged, Some(old.message.clone()), old.message),
        },
    };
    Ok(Applied {
        kind: T::DOCUMENT.to_string(),
        name,
        action: action.into(),
        warnings: after.warnings(),
        before: before.map(api::resource::Object::into_resource),
        after: Some(after.into_resource()),
    })
}

fn kind_of(resource: &AnyResource) -> Option<Kind> {
    resource.kind()?.parse().ok()
}

fn stored_name(resource: &AnyResource) -> String {
    let name = resource
        .metadata()
        .map(|metadata: &Metadata| metadata.name.as_str());
    let name = name.unwrap_or_default();
    match kind_of(resource) {
        Some(Kind::Service) => core::Service::stored_name(name),
        Some(Kind::ClusterConfig) => core::ClusterConfig::stored_name(name),
        _ => name.to_owned(),
    }
}

/// Returns all documents of a kind.
async fn all<T: Resource>(draft: &Draft<'_>) -> Result<Vec<Stored<T>>, Error> {
    const BATCH: u32 = 1000;
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let store = &draft.context.store;
        let documents = store.scan(T::DOCUMENT, after, BATCH, draft.now).await?;
        after = documents.last().map(|document| document.uid);
        for document in &documents {
            found.push(codec::decode(document)?);
        }
        if documents.len() < usize::try_from(BATCH).unwrap_or(usize::MAX) {
            return Ok(found);
        }
    }
}
