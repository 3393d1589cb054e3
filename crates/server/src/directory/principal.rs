//! Who a request is from.

use std::{
    any::Any,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use api::core_v1::{Credential, Device, Scope, Session, User};
use domain::{clock::UnixMillis, credential, id::Uid, token::Claims};
use policy::Subject;
use tokio_util::sync::CancellationToken;

use super::documents::Known;

/// A Session that has been authenticated by a token, with everything that a decision about it needs.
pub struct Principal {
    /// As Policies see it.
    pub subject: Arc<Subject>,
    /// The Session.
    pub session: Arc<Session>,
    /// Its User.
    pub user: Arc<User>,
    /// The Credential that it came from.
    pub credential: Option<Arc<Credential>>,
    /// The Device that it is on.
    pub device: Option<Arc<Device>>,
    /// From here on the token is not accepted.
    pub valid_until: UnixMillis,
    /// Cancelled when the token, Session, User, Credential or Device no longer stands: open streams end.
    pub revoked: CancellationToken,
    /// What the token says.
    pub claims: Claims,
    /// What others derive from it once, and keep for as long as it holds.
    pub derived: OnceLock<Box<dyn Any + Send + Sync>>,
    pub(super) standing: Arc<Standing>,
    pub(super) key_epoch: u64,
}

impl Principal {
    /// What the Session may be used for; empty is everything.
    pub fn scopes(&self) -> &[Scope] {
        let status = self.session.status.as_ref();
        status
            .map(|status| status.scopes.as_slice())
            .unwrap_or_default()
    }

    /// Whether the token may be accepted without looking any further.
    pub(super) fn holds(&self, now: UnixMillis, key_epoch: u64) -> bool {
        self.key_epoch == key_epoch
            && now < self.valid_until
            && self.standing.is_current()
            && !self.revoked.is_cancelled()
    }
}

/// A Session that stands, with what it depends on, at one moment.
pub(crate) struct Standing {
    pub(crate) uid: Uid,
    pub(crate) session: Arc<Session>,
    pub(crate) user: Arc<User>,
    pub(crate) credential: Option<Arc<Credential>>,
    pub(crate) device: Option<Arc<Device>>,
    pub(crate) subject: Arc<Subject>,
    /// When it ends without any change.
    pub(crate) valid_until: UnixMillis,
    current: AtomicBool,
    used: AtomicBool,
}

/// What a [`Standing`] is made of.
pub(super) struct Parts {
    pub(super) session: Known<Session>,
    pub(super) user: Known<User>,
    pub(super) credential: Option<Known<Credential>>,
    pub(super) device: Option<Known<Device>>,
    pub(super) groups: Vec<(Uid, Arc<api::core_v1::Group>)>,
}

impl Parts {
    /// The resources that it would have to be checked anew for.
    pub(super) fn dependencies(&self) -> Vec<Uid> {
        let mut uids = vec![self.session.uid, self.user.uid];
        uids.extend(self.credential.as_ref().map(|credential| credential.uid));
        uids.extend(self.device.as_ref().map(|device| device.uid));
        uids.extend(self.groups.iter().map(|(uid, _)| *uid));
        uids
    }
}

impl Standing {
    pub(super) fn new(parts: Parts, subject: Subject) -> Self {
        let credential = parts.credential.map(|credential| credential.message);
        let valid_until = ends_at(&parts.session.message, credential.as_deref());
        Self {
            uid: parts.session.uid,
            session: parts.session.message,
            user: parts.user.message,
            credential,
            device: parts.device.map(|device| device.message),
            subject: Arc::new(subject),
            valid_until,
            current: AtomicBool::new(true),
            used: AtomicBool::new(false),
        }
    }

    pub(super) fn is_current(&self) -> bool {
        self.current.load(Ordering::Acquire)
    }

    pub(super) fn outdate(&self) {
        self.current.store(false, Ordering::Release);
    }

    pub(super) fn touch(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it was used since this was asked before.
    pub(super) fn was_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }
}

fn ends_at(session: &Session, by: Option<&Credential>) -> UnixMillis {
    let expires_at = session
        .spec
        .as_ref()
        .and_then(|spec| spec.expires_at.as_ref());
    let expires_at = expires_at.map_or(UnixMillis(i64::MIN), UnixMillis::from_proto);
    let version = session
        .status
        .as_ref()
        .map_or(0, |status| status.credential_version);
    by.and_then(|credential| credential::version_ends_at(credential, version))
        .map_or(expires_at, |end| end.min(expires_at))
}
