//! Audit events about identities, Credentials and resources. They never contain a secret.

use std::collections::BTreeMap;

use api::{
    meta_v1::{Metadata, ObjectReference},
    platform_v1::{AuditEvent, audit_event::Outcome},
};
use domain::kind::Kind;
use store::Operation;

use crate::{Actor, Caller, Context};

/// A kind of change to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The resource was created.
    Created,
    /// The resource was updated.
    Updated,
    /// The resource was deleted.
    Deleted,
    /// The resource got its first secret.
    Issued,
    /// The resource got a new secret.
    Rotated,
}

impl Change {
    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Issued => "issued",
            Self::Rotated => "rotated",
        }
    }

    fn event_type(self, kind: Kind) -> String {
        format!("{}.{}", kind.as_str().to_lowercase(), self.as_str())
    }
}

/// Returns the operation that records a change in the same transaction. The event type is `<kind>.<change>`.
pub fn change(
    ctx: &Context,
    actor: &Actor,
    change: Change,
    kind: Kind,
    metadata: &Metadata,
) -> Operation {
    let event_type = change.event_type(kind);
    Operation::Audit(event_by(ctx, actor, event_type, kind, metadata))
}

/// Like [`change`], for changes that the Cluster makes itself.
pub fn change_by_cluster(
    ctx: &Context,
    change: Change,
    kind: Kind,
    metadata: &Metadata,
) -> Operation {
    let event_type = change.event_type(kind);
    Operation::Audit(event_by_cluster(ctx, event_type, kind, metadata))
}

/// Builds the event of an authenticated request that acts on a resource.
pub(crate) fn event_by(
    ctx: &Context,
    actor: &Actor,
    event_type: impl Into<String>,
    kind: Kind,
    metadata: &Metadata,
) -> AuditEvent {
    AuditEvent {
        actor_ref: reference_to(Kind::Session, Some(&actor.principal.session_metadata())),
        user_ref: reference_to(Kind::User, actor.principal.user().metadata.as_ref()),
        request_id: actor.request_id.clone(),
        ip_address: actor.ip.map(|ip| ip.to_string()).unwrap_or_default(),
        user_agent: actor.user_agent.clone(),
        ..event_by_cluster(ctx, event_type, kind, metadata)
    }
}

/// Like [`event_by`], for actions of the Cluster itself.
pub(crate) fn event_by_cluster(
    ctx: &Context,
    event_type: impl Into<String>,
    kind: Kind,
    metadata: &Metadata,
) -> AuditEvent {
    AuditEvent {
        outcome: Outcome::Success.into(),
        r#type: event_type.into(),
        resource_ref: reference_to(kind, Some(metadata)),
        ..event(ctx)
    }
}

/// An action of a caller that has no Session, or none yet.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    /// `<object>.<what happened>`.
    pub(crate) event_type: &'static str,
    /// The resource acted on.
    pub(crate) resource: Option<(Kind, &'a Metadata)>,
    /// The User that owns the resource.
    pub(crate) user: Option<&'a Metadata>,
    /// The Session that acted.
    pub(crate) session: Option<&'a Metadata>,
}

/// Builds the event of a successful action.
pub(crate) fn done(ctx: &Context, caller: &Caller, entry: Entry<'_>) -> AuditEvent {
    AuditEvent {
        outcome: Outcome::Success.into(),
        r#type: entry.event_type.to_owned(),
        actor_ref: reference_to(Kind::Session, entry.session),
        user_ref: reference_to(Kind::User, entry.user),
        resource_ref: entry
            .resource
            .and_then(|(kind, metadata)| reference_to(kind, Some(metadata))),
        request_id: caller.request_id.clone(),
        ip_address: caller.ip.map(|ip| ip.to_string()).unwrap_or_default(),
        user_agent: caller.user_agent.clone(),
        ..event(ctx)
    }
}

/// Builds the event of a refused action. `reason` is a stable identifier.
pub(crate) fn refused(
    ctx: &Context,
    caller: &Caller,
    entry: Entry<'_>,
    reason: &'static str,
) -> AuditEvent {
    AuditEvent {
        outcome: Outcome::Refused.into(),
        reason: reason.to_owned(),
        ..done(ctx, caller, entry)
    }
}

/// Builds an event with the current time and no content.
fn event(ctx: &Context) -> AuditEvent {
    AuditEvent {
        uid: ctx.new_uid().to_string(),
        at: Some(ctx.now().to_proto()),
        count: 1,
        attrs: BTreeMap::new(),
        ..AuditEvent::default()
    }
}

fn reference_to(kind: Kind, metadata: Option<&Metadata>) -> Option<ObjectReference> {
    metadata.map(|metadata| ObjectReference {
        api_version: "core/v1".to_owned(),
        kind: kind.as_str().to_owned(),
        uid: metadata.uid.clone(),
        name: metadata.name.clone(),
        resource_version: String::new(),
    })
}
