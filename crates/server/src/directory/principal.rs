//! The authenticated sender of a request.

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

use super::{documents::Versioned, session_context::SessionContext};
use crate::document::token_ids::{HasTokenIds as _, TokenIds};

/// A Session authenticated with a token, with the data that a decision about it needs.
pub struct Principal {
    /// Time from which the token is no longer accepted.
    pub valid_until: UnixMillis,
    /// Cancelled when the token, Session, User, Credential or Device is no longer valid. Open streams then end.
    pub revoked: CancellationToken,
    /// The claims of the token.
    pub claims: Arc<Claims>,
    /// A value that another module derives once and caches here.
    pub derived: OnceLock<Box<dyn Any + Send + Sync>>,
    pub(super) valid_session: Arc<ValidSession>,
    pub(super) key_epoch: u64,
}

impl Principal {
    /// Returns the subject that Policies evaluate.
    pub fn subject(&self) -> &Arc<Subject> {
        &self.valid_session.subject
    }

    /// Decodes the Session. Too slow for every request to a Service.
    pub fn session(&self) -> Session {
        self.valid_session.session()
    }

    /// Returns the uid and name of the Session, for references to it.
    pub(crate) fn session_metadata(&self) -> Metadata {
        self.valid_session.metadata()
    }

    /// Returns the uid of the User, or the uid of the Session if the User has no valid uid.
    pub(crate) fn user_uid(&self) -> Uid {
        let metadata = self.user().metadata.as_ref();
        let uid = metadata.and_then(|metadata| metadata.uid.parse().ok());
        uid.unwrap_or(self.claims.subject)
    }

    /// Returns the name of the Session.
    pub fn session_name(&self) -> &Arc<str> {
        &self.valid_session.name
    }

    /// Returns the User of the Session.
    pub fn user(&self) -> &User {
        &self.valid_session.session_context.user.message
    }

    /// Returns the name of the User.
    pub fn user_name(&self) -> &Arc<str> {
        &self.valid_session.session_context.user_name
    }

    /// Returns the Credential that created the Session, if the Session depends on one.
    pub fn credential(&self) -> Option<&Credential> {
        self.valid_session.credential()
    }

    /// Returns the name of that Credential.
    pub fn credential_name(&self) -> Option<&Arc<str>> {
        self.valid_session.session_context.credential_name.as_ref()
    }

    /// Returns the Device of the Session.
    pub fn device(&self) -> Option<&Device> {
        self.valid_session.session_context.device()
    }

    /// Returns the scopes that restrict the Session. Empty means unrestricted.
    pub fn scopes(&self) -> &Arc<[Scope]> {
        &self.valid_session.scopes
    }

    /// Returns whether the token can be accepted without further checks.
    pub(super) fn holds(&self, now: UnixMillis, key_epoch: u64) -> bool {
        self.key_epoch == key_epoch
            && now < self.valid_until
            && self.valid_session.is_current()
            && !self.revoked.is_cancelled()
    }
}

/// A valid Session and the objects it depends on, at one moment. There may be 100,000 of them. Common data is
/// therefore shared, and the Session is kept in the encoded form that Policies read.
pub(crate) struct ValidSession {
    pub(crate) uid: Uid,
    /// Time at which it ends if nothing changes.
    pub(crate) valid_until: UnixMillis,
    /// Expiry of the Session itself.
    pub(crate) expires_at: UnixMillis,
    pub(super) subject: Arc<Subject>,
    pub(super) session_context: Arc<SessionContext>,
    name: Arc<str>,
    scopes: Arc<[Scope]>,
    /// Authorization of the Session alone, without that of its Credential.
    authorization: Option<Box<Authorization>>,
    /// Token ids, which Policies must not see.
    token_ids: TokenIds,
    /// Version of the Credential.
    pub(crate) version: u32,
    session_type: i32,
    current: AtomicBool,
    used: AtomicBool,
}

/// The inputs of a [`ValidSession`].
pub(super) struct SessionParts {
    pub(super) session: Versioned<Session>,
    pub(super) user: Versioned<User>,
    pub(super) credential: Option<Versioned<Credential>>,
    pub(super) device: Option<Versioned<Device>>,
    pub(super) groups: Vec<(Uid, Arc<api::core_v1::Group>)>,
}

impl ValidSession {
    pub(super) fn new(uid: Uid, session: &Session, session_context: Arc<SessionContext>) -> Self {
        let credential = session_context.credential();
        let subject = subject(&session_context, session);
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
            scopes: session_context.scopes(status.map_or(&[], |status| &status.scopes)),
            authorization: spec
                .and_then(|spec| spec.authorization.clone())
                .map(Box::new),
            token_ids: session.clone().take_token_ids(),
            version,
            session_type: status.map_or(0, |status| status.r#type),
            session_context,
            current: AtomicBool::new(true),
            used: AtomicBool::new(false),
        }
    }

    /// Returns the subject that Policies would evaluate for `session` in place of this Session.
    pub(crate) fn subject_with(&self, session: &Session) -> Subject {
        subject(&self.session_context, session)
    }

    /// Decodes the Session.
    pub(crate) fn session(&self) -> Session {
        // The encoding was made here and always decodes. An empty Session would be accepted nowhere.
        let mut session = self.subject.session().unwrap_or_default();
        if let Some(spec) = &mut session.spec {
            spec.authorization = self.authorization.as_deref().cloned();
        }
        session.put_token_ids(self.token_ids.clone());
        session
    }

    /// Returns the uid and name of the Session, for references to it.
    pub(crate) fn metadata(&self) -> Metadata {
        Metadata {
            uid: self.uid.to_string(),
            name: self.name.to_string(),
            ..Metadata::default()
        }
    }

    /// Returns the Credential that created the Session, if the Session depends on one.
    pub(crate) fn credential(&self) -> Option<&Credential> {
        self.session_context.credential()
    }

    pub(crate) fn user(&self) -> &User {
        &self.session_context.user.message
    }

    pub(crate) fn device(&self) -> Option<&Device> {
        self.session_context.device()
    }

    /// Returns the scopes that restrict the Session. Empty means unrestricted.
    pub(crate) fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Returns the subject that Policies evaluate.
    pub(crate) fn subject(&self) -> &Arc<Subject> {
        &self.subject
    }

    pub(crate) fn session_type(&self) -> Type {
        Type::try_from(self.session_type).unwrap_or_default()
    }

    /// Returns the time until which `claims` are accepted.
    ///
    /// # Errors
    /// Returns the [`credential::Refusal`] if they are not accepted.
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

    /// Returns whether it was used since the last call, and resets the mark.
    pub(super) fn was_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }
}

fn subject(session_context: &SessionContext, session: &Session) -> Subject {
    let background = session_context.background.clone();
    let mut session = session.clone();
    session.take_token_ids();
    let session = &session;
    match session_context.credential() {
        Some(credential) => {
            Subject::of(background, session, &under_credential(session, credential))
        }
        None => Subject::of(background, session, session),
    }
}
