//! On whose behalf a resource is written.

use api::{meta_v1::ObjectReference, resource::Object as _};
use domain::id::Uid;

use crate::Actor;

/// Who writes, and by which call.
#[derive(Clone)]
pub struct Author {
    actor: Option<Actor>,
    operation: String,
}

impl Author {
    /// The sender of an authenticated request; `operation` is the path of the method.
    pub fn new(actor: Actor, operation: impl Into<String>) -> Self {
        Self {
            actor: Some(actor),
            operation: operation.into(),
        }
    }

    /// The Cluster itself.
    pub fn cluster(operation: impl Into<String>) -> Self {
        Self {
            actor: None,
            operation: operation.into(),
        }
    }

    /// Whether it is the Cluster itself, which may write what no client may.
    pub fn is_cluster(&self) -> bool {
        self.actor.is_none()
    }

    /// Who sent the request; `None` for the Cluster itself.
    pub fn actor(&self) -> Option<&Actor> {
        self.actor.as_ref()
    }

    /// The path of the method.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// The Session that writes.
    pub fn session(&self) -> Option<ObjectReference> {
        self.actor
            .as_ref()
            .map(|actor| actor.principal.session().reference())
    }

    /// Whether `uid` is the author's own User.
    pub fn is_own_user(&self, uid: Uid) -> bool {
        self.owns(uid, |actor| actor.principal.user().uid().to_owned())
    }

    /// Whether `uid` is the Session that writes.
    pub fn is_own_session(&self, uid: Uid) -> bool {
        self.owns(uid, |actor| actor.principal.session().uid().to_owned())
    }

    /// Whether `uid` is the Device that the author is on.
    pub fn is_own_device(&self, uid: Uid) -> bool {
        self.owns(uid, |actor| {
            let status = actor.principal.session().status;
            let device = status.and_then(|status| status.device_ref);
            device.map(|device| device.uid).unwrap_or_default()
        })
    }

    /// Whether `uid` is the Credential that made the Session that writes.
    pub fn is_own_credential(&self, uid: Uid) -> bool {
        self.owns(uid, |actor| {
            let status = actor.principal.session().status;
            let credential = status.and_then(|status| status.credential_ref);
            credential.map(|by| by.uid).unwrap_or_default()
        })
    }

    fn owns(&self, uid: Uid, of: impl FnOnce(&Actor) -> String) -> bool {
        self.actor
            .as_ref()
            .is_some_and(|actor| of(actor) == uid.to_string())
    }
}
