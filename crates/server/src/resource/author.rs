//! The author of a write.

use api::{meta_v1::ObjectReference, resource::Object as _};
use domain::id::Uid;

use crate::Actor;

/// The author of a write and the API method used.
#[derive(Clone)]
pub struct Author {
    actor: Option<Actor>,
    operation: String,
}

impl Author {
    /// Creates the author of an authenticated request. `operation` is the path of the method.
    pub fn new(actor: Actor, operation: impl Into<String>) -> Self {
        Self {
            actor: Some(actor),
            operation: operation.into(),
        }
    }

    /// Creates the Cluster itself as the author.
    pub fn cluster(operation: impl Into<String>) -> Self {
        Self {
            actor: None,
            operation: operation.into(),
        }
    }

    /// Returns whether the author is the Cluster itself, which may write what clients must not.
    pub fn is_cluster(&self) -> bool {
        self.actor.is_none()
    }

    /// Returns the sender of the request, or `None` for the Cluster itself.
    pub fn actor(&self) -> Option<&Actor> {
        self.actor.as_ref()
    }

    /// Returns the path of the method.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// Returns the Session of the author.
    pub fn session(&self) -> Option<ObjectReference> {
        self.actor
            .as_ref()
            .map(|actor| actor.principal.session().reference())
    }

    /// Returns whether `uid` is the User of the author.
    pub fn is_own_user(&self, uid: Uid) -> bool {
        self.owns(uid, |actor| actor.principal.user().uid().to_owned())
    }

    /// Returns whether `uid` is the Session of the author.
    pub fn is_own_session(&self, uid: Uid) -> bool {
        self.owns(uid, |actor| actor.principal.session().uid().to_owned())
    }

    /// Returns whether `uid` is the Device of the author.
    pub fn is_own_device(&self, uid: Uid) -> bool {
        self.owns(uid, |actor| {
            let status = actor.principal.session().status;
            let device = status.and_then(|status| status.device_ref);
            device.map(|device| device.uid).unwrap_or_default()
        })
    }

    /// Returns whether `uid` is the Credential that created the Session of the author.
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
