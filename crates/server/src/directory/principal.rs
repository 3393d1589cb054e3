//! Who a request is from.

use std::{
    any::Any,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use api::{
    core_v1::{
        Credential, Device, Scope, Session, User,
        session::{spec::Authorization, status::Type},
    },
    meta_v1::Metadata,
};
use domain::{
    clock::UnixMillis,
    credential,
    id::Uid,
    session::{self, under_credential},
    token::Claims,
};
use policy::Subject;
use tokio_util::sync::CancellationToken;

use super::{documents::Known, foundation::Foundation};
use crate::resource::token_ids::{HasTokenIds as _, TokenIds};

/// A Session that has been authenticated by a token, with everything that a decision about it needs.
pub struct Principal {
    /// From here on the token is not accepted.
    pub valid_until: UnixMillis,
    /// Cancelled when the token, Session, User, Credential or Device no longer stands: open streams end.
    pub revoked: CancellationToken,
    /// What the token says.
    pub claims: Arc<Claims>,
    /// What others derive from it once, and keep for as long as it holds.
    pub derived: OnceLock<Box<dyn Any + Send + Sync>>,
    pub(super) standing: Arc<Standing>,
    pub(super) key_epoch: u64,
}

impl Principal {
    /// As Policies see it.
    pub fn subject(&self) -> &Arc<Subject> {
        &self.standing.subject
    }

    /// The Session. It is kept encoded: not for what is done at each request to a Service.
    pub fn session(&self) -> Session {
        self.standing.session()
    }

    /// Uid and name of the Session: what refers to it.
    pub(crate) fn session_metadata(&self) -> Metadata {
        self.standing.metadata()
    }

    /// The uid of the User; that of the Session if the User has none that can be read.
    pub(crate) fn user_uid(&self) -> Uid {
        let metadata = self.user().metadata.as_ref();
        let uid = metadata.and_then(|metadata| metadata.uid.parse().ok());
        uid.unwrap_or(self.claims.subject)
    }

    /// The name of the Session.
    pub fn session_name(&self) -> &Arc<str> {
        &self.standing.name
    }

    /// Its User.
    pub fn user(&self) -> &User {
        &self.standing.foundation.user.message
    }

    /// The name of its User.
    pub fn user_name(&self) -> &Arc<str> {
        &self.standing.foundation.user_name
    }

    /// The Credential that it came from.
    pub fn credential(&self) -> Option<&Credential> {
        self.standing.credential()
    }

    /// The name of the Credential that it came from.
    pub fn credential_name(&self) -> Option<&Arc<str>> {
        self.standing.foundation.credential_name.as_ref()
    }

    /// The Device that it is on.
    pub fn device(&self) -> Option<&Device> {
        self.standing.foundation.device()
    }

    /// What the Session may be used for; empty is everything.
    pub fn scopes(&self) -> &Arc<[Scope]> {
        &self.standing.scopes
    }

    /// Whether the token may be accepted without looking any further.
    pub(super) fn holds(&self, now: UnixMillis, key_epoch: u64) -> bool {
        self.key_epoch == key_epoch
            && now < self.valid_until
            && self.standing.is_current()
            && !self.revoked.is_cancelled()
    }
}

/// A Session that stands, with what it depends on, at one moment. There may be a hundred thousand of them: what
/// Sessions have in common is shared, and the Session itself is kept in the encoded form that Policies read.
pub(crate) struct Standing {
    pub(crate) uid: Uid,
    /// When it ends without any change.
    pub(crate) valid_until: UnixMillis,
    /// When the Session itself ends.
    pub(crate) expires_at: UnixMillis,
    pub(super) subject: Arc<Subject>,
    pub(super) foundation: Arc<Foundation>,
    name: Arc<str>,
    scopes: Arc<[Scope]>,
    /// Of the Session alone, without what its Credential adds.
    authorization: Option<Box<Authorization>>,
    /// Kept out of what Policies read.
    token_ids: TokenIds,
    /// The version of the Credential.
    pub(crate) version: u32,
    session_type: i32,
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

impl Standing {
    pub(super) fn new(uid: Uid, session: &Session, foundation: Arc<Foundation>) -> Self {
        let credential = foundation.credential();
        let subject = subject(&foundation, session);
        let spec = session.spec.as_ref();
        let status = session.status.as_ref();
        let expires_at = spec.and_then(|spec| spec.expires_at.as_ref());
        let expires_at = expires_at.map_or(UnixMillis(i64::MIN), UnixMillis::from_proto);
        let version = status.map_or(0, |status| status.credential_version);
        let valid_until = credential
            .and_then(|credential| credential::version_ends_at(credential, version))
            .map_or(expires_at, |end| end.min(expires_at));
        let name = session.metadata.as_ref();
        Self {
            uid,
            valid_until,
            expires_at,
            subject: Arc::new(subject),
            name: name.map_or("", |metadata| &metadata.name).into(),
            scopes: foundation.scopes(status.map_or(&[], |status| &status.scopes)),
            authorization: spec
                .and_then(|spec| spec.authorization.clone())
                .map(Box::new),
            token_ids: session.clone().take_token_ids(),
            version,
            session_type: status.map_or(0, |status| status.r#type),
            foundation,
            current: AtomicBool::new(true),
            used: AtomicBool::new(false),
        }
    }

    /// As Policies would see it if the Session were this one.
    pub(crate) fn as_if(&self, session: &Session) -> Subject {
        subject(&self.foundation, session)
    }

    /// The Session, decoded.
    pub(crate) fn session(&self) -> Session {
        // What was encoded here decodes; if ever not, an empty Session is one that nothing accepts.
        let mut session = self.subject.session().unwrap_or_default();
        if let Some(spec) = &mut session.spec {
            spec.authorization = self.authorization.as_deref().cloned();
        }
        session.put_token_ids(self.token_ids.clone());
        session
    }

    /// Uid and name of the Session: what refers to it.
    pub(crate) fn metadata(&self) -> Metadata {
        Metadata {
            uid: self.uid.to_string(),
            name: self.name.to_string(),
            ..Metadata::default()
        }
    }

    /// The Credential that it came from.
    pub(crate) fn credential(&self) -> Option<&Credential> {
        self.foundation.credential()
    }

    /// Its User.
    pub(crate) fn user(&self) -> &User {
        &self.foundation.user.message
    }

    /// The Device that it is on.
    pub(crate) fn device(&self) -> Option<&Device> {
        self.foundation.device()
    }

    /// What the Session may be used for; empty is everything.
    pub(crate) fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// As Policies see it.
    pub(crate) fn subject(&self) -> &Arc<Subject> {
        &self.subject
    }

    /// The type of the Session.
    pub(crate) fn session_type(&self) -> Type {
        Type::try_from(self.session_type).unwrap_or_default()
    }

    /// Until when `claims` are accepted; `None` where they are not.
    pub(super) fn token_end(
        &self,
        session: &Session,
        claims: &Claims,
        now: UnixMillis,
    ) -> Result<UnixMillis, credential::Refusal> {
        session::accepts_access_token(session, claims, now)?;
        let own = claims.expires_at.unwrap_or(UnixMillis(i64::MAX));
        let end = own.min(self.valid_until);
        Ok(session::access_token_ends_at(session, claims).map_or(end, |at| at.min(end)))
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

fn subject(foundation: &Foundation, session: &Session) -> Subject {
    let background = foundation.background.clone();
    let mut session = session.clone();
    session.take_token_ids();
    let session = &session;
    match foundation.credential() {
        Some(credential) => {
            Subject::of(background, session, &under_credential(session, credential))
        }
        None => Subject::of(background, session, session),
    }
}
