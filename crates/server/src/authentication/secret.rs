//! Verification of the secrets of Credentials.

use domain::{
    clock::UnixMillis,
    credential::{self, Generation, Refusal},
    token::{self, Claims, TokenType},
};

use api::core_v1::{Credential, User, credential::spec::Type};

use crate::{
    Context, Error, ErrorKind, Unauthenticated,
    authentication_state::VerifiedSecret,
    directory::{Presented, Versioned},
};

/// Message of every failure before the identity is proven.
pub(crate) const UNAUTHENTICATED: &str = "Unauthenticated User";

/// A proof that the caller holds the secret of a usable Credential.
pub(crate) struct Proof {
    pub(crate) claims: Claims,
    pub(crate) credential: Versioned<Credential>,
    pub(crate) generation: Generation,
}

/// A failed proof. The error names the reason only if the caller holds the current secret.
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// The Credential that the secret belongs or belonged to.
    pub(crate) credential: Option<Versioned<Credential>>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self {
            error,
            credential: None,
        }
    }
}

/// The purpose of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Creating a Session or issuing a token.
    Authenticate,
    /// Managing tokens that were issued before. Allowed even if all uses are spent.
    Manage,
}

/// Verifies a secret and returns its claims. Caches the result, so that the signature is verified only once.
pub(crate) async fn verify(ctx: &Context, secret: &str) -> Result<Claims, Error> {
    let unverified = token::decode(secret).map_err(|error| unauthenticated(error.reason()))?;
    let key = Presented::CredentialSecret(&unverified).cache_key();
    let key_epoch = ctx.keys.epoch();
    if let Some(verified) = ctx.authentication.secrets.get(&key)
        && verified.key_epoch == key_epoch
    {
        return match verified.claims.check_expiry(ctx.now()) {
            Ok(()) => Ok(verified.claims),
            Err(error) => Err(unauthenticated(error.reason())),
        };
    }
    let claims = ctx
        .directory
        .verify_decoded(unverified, TokenType::Credential)
        .await;
    let claims = claims.map_err(from_unauthenticated)?;
    let verified = VerifiedSecret {
        claims: claims.clone(),
        key_epoch,
    };
    ctx.authentication.secrets.insert(key, verified);
    Ok(claims)
}

/// Proves that the verified `claims` belong to the current secret of a usable Credential of this type.
pub(crate) async fn prove(
    ctx: &Context,
    claims: Claims,
    of: Type,
    purpose: Purpose,
    now: UnixMillis,
) -> Result<Proof, Failed> {
    let mut is_fresh = false;
    loop {
        let credential = ctx
            .directory
            .credential(claims.subject)
            .await
            .map_err(Error::from)?;
        let Some(credential) = credential else {
            return Err(unauthenticated("credential_gone").into());
        };
        let refusal = match credential::redeem(&credential.message, claims.token_id, now) {
            Err(Refusal::UsedUp) if purpose == Purpose::Manage => {
                generation(&credential.message, &claims)
            }
            outcome => outcome,
        };
        let refusal = match refusal {
            Ok(generation) => {
                let is_type = credential
                    .message
                    .spec
                    .as_ref()
                    .is_some_and(|spec| spec.r#type() == of);
                if is_type {
                    return Ok(Proof {
                        claims,
                        credential,
                        generation,
                    });
                }
                return Err(Failed {
                    error: Error::new(
                        ErrorKind::Unauthenticated,
                        format!("{UNAUTHENTICATED}: the Credential has another type"),
                    )
                    .because("credential_type"),
                    credential: Some(credential),
                });
            }
            Err(refusal) => refusal,
        };
        if is_fresh {
            let error = match refusal {
                // The holder of a former secret must learn nothing about the current one.
                Refusal::Superseded | Refusal::Incomplete => unauthenticated(refusal.reason()),
                _ if holds_former(&credential.message, &claims) => {
                    unauthenticated(refusal.reason())
                }
                refusal => Error::new(
                    ErrorKind::Unauthenticated,
                    format!("{UNAUTHENTICATED}: {refusal}"),
                )
                .because(refusal.reason()),
            };
            return Err(Failed {
                error,
                credential: Some(credential),
            });
        }
        // Another replica may have changed the Credential a moment ago.
        ctx.directory.forget(&[claims.subject]);
        is_fresh = true;
    }
}

/// Returns the User of a Credential, after checking that the User can log in.
pub(crate) async fn user(ctx: &Context, credential: &Credential) -> Result<Versioned<User>, Error> {
    let reference = credential
        .status
        .as_ref()
        .and_then(|status| status.user_ref.as_ref());
    let uid = reference.and_then(|reference| reference.uid.parse().ok());
    let uid = uid.ok_or_else(|| unauthenticated("object_incomplete"))?;
    let mut is_fresh = false;
    loop {
        let user = ctx
            .directory
            .user(uid)
            .await?
            .ok_or_else(|| unauthenticated("user_gone"))?;
        match may_log_in(&user.message) {
            Ok(()) => return Ok(user),
            Err(refusal) if is_fresh => return Err(may_not(refusal)),
            Err(_) => {
                ctx.directory.forget(&[uid]);
                is_fresh = true;
            }
        }
    }
}

/// Checks that the given User can log in.
pub(crate) fn check_user(user: &User) -> Result<(), Error> {
    may_log_in(user).map_err(may_not)
}

fn may_not(refusal: Refusal) -> Error {
    Error::denied(format!("{}", Sentence(refusal))).because(refusal.reason())
}

/// Builds the error for a failure before the identity is proven.
pub(crate) fn unauthenticated(reason: &'static str) -> Error {
    Error::new(ErrorKind::Unauthenticated, UNAUTHENTICATED).because(reason)
}

pub(crate) fn from_unauthenticated(error: Unauthenticated) -> Error {
    match error {
        Unauthenticated::Refused { reason } => unauthenticated(reason),
        Unauthenticated::Unavailable => Error::unavailable(error),
    }
}

/// Checks that the User can log in.
///
/// # Errors
/// Returns the first [`Refusal`] that applies.
pub(super) fn may_log_in(user: &User) -> Result<(), Refusal> {
    if user.spec.as_ref().is_none_or(|spec| spec.is_disabled) {
        return Err(Refusal::UserDisabled);
    }
    if user.status.as_ref().is_some_and(|status| status.is_locked) {
        return Err(Refusal::UserLocked);
    }
    Ok(())
}

fn holds_former(credential: &Credential, claims: &Claims) -> bool {
    let present = credential
        .status
        .as_ref()
        .map(|status| status.token_id.as_str());
    present != Some(claims.token_id.to_string().as_str())
}

/// Returns the generation of a secret whose uses are spent.
fn generation(credential: &Credential, claims: &Claims) -> Result<Generation, Refusal> {
    let status = credential.status.as_ref().ok_or(Refusal::Incomplete)?;
    if status.token_id == claims.token_id.to_string() {
        Ok(Generation::Current {
            version: status.version,
        })
    } else {
        Err(Refusal::UsedUp)
    }
}

/// Displays a refusal as a sentence.
struct Sentence(Refusal);

impl std::fmt::Display for Sentence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.to_string();
        let mut characters = text.chars();
        let first = characters.next().map(|first| first.to_ascii_uppercase());
        write!(
            f,
            "{}{}",
            first.map(String::from).unwrap_or_default(),
            characters.as_str()
        )
    }
}
