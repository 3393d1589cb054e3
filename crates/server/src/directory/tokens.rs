//! Authentication with tokens, and with credentials verified elsewhere.

use std::{sync::Arc, time::Duration};

use domain::{
    clock::UnixMillis,
    token::{self, Claims, TokenType, Unverified},
};

use super::{
    Applied, CacheKey, Directory, Presented, Principal, Unauthenticated, refused, unavailable,
};

/// Time for which a refused token stays cached, if nothing changes in the Cluster.
const REFUSED_FOR: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
pub(super) struct Refused {
    reason: &'static str,
    at: UnixMillis,
    applied: Applied,
}

impl Directory {
    /// Authenticates the holder of an access token. A cached token takes a few microseconds.
    ///
    /// # Errors
    /// Returns [`Unauthenticated::Refused`] if the token is not accepted, or [`Unauthenticated::Unavailable`] if that
    /// cannot be determined.
    pub async fn authenticate(
        &self,
        access_token: &str,
    ) -> Result<Arc<Principal>, Unauthenticated> {
        if !self.is_fresh() {
            return Err(Unauthenticated::Unavailable);
        }
        // Only text in the one canonical form of a token is looked up.
        let unverified = token::decode(access_token).map_err(|error| refused(error.reason()))?;
        let key = Presented::AccessToken(&unverified).cache_key();
        if let Some(principal) = self.principal_by(key) {
            return Ok(principal);
        }
        let now = self.clock.now();
        if let Some(refusal) = self.refused.get(&key)
            && refusal.applied == *self.applied.borrow()
            && now.since(refusal.at) < REFUSED_FOR
        {
            return Err(refused(refusal.reason));
        }
        let claims = self.verify_decoded(unverified, TokenType::Access).await?;
        self.admit_by(key, claims).await
    }

    /// Returns the cached Principal of `presented`, if nothing changed since.
    pub(crate) fn cached(&self, presented: &Presented<'_>) -> Option<Arc<Principal>> {
        self.principal_by(presented.cache_key())
    }

    fn principal_by(&self, key: CacheKey) -> Option<Arc<Principal>> {
        let principal = self.tokens.get(&key)?;
        let holds = principal.holds(self.clock.now(), self.keys.epoch());
        holds.then(|| {
            principal.valid_session.touch();
            principal
        })
    }

    /// Authenticates the holder of verified claims and caches the result for `presented`.
    ///
    /// # Errors
    /// Returns [`Unauthenticated::Refused`] if the Session, its User or its Credential is not active, or
    /// [`Unauthenticated::Unavailable`] if the store cannot be read.
    pub(crate) async fn admit(
        &self,
        presented: &Presented<'_>,
        claims: Claims,
    ) -> Result<Arc<Principal>, Unauthenticated> {
        self.admit_by(presented.cache_key(), claims).await
    }

    async fn admit_by(
        &self,
        key: CacheKey,
        claims: Claims,
    ) -> Result<Arc<Principal>, Unauthenticated> {
        let now = self.clock.now();
        match self.principal(claims, now).await {
            Ok(principal) => {
                self.tokens.insert(key, principal.clone());
                Ok(principal)
            }
            Err(Unauthenticated::Refused { reason }) => {
                let refusal = Refused {
                    reason,
                    at: now,
                    applied: *self.applied.borrow(),
                };
                self.refused.insert(key, refusal);
                Err(refused(reason))
            }
            Err(Unauthenticated::Unavailable) => Err(Unauthenticated::Unavailable),
        }
    }

    /// Verifies the form, key, signature, audience, type and expiry of a token, and returns its claims. Does not check
    /// its subject.
    ///
    /// # Errors
    /// Returns [`Unauthenticated::Refused`] if a check fails, or [`Unauthenticated::Unavailable`] if the key cannot be
    /// read.
    pub(crate) async fn verify(
        &self,
        text: &str,
        token_type: TokenType,
    ) -> Result<Claims, Unauthenticated> {
        let unverified = token::decode(text).map_err(|error| refused(error.reason()))?;
        self.verify_decoded(unverified, token_type).await
    }

    /// Like [`Self::verify`], for a decoded token.
    ///
    /// # Errors
    /// Returns the errors of [`Self::verify`].
    pub(crate) async fn verify_decoded(
        &self,
        unverified: Unverified,
        token_type: TokenType,
    ) -> Result<Claims, Unauthenticated> {
        let key = self
            .keys
            .verifier(unverified.key_id())
            .await
            .map_err(unavailable)?;
        let key = key.ok_or(refused("token_key_unknown"))?;
        let claims = unverified
            .verify(&key, self.store.cluster_uid())
            .and_then(|claims| claims.check_type(token_type).map(|()| claims))
            .and_then(|claims| claims.check_expiry(self.clock.now()).map(|()| claims));
        claims.map_err(|error| refused(error.reason()))
    }
}
