//! The holder of a Session who manages or uses Authenticators: the owner of a refresh token, or a browser.

use std::{ops::Deref, time::Duration};

use api::{
    core_v1::{Authenticator, Credential, Device, Session, User},
    resource::Object as _,
};
use domain::{
    authenticator::{self, MAX_PER_USER},
    clock::UnixMillis,
    id::Uid,
    session,
};

use crate::{
    Context, Error, ErrorKind,
    authentication::{
        active::Snapshot,
        browser::{self, Resumed},
        refresh, secret,
    },
    document::{codec::Stored, index, load},
};

/// Maximum age of an authentication that allows adding and removing Authenticators.
pub(crate) const FRESH: Duration = Duration::from_mins(10);

/// A Session with its User, Device and Credential, as read from the store. The Session may still wait for approval or
/// for an Authenticator. Code that manages Authenticators or raises the Session requires a
/// [`MayLackFirstAuthenticator`](crate::authentication::active::MayLackFirstAuthenticator) or a
/// [`MayAwaitAuthenticator`](crate::authentication::active::MayAwaitAuthenticator).
#[derive(Clone)]
pub(crate) struct Holder(Box<HolderData>);

/// See [`Holder`].
#[derive(Clone)]
pub(crate) struct HolderData {
    pub(crate) session: Stored<Session>,
    pub(crate) user: Stored<User>,
    pub(crate) device: Option<Stored<Device>>,
    pub(crate) credential: Option<Stored<Credential>>,
    /// The current token of the Session. Another raise replaces it, which invalidates this holder.
    token_id: Uid,
}

impl Holder {
    /// Returns the holder of a refresh token.
    ///
    /// # Errors
    /// Returns `Unauthenticated` if the token does not belong to a live Session.
    pub(crate) async fn of_token(ctx: &Context, refresh_token: &str) -> Result<Self, Error> {
        Self::of(
            refresh::holder_ignoring_approval_and_authenticator(ctx, refresh_token, ctx.now())
                .await?,
        )
    }

    /// Returns the holder of a browser's Session.
    ///
    /// # Errors
    /// Returns `Unauthenticated` if the Session has ended or has a new token.
    pub(crate) async fn of_browser(ctx: &Context, resumed: &Resumed) -> Result<Self, Error> {
        let token_id = browser::present(&resumed.session.message)?;
        Self::read(ctx, resumed.session.uid, token_id).await
    }

    /// Reads the holder again.
    ///
    /// # Errors
    /// Returns `Unauthenticated` if the Session has ended or has a new token.
    pub(crate) async fn reload(&self, ctx: &Context) -> Result<Self, Error> {
        Self::read(ctx, self.session.uid, self.token_id).await
    }

    /// Reads the holder of the token `token_id` of a Session.
    pub(super) async fn read(ctx: &Context, session: Uid, token_id: Uid) -> Result<Self, Error> {
        let holder = Self::of(
            refresh::read_ignoring_approval_and_authenticator(ctx, session, ctx.now()).await?,
        )?;
        if holder.token_id == token_id {
            Ok(holder)
        } else {
            Err(secret::unauthenticated("token_superseded"))
        }
    }

    fn of(read: refresh::Read) -> Result<Self, Error> {
        Ok(Self(Box::new(HolderData {
            token_id: browser::present(&read.session.message)?,
            session: read.session,
            user: read.user,
            device: read.device,
            credential: read.credential,
        })))
    }

    /// Returns all Authenticators of the User, oldest first.
    ///
    /// # Errors
    /// Returns the error of the store.
    pub(crate) async fn authenticators(
        &self,
        ctx: &Context,
        now: UnixMillis,
    ) -> Result<Vec<Stored<Authenticator>>, Error> {
        let user = self.user.uid.to_string();
        let (all, _) =
            load::by_index::<Authenticator>(&*ctx.store, index::USER, &user, MAX_PER_USER, now)
                .await?;
        Ok(all)
    }

    /// Returns whether any of `all` counts for the Session.
    pub(crate) fn has_any(&self, all: &[Stored<Authenticator>]) -> bool {
        let session = &self.session.message;
        let mut all = all.iter();
        all.any(|stored| authenticator::counts(session, &stored.message))
    }

    pub(crate) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            session: &self.session,
            user: &self.user,
            credential: self.credential.as_ref(),
            device: self.device.as_ref(),
        }
    }

    /// Checks that the User authenticated recently: with an Authenticator, if one fits the Session.
    ///
    /// # Errors
    /// Returns `PermissionDenied` if the authentication is older than [`FRESH`].
    pub(crate) async fn check_fresh(&self, ctx: &Context, now: UnixMillis) -> Result<(), Error> {
        let all = self.authenticators(ctx, now).await?;
        self.check_fresh_among(&all, now)
    }

    /// Like [`Self::check_fresh`], with Authenticators that are already read.
    ///
    /// # Errors
    /// Returns `PermissionDenied` if the authentication is older than [`FRESH`].
    pub(crate) fn check_fresh_among(
        &self,
        all: &[Stored<Authenticator>],
        now: UnixMillis,
    ) -> Result<(), Error> {
        let session = &self.session.message;
        let has_any = self.has_any(all);
        if session::is_fresh(session, has_any, FRESH, now) {
            return Ok(());
        }
        let minutes = FRESH.as_secs() / 60;
        let what = if has_any {
            "use one of your Authenticators first: octelium auth authenticator NAME"
        } else {
            "log in again first: octelium login"
        };
        Err(Error::new(
            ErrorKind::PermissionDenied,
            format!(
                "To add or remove Authenticators, you must have verified your identity within the last {minutes} \
                 minutes; {what}"
            ),
        )
        .because("fresh_authentication_required"))
    }

    /// Returns the name of the User.
    pub(crate) fn user_name(&self) -> &str {
        self.user.message.name()
    }
}

impl Deref for Holder {
    type Target = HolderData;

    fn deref(&self) -> &HolderData {
        &self.0
    }
}
