//! Audit events: what happened to an identity, a Credential or a resource. Never holds a secret.

use std::collections::BTreeMap;

use api::{
    meta_v1::{Metadata, ObjectReference},
    platform_v1::{AuditEvent, audit_event::Outcome},
};
use domain::kind::Kind;
use store::Operation;

use crate::{Actor, Caller, Context};

mod batch;

pub use batch::AuditBatch;

/// What became of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was made.
    Created,
    /// It was changed.
    Updated,
    /// It was deleted.
    Deleted,
    /// It got its first secret.
    Issued,
    /// It got a new secret.
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

/// The step that records a change in the transaction that makes it: type `<kind>.<change>`.
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

/// As [`change`], for what the Cluster does by itself.
pub fn change_by_cluster(
    ctx: &Context,
    change: Change,
    kind: Kind,
    metadata: &Metadata,
) -> Operation {
    let event_type = change.event_type(kind);
    Operation::Audit(event_by_cluster(ctx, event_type, kind, metadata))
}

/// The event of something that an authenticated request does to a resource.
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

/// As [`event_by`], for what the Cluster does by itself.
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

/// Something that a caller did who is not, or not yet, a Session.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    /// `<object>.<what happened>`.
    pub(crate) event_type: &'static str,
    /// What it happened to.
    pub(crate) resource: Option<(Kind, &'a Metadata)>,
    /// Whose it is.
    pub(crate) user: Option<&'a Metadata>,
    /// The Session that acted.
    pub(crate) session: Option<&'a Metadata>,
}

/// The event of something that was done.
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

/// The event of something that was refused, for a stable `reason`.
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

/// An event of now, yet without content.
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
