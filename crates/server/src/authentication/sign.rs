//! Signing of a Session's tokens.

use api::{
    auth_v1,
    core_v1::{Credential, Session},
};
use domain::{
    clock::UnixMillis,
    id::Uid,
    session,
    token::{Claims, Token, TokenType},
};

use crate::{Context, Error};

/// The access and refresh token of a Session.
pub(crate) struct SessionTokens {
    access: Token,
    refresh: Token,
    access_expires_at: UnixMillis,
    refresh_expires_at: UnixMillis,
}

impl SessionTokens {
    /// Signs the tokens of the current authentication of `session`. Signing again yields the same ids and expiry.
    ///
    /// # Errors
    /// Returns an error if no signing key is available or the Session is incomplete.
    pub(crate) fn sign(
        ctx: &Context,
        session: &Session,
        credential: Option<&Credential>,
        now: UnixMillis,
    ) -> Result<Self, Error> {
        let authentication = session
            .status
            .as_ref()
            .and_then(|status| status.authentication.as_ref());
        let authentication =
            authentication.ok_or_else(|| Error::internal("a Session without authentication"))?;
        let set_at = authentication
            .set_at
            .as_ref()
            .map_or(now, UnixMillis::from_proto);
        let token_id: Uid = authentication.token_id.parse().map_err(Error::internal)?;
        let access_expires_at = session::access_token_expiry(session, credential, set_at);
        let refresh_expires_at = session::refresh_token_expiry(session, credential);
        let signer = ctx.keys.signer(now)?;
        let sign = |token_type, expires_at| -> Result<Token, Error> {
            Ok(signer.sign(&claims(
                ctx,
                session,
                token_type,
                token_id,
                expires_at,
                signer.id(),
            )?))
        };
        Ok(Self {
            access: sign(TokenType::Access, access_expires_at)?,
            refresh: sign(TokenType::Refresh, refresh_expires_at)?,
            access_expires_at,
            refresh_expires_at,
        })
    }

    pub(crate) fn access_expires_at(&self) -> UnixMillis {
        self.access_expires_at
    }

    /// Returns only the access token.
    pub(crate) fn into_access(self) -> Token {
        self.access
    }

    /// Converts the tokens to the response message. Lifetimes are at least 1 s, because clients take 0 for a missing
    /// token.
    pub(crate) fn to_proto(&self, now: UnixMillis) -> auth_v1::SessionToken {
        auth_v1::SessionToken {
            access_token: self.access.expose().to_owned(),
            refresh_token: self.refresh.expose().to_owned(),
            expires_in: seconds_until(self.access_expires_at, now),
            refresh_token_expires_in: seconds_until(self.refresh_expires_at, now),
        }
    }
}

/// Signs an access token of a Session that can have several at the same time.
///
/// # Errors
/// Returns an error if no signing key is available.
pub(crate) fn access_token(
    ctx: &Context,
    session: Uid,
    credential_version: u32,
    expires_at: UnixMillis,
    now: UnixMillis,
) -> Result<Token, Error> {
    let signer = ctx.keys.signer(now)?;
    Ok(signer.sign(&Claims {
        token_type: TokenType::Access,
        key_id: signer.id(),
        subject: session,
        token_id: ctx.new_uid(),
        expires_at: Some(expires_at),
        credential_version,
        audience: ctx.cluster_uid,
    }))
}

/// Returns the remaining whole seconds, at least 1.
pub(crate) fn seconds_until(end: UnixMillis, now: UnixMillis) -> i64 {
    i64::try_from(end.since(now).as_secs())
        .unwrap_or(i64::MAX)
        .max(1)
}

fn claims(
    ctx: &Context,
    session: &Session,
    token_type: TokenType,
    token_id: Uid,
    expires_at: UnixMillis,
    key_id: Uid,
) -> Result<Claims, Error> {
    let uid = session
        .metadata
        .as_ref()
        .map(|metadata| metadata.uid.as_str());
    Ok(Claims {
        token_type,
        key_id,
        subject: uid.unwrap_or_default().parse().map_err(Error::internal)?,
        token_id,
        expires_at: Some(expires_at),
        credential_version: session
            .status
            .as_ref()
            .map_or(0, |status| status.credential_version),
        audience: ctx.cluster_uid,
    })
}
