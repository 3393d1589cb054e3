//! Authentication by tokens and by what was verified elsewhere.

use std::{sync::Arc, time::Duration};

use domain::{
    clock::UnixMillis,
    token::{self, Claims, TokenType, Unverified},
};

use super::{
    Applied, CacheKey, Directory, Presented, Principal, Unauthenticated, refused, unavailable,
};

/// How long a refused token is remembered while nothing changes in the Cluster.
const REFUSED_FOR: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
pub(super) struct Refused {
    reason: &'static str,
    at: UnixMillis,
    applied: Applied,
}

impl Directory {
    /// Authenticates the holder of an access token. A few microseconds where the token is known.
    ///
    /// # Errors
    /// Where the token is not accepted, or the Cluster cannot tell.
    pub async fn authenticate(
        &self,
        access_token: &str,
    ) -> Result<Arc<Principal>, Unauthenticated> {
        if !self.is_fresh() {
            return Err(Unauthenticated::Unavailable);
        }
        // Nothing is looked up that does not have the one canonical form of a token.
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

    /// Returns the Principal that was cached for `presented`, if nothing changed since.
    pub(crate) fn remembered(&self, presented: &Presented<'_>) -> Option<Arc<Principal>> {
        self.principal_by(presented.cache_key())
    }

    fn principal_by(&self, key: CacheKey) -> Option<Arc<Principal>> {
        let principal = self.tokens.get(&key)?;
        let holds = principal.holds(self.clock.now(), self.keys.epoch());
        holds.then(|| {
            principal.standing.touch();
            principal
        })
    }

    /// Authenticates the holder of verified claims and caches the result for `presented`.
    ///
    /// # Errors
    /// Returns [`Unauthenticated::Refused`] if the Session, its User or its Credential is not active, and
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

    /// The claims of a token of this Cluster: form, key, signature, audience, type and expiry hold. Whether its
    /// subject stands is another question.
    ///
    /// # Errors
    /// Where one of them does not hold, or the Cluster cannot tell.
    pub(crate) async fn verify(
        &self,
        text: &str,
        token_type: TokenType,
    ) -> Result<Claims, Unauthenticated> {
        let unverified = token::decode(text).map_err(|error| refused(error.reason()))?;
        self.verify_decoded(unverified, token_type).await
    }

    /// Does what [`Self::verify`] does for a token that was decoded before.
    ///
    /// # Errors
    /// As [`Self::verify`].
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
