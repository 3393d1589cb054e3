//! Deletes objects that a request does not name.

use std::collections::BTreeSet;

use api::{
    core_v1 as core,
    platform_v1::{
        ApplyRequest,
        apply_response::{Action, Result as Applied},
    },
};
use domain::{id::Uid, kind::Kind};

use super::{
    super::{draft::Draft, metadata, write, write::Managed},
    ORDER, Planned, all,
};
use crate::Error;

/// Stages the deletions. Skips built-in objects and the User and Credential of the author.
pub(super) async fn prune(
    draft: &mut Draft<'_>,
    request: &ApplyRequest,
    planned: &mut Planned,
) -> Result<(), Error> {
    let mut kinds = BTreeSet::new();
    for name in &request.prune_kinds {
        let kind = name.parse::<Kind>().ok();
        match kind.and_then(|kind| ORDER.iter().position(|of| *of == kind)) {
            Some(rank) if kind != Some(Kind::ClusterConfig) => {
                kinds.insert(rank);
            }
            _ => {
                let error = Error::invalid(format!("The kind {name:?} cannot be pruned"));
                planned.problem(None, kind, "", &error);
            }
        }
    }
    for kind in kinds.into_iter().rev().filter_map(|rank| ORDER.get(rank)) {
        let allow_all = request.allow_prune_all;
        match kind {
            Kind::Secret => prune_kind::<core::Secret>(draft, allow_all, planned).await?,
            Kind::Config => prune_kind::<core::Config>(draft, allow_all, planned).await?,
            Kind::Policy => prune_kind::<core::Policy>(draft, allow_all, planned).await?,
            Kind::IdentityProvider => {
                prune_kind::<core::IdentityProvider>(draft, allow_all, planned).await?;
            }
            Kind::Namespace => prune_kind::<core::Namespace>(draft, allow_all, planned).await?,
            Kind::Group => prune_kind::<core::Group>(draft, allow_all, planned).await?,
            Kind::User => prune_kind::<core::User>(draft, allow_all, planned).await?,
            Kind::Service => prune_kind::<core::Service>(draft, allow_all, planned).await?,
            Kind::Credential => prune_kind::<core::Credential>(draft, allow_all, planned).await?,
            _ => {}
        }
    }
    Ok(())
}

async fn prune_kind<T: Managed>(
    draft: &mut Draft<'_>,
    allow_all: bool,
    planned: &mut Planned,
) -> Result<(), Error> {
    let kind = T::DOCUMENT;
    let mut prunable = all::<T>(draft).await?;
    prunable.retain(|stored| {
        !metadata::is_built_in(stored.message.metadata()) && !is_own(draft, kind, stored.uid)
    });
    let count = prunable.len();
    prunable.retain(|stored| {
        !planned
            .names
            .contains(&(kind, stored.message.name().to_owned()))
    });
    if count > 0 && prunable.len() == count && !allow_all {
        let error = Error::precondition(format!(
            "Pruning would delete every {kind} ({count}). To allow this, set allowPruneAll"
        ));
        planned.problem(None, Some(kind), "", &error);
    }
    // Children are deleted before their parent, whose name has fewer dots.
    prunable.sort_by_cached_key(|stored| {
        let name = stored.message.name().to_owned();
        (std::cmp::Reverse(name.matches('.').count()), name)
    });
    for old in prunable {
        if draft.deletes(kind, old.uid) {
            continue;
        }
        match write::delete(draft, &old).await {
            Ok(()) => planned.deletions.push(Applied {
                kind: kind.to_string(),
                name: old.message.name().to_owned(),
                action: Action::Deleted.into(),
                before: Some(old.message.into_resource()),
                after: None,
                warnings: Vec::new(),
            }),
            Err(error) if error.fault().is_some() => return Err(error),
            Err(error) => planned.problem(None, Some(kind), old.message.name(), &error),
        }
    }
    Ok(())
}

fn is_own(draft: &Draft<'_>, kind: Kind, uid: Uid) -> bool {
    match kind {
        Kind::User => draft.author.is_own_user(uid),
        Kind::Credential => draft.author.is_own_credential(uid),
        _ => false,
    }
}
