//! The data that Sessions of the same User, Credential and Device share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use api::core_v1::{Credential, Device, Group, Scope, User};
use domain::id::Uid;
use policy::Background;

use super::{documents::Versioned, principal::SessionParts};

/// Shared by all Sessions that depend on the same revisions of the same resources.
pub(crate) struct SessionContext {
    pub(super) user: Versioned<User>,
    pub(super) user_name: Arc<str>,
    credential: Option<Versioned<Credential>>,
    pub(super) credential_name: Option<Arc<str>>,
    device: Option<Versioned<Device>>,
    groups: Vec<(Uid, Arc<Group>)>,
    /// The context that Policies see.
    pub(super) background: Arc<Background>,
    /// Uids of all resources whose change makes a new check of the Session necessary, except the Session itself.
    pub(super) dependencies: Arc<[Uid]>,
    unrestricted: Arc<[Scope]>,
}

impl SessionContext {
    fn new(parts: &SessionParts) -> Self {
        let device = parts.device.as_ref();
        let credential = parts.credential.as_ref();
        let background = Background::new(
            &parts.user.message,
            parts.groups.iter().map(|(_, group)| &**group),
            credential.map(|credential| &*credential.message),
            device.map(|device| &*device.message),
        );
        let user_name = parts.user.message.metadata.as_ref();
        Self {
            user: parts.user.clone(),
            user_name: user_name.map_or("", |metadata| &metadata.name).into(),
            credential: credential.cloned(),
            credential_name: credential.map(|credential| {
                let metadata = credential.message.metadata.as_ref();
                metadata.map_or("", |metadata| &metadata.name).into()
            }),
            device: device.cloned(),
            groups: parts.groups.clone(),
            background: Arc::new(background),
            dependencies: [parts.user.uid]
                .into_iter()
                .chain(credential.map(|credential| credential.uid))
                .chain(device.map(|device| device.uid))
                .chain(parts.groups.iter().map(|(uid, _)| *uid))
                .collect(),
            unrestricted: [].into(),
        }
    }

    pub(super) fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref().map(|known| &*known.message)
    }

    pub(super) fn device(&self) -> Option<&Device> {
        self.device.as_ref().map(|known| &*known.message)
    }

    /// Returns `scopes`. All Sessions without scopes share one empty slice.
    pub(super) fn scopes(&self, scopes: &[Scope]) -> Arc<[Scope]> {
        if scopes.is_empty() {
            self.unrestricted.clone()
        } else {
            scopes.into()
        }
    }

    /// Returns whether this context was built from equal `parts`.
    fn is_of(&self, parts: &SessionParts) -> bool {
        let credential = self.credential.as_ref();
        // A revision of a uid has exactly one content, and the key already compares the uids. Groups are held, so
        // equal content is the same object.
        self.user.revision == parts.user.revision
            && credential.map(|known| known.revision)
                == parts.credential.as_ref().map(|known| known.revision)
            && self.device.as_ref().map(|known| known.revision)
                == parts.device.as_ref().map(|known| known.revision)
            && self.groups.len() == parts.groups.len()
            && self
                .groups
                .iter()
                .zip(&parts.groups)
                .all(|((_, known), (_, group))| Arc::ptr_eq(known, group))
    }
}

/// User, Credential and Device.
type Key = (Uid, Option<Uid>, Option<Uid>);

/// The foundations of the cached Sessions.
#[derive(Default)]
pub(super) struct SessionContexts(Mutex<HashMap<Key, Weak<SessionContext>>>);

impl SessionContexts {
    /// Removes all entries. In another history of the store, the same revision may have different content.
    pub(super) fn clear(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.clear();
    }

    /// Returns the context of `parts`, and reuses the existing one if nothing changed.
    pub(super) fn of(&self, parts: &SessionParts) -> Arc<SessionContext> {
        let key = (
            parts.user.uid,
            parts.credential.as_ref().map(|credential| credential.uid),
            parts.device.as_ref().map(|device| device.uid),
        );
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session_context) = known.get(&key).and_then(Weak::upgrade)
            && session_context.is_of(parts)
        {
            return session_context;
        }
        if known.len() == known.capacity() {
            known.retain(|_, session_context| session_context.strong_count() > 0);
        }
        let session_context = Arc::new(SessionContext::new(parts));
        known.insert(key, Arc::downgrade(&session_context));
        session_context
    }
}
