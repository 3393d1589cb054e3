//! Passkeys and security keys (Web Authentication Level 3): registration, use as a second factor, and login.
//!
//! The server keeps no state for a ceremony. The challenge is in a sealed `state`, and the transaction that finishes
//! the ceremony records its use. Therefore any replica can finish a ceremony, several can be open at once, and none
//! can be finished twice.

mod client;
mod login;
mod model;
mod options;

use std::{borrow::Cow, time::Duration};

use api::{
    core_v1::{
        Authenticator, Session, User,
        authenticator::{
            spec::State,
            status::{
                Info, Type,
                info::{self, Fido, fido::Type as Attached},
            },
        },
        cluster_config::spec::authenticator::{
            Fido as Settings,
            fido::{AttestationConveyancePreference, UserVerification},
        },
        session::status::authentication::info::authenticator::info::Fido as Facts,
    },
    resource::Object as _,
};
use authn::webauthn::{
    Algorithm, Attachment, AttestedModel, AuthenticationJson, Embedding, Expected, PublicKey,
    Refusal, Registered, RegistrationJson, Stored as Credential, authenticate as verify,
    register as verify_registration,
};
use aws_lc_rs::digest;
use domain::{authenticator, id::Uid, kind::Kind, session};
use store::{CommitError, Expected as AtRevision, Operation, SecretWrite, Transaction};

use super::{
    AuthenticatorSelector, Holder, Proof, Registration, complete, failed, registering,
    registration::used_already,
    step_up::{self, StepUpFailed},
    usable,
};
use crate::{
    Caller, Context, Error, ErrorKind, audit,
    authentication::{active::MayAwaitAuthenticator, identity::SingleUse},
    document::codec::{self, Stored},
    mds_metadata::Attested,
    sealed::{self, NotOpened, Purpose},
    transaction::{Attempts, is_conflict, retry_conflict},
};

pub(crate) use client::{ForClient, for_client};
pub(crate) use login::{Passkey, begin_login, is_enabled, login};
pub(crate) use model::best_fido_facts;

/// Single-use record of a challenge.
const USED: &str = "webauthn-challenge";
/// Maximum duration of a ceremony, except for a login.
const LIFETIME: Duration = Duration::from_mins(5);
/// Maximum duration of a login ceremony. No ceremony lasts longer.
const LOGIN_LIFETIME: Duration = Duration::from_mins(10);
const CHALLENGE_LENGTH: usize = 32;

/// A ceremony that has begun.
pub(crate) struct Challenge {
    /// `PublicKeyCredentialCreationOptionsJSON` or `PublicKeyCredentialRequestOptionsJSON` (§5.1), for the script of
    /// the page.
    pub(crate) options: String,
    /// Sealed state that the client returns with its response.
    pub(crate) state: String,
}

/// The purpose of a ceremony.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CeremonyPurpose {
    Register = 1,
    StepUp = 2,
    Login = 3,
    /// [`Self::StepUp`] for a client that uses a browser on its machine.
    ClientStepUp = 4,
}

impl CeremonyPurpose {
    /// Returns the purpose for raising `session`.
    fn for_session(session: &Session) -> Self {
        if session::is_browser(session) {
            Self::StepUp
        } else {
            Self::ClientStepUp
        }
    }
}

/// The content of a sealed ceremony.
#[derive(Clone, PartialEq, prost::Message)]
struct Ceremony {
    #[prost(uint32, tag = "1")]
    purpose: u32,
    #[prost(bytes = "vec", tag = "2")]
    challenge: Vec<u8>,
    /// Uid of the Session; empty for a login.
    #[prost(bytes = "vec", tag = "3")]
    session: Vec<u8>,
    /// Uid of the Authenticator to register; empty otherwise.
    #[prost(bytes = "vec", tag = "4")]
    authenticator: Vec<u8>,
}

/// Begins the registration of a passkey or a security key.
///
/// # Errors
/// Returns the errors of [`registering`].
pub(crate) async fn begin_registration(
    ctx: &Context,
    holder: &Holder,
    which: &AuthenticatorSelector<'_>,
) -> Result<Challenge, Error> {
    let stored = registering(ctx, holder, which, Type::Fido).await?;
    let all = holder.authenticators(ctx, ctx.now()).await?;
    let challenge = new_challenge(ctx);
    let options = options::creation(ctx, holder, &settings(ctx), &all, &challenge);
    begun(
        ctx,
        options,
        &Ceremony {
            purpose: CeremonyPurpose::Register as u32,
            challenge,
            session: holder.session.uid.as_bytes().to_vec(),
            authenticator: stored.uid.as_bytes().to_vec(),
        },
        LIFETIME,
    )
}

/// Registers the credential that the browser created.
///
/// # Errors
/// Returns the errors of [`registering`], `PermissionDenied` if the response is wrong or the Cluster does not accept
/// the model, or `AlreadyExists` if the credential is already registered.
pub(crate) async fn finish_registration(
    ctx: &Context,
    holder: &Holder,
    state: &str,
    response: &str,
    caller: &Caller,
) -> Result<Authenticator, Error> {
    let ceremony = open(ctx, state, CeremonyPurpose::Register, Some(holder)).await?;
    let uid = Uid::from_bytes(&ceremony.authenticator).map_err(Error::internal)?;
    let uid = uid.to_string();
    let which = AuthenticatorSelector {
        name: "",
        uid: &uid,
    };
    let settings = settings(ctx);
    let answer = RegistrationJson::read(response).map_err(|why| refused(&why))?;
    let registered = check_registration(ctx, &settings, &ceremony, &answer)?;
    let now = ctx.now();
    let model = model::of(ctx, &settings, &registered, now)?;

    complete(ctx, holder, &which, Type::Fido, caller, |stored| {
        let mut made = stored.message.clone();
        let status = made.status_mut();
        status.description.clone_from(&model.description);
        status.info = Some(Info {
            r#type: Some(info::Type::Fido(facts(&registered, &answer, &model))),
        });
        Ok(Registration {
            stored,
            registered: made,
            secret: SecretWrite::Keep,
            operations: vec![ceremony.used(ctx)],
        })
    })
    .await
}

/// Begins an authentication with any passkey or security key that `holder` can use now, limited to those in `among` if
/// it is set.
///
/// # Errors
/// Returns `FailedPrecondition` if no key can be used.
pub(crate) async fn begin_authentication(
    ctx: &Context,
    holder: &Holder,
    among: Option<&[Uid]>,
) -> Result<Challenge, Error> {
    let all = holder.authenticators(ctx, ctx.now()).await?;
    let allowed: Vec<&Fido> = all
        .iter()
        .filter(|stored| among.is_none_or(|among| among.contains(&stored.uid)))
        .filter(|stored| usable(holder, stored, &all).is_ok())
        .filter_map(|stored| fido(&stored.message))
        .filter(|fido| !is_refused(ctx, fido))
        .collect();
    if allowed.is_empty() {
        return Err(Error::precondition(
            "You have no passkey or security key that can be used here",
        ));
    }
    let challenge = new_challenge(ctx);
    let settings = settings(ctx);
    let verification = verification(&settings);
    let options = options::request(ctx, &challenge, &allowed, verification, LIFETIME);
    begun(
        ctx,
        options,
        &Ceremony {
            purpose: CeremonyPurpose::for_session(&holder.session.message) as u32,
            challenge,
            session: holder.session.uid.as_bytes().to_vec(),
            authenticator: Vec::new(),
        },
        LIFETIME,
    )
}

/// Raises the Session of `holder` if the response to [`begin_authentication`] is correct.
///
/// # Errors
/// Returns `PermissionDenied` if the response is wrong or the rules of the Cluster deny it.
pub(crate) async fn authenticate(
    ctx: &Context,
    holder: &Holder,
    state: &str,
    response: &str,
    caller: &Caller,
) -> Result<Session, Error> {
    let purpose = CeremonyPurpose::for_session(&holder.session.message);
    let ceremony = open(ctx, state, purpose, Some(holder)).await?;
    let answer = AuthenticationJson::read(response).map_err(|why| refused(&why))?;
    let mut holder = Cow::Borrowed(holder);
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let awaiting = MayAwaitAuthenticator::check(ctx, &holder, now).await?;
        let all = holder.authenticators(ctx, now).await?;
        let stored = all.iter().find(|stored| {
            fido(&stored.message).is_some_and(|fido| fido.id == answer.credential_id)
        });
        // A credential of another User is treated as unknown.
        let Some(stored) = stored else {
            return Err(unknown());
        };
        usable(&holder, stored, &all)?;
        let operations = vec![ceremony.used(ctx)];
        let used = check(ctx, &holder.user.message, stored, &ceremony, &answer, false);
        let (used, facts) = match used {
            Ok(used) => used,
            Err(NotProven::Refused(error)) => {
                let reason = error.reason().unwrap_or("webauthn_refused");
                match failed(ctx, &holder, stored, None, &operations, reason, caller).await {
                    Ok(()) => return Err(error),
                    Err(CommitError::RecordTaken) => return Err(used_already()),
                    Err(error) => retry_conflict(error)?,
                }
                holder = Cow::Owned(holder.reload(ctx).await?);
                continue;
            }
            Err(NotProven::Cloned) => {
                set_pending(ctx, stored, &ceremony, Some(&holder), caller).await?;
                return Err(cloned());
            }
        };
        let proof = Proof {
            stored: stored.clone(),
            used,
            fido: Some(facts),
            operations,
        };
        match step_up::step_up(ctx, &awaiting, proof, None, caller).await {
            Ok(session) => return Ok(session),
            Err(StepUpFailed::Denied(error)) => return Err(error),
            Err(StepUpFailed::Commit(CommitError::RecordTaken)) => return Err(used_already()),
            Err(StepUpFailed::Commit(error)) => retry_conflict(error)?,
        }
        holder = Cow::Owned(holder.reload(ctx).await?);
    }
}

/// The reason why a response proves nothing.
enum NotProven {
    /// The response is wrong.
    Refused(Error),
    /// The response is correct, but its counter indicates that the authenticator may have been cloned.
    Cloned,
}

/// Verifies the response. Returns the updated Authenticator and the facts that the response proves.
fn check(
    ctx: &Context,
    owner: &User,
    stored: &Stored<Authenticator>,
    ceremony: &Ceremony,
    answer: &AuthenticationJson,
    is_login: bool,
) -> Result<(Authenticator, Facts), NotProven> {
    let refuse = |error| NotProven::Refused(error);
    let fido = fido(&stored.message)
        .ok_or_else(|| refuse(Error::internal("a FIDO Authenticator without a key")))?;
    let handle_of_owner = user_handle(owner).map_err(refuse)?;
    if answer
        .user_handle
        .as_ref()
        .is_some_and(|handle| *handle != handle_of_owner)
        || (is_login && answer.user_handle.is_none())
    {
        return Err(refuse(unknown()));
    }
    let key = PublicKey::parse(&fido.public_key)
        .map_err(|why| refuse(Error::internal(why.to_string())))?;
    let settings = settings(ctx);
    let credential = Credential {
        public_key: &key,
        sign_count: fido.sign_count,
        backup_eligible: fido.backup_eligible,
    };
    let must_verify = is_login || verification(&settings) == UserVerification::Required;
    let authenticated = with_expected(ctx, &ceremony.challenge, must_verify, |expected| {
        verify(answer.response(), credential, expected)
    });
    let authenticated = authenticated.map_err(|why| refuse(refused(&why)))?;
    model::still_accepted(ctx, &settings, fido, ctx.now()).map_err(refuse)?;
    if authenticated.is_cloned {
        return Err(NotProven::Cloned);
    }
    let is_passkey = is_login || fido.is_passkey;
    let facts = model::proven_facts(fido, &authenticated, is_passkey);
    let mut used = stored.message.clone();
    if let Some(Info {
        r#type: Some(info::Type::Fido(fido)),
    }) = &mut used.status_mut().info
    {
        fido.sign_count = authenticated.sign_count;
        fido.backup_state = authenticated.flags.backup_state;
        // A credential found without an allow list is discoverable, thus a passkey.
        fido.is_passkey = is_passkey;
        model::forget_unproved(fido);
    }
    Ok((used, facts))
}

/// Sets an authenticator that may be cloned to PENDING until an administrator approves it, and redeems the challenge.
async fn set_pending(
    ctx: &Context,
    stored: &Stored<Authenticator>,
    ceremony: &Ceremony,
    holder: Option<&Holder>,
    caller: &Caller,
) -> Result<(), Error> {
    let now = ctx.now();
    let mut aside = stored.message.clone();
    authenticator::record(&mut aside, false, now);
    aside.spec_mut().set_state(State::Pending);
    aside.status_mut().cloned_at = Some(now.to_proto());
    let mut transaction = Transaction::at(now);
    transaction.push(ceremony.used(ctx));
    transaction.push(Operation::Put(
        codec::encode(stored.uid, stored.created_at, &aside, SecretWrite::Keep),
        AtRevision::Revision(stored.revision),
    ));
    let entry = audit::Entry {
        event_type: "authenticator.cloned",
        resource: aside
            .metadata()
            .map(|metadata| (Kind::Authenticator, metadata)),
        user: holder.and_then(|holder| holder.user.message.metadata()),
        session: holder.and_then(|holder| holder.session.message.metadata()),
    };
    transaction.push(Operation::Audit(audit::refused(
        ctx,
        caller,
        entry,
        "authenticator_cloned",
    )));
    tracing::warn!(
        authenticator = aside.name(),
        "the signature counter of an authenticator decreased; an administrator must review it"
    );
    match step_up::commit(ctx, transaction).await {
        Ok(()) => Ok(()),
        Err(CommitError::RecordTaken) => Err(used_already()),
        // The Authenticator changed in the meantime. The response proved nothing in any case.
        Err(error) if is_conflict(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn check_registration(
    ctx: &Context,
    settings: &Settings,
    ceremony: &Ceremony,
    answer: &RegistrationJson,
) -> Result<Registered, Error> {
    let must_verify = verification(settings) == UserVerification::Required;
    with_expected(ctx, &ceremony.challenge, must_verify, |expected| {
        verify_registration(answer.response(), expected, &Algorithm::ASKED_FOR)
    })
    .map_err(|why| refused(&why))
}

fn with_expected<T>(
    ctx: &Context,
    challenge: &[u8],
    user_verification: bool,
    verify: impl FnOnce(&Expected<'_>) -> T,
) -> T {
    let origin = ctx.domain.url();
    verify(&Expected {
        rp_id: ctx.domain.host(),
        origins: &[&origin],
        embedding: Embedding::Refused,
        challenge,
        user_verification,
    })
}

/// Builds the stored facts about a new credential.
fn facts(registered: &Registered, answer: &RegistrationJson, model: &Attested) -> Fido {
    let hash = digest::digest(&digest::SHA256, &registered.credential_id);
    Fido {
        id: registered.credential_id.clone(),
        public_key: registered.encoded_key.clone(),
        r#type: match answer.attachment {
            Some(Attachment::Platform) => Attached::Platform,
            Some(Attachment::CrossPlatform) => Attached::Roaming,
            None => Attached::Unknown,
        }
        .into(),
        aaguid: registered.signed_aaguid().to_string(),
        is_passkey: answer.is_resident,
        id_hash: hash.as_ref().to_vec(),
        backup_eligible: registered.flags.backup_eligible,
        is_attestation_verified: model.is_verified,
        is_software: model.is_software,
        is_hardware: model.is_hardware,
        sign_count: registered.sign_count,
        transports: answer.transports.clone(),
        attestation_format: registered.attestation.format.name().to_owned(),
        backup_state: registered.flags.backup_state,
        certification_level: model.certification_level,
        attestation_key_identifier: match registered.attested_model() {
            AttestedModel::KeyIdentifier(key) if model.is_verified => key,
            AttestedModel::KeyIdentifier(_) | AttestedModel::Aaguid(_) | AttestedModel::None => {
                Vec::new()
            }
        },
    }
}

/// Returns whether the Cluster would now refuse the model of a registered credential.
pub(crate) fn is_refused(ctx: &Context, fido: &Fido) -> bool {
    model::still_accepted(ctx, &settings(ctx), fido, ctx.now()).is_err()
}

fn begun(
    ctx: &Context,
    options: String,
    ceremony: &Ceremony,
    lifetime: Duration,
) -> Result<Challenge, Error> {
    let expires_at = ctx.now().saturating_add(lifetime);
    let state = sealed::seal(ctx, Purpose::Ceremony, ceremony, expires_at)?;
    Ok(Challenge { options, state })
}

async fn open(
    ctx: &Context,
    state: &str,
    purpose: CeremonyPurpose,
    holder: Option<&Holder>,
) -> Result<Ceremony, Error> {
    let ceremony = unsealed(ctx, state).await?;
    let session = holder.map(|holder| holder.session.uid.as_bytes().to_vec());
    if ceremony.purpose != purpose as u32 || ceremony.session != session.unwrap_or_default() {
        return Err(refused(&Refusal::Challenge));
    }
    Ok(ceremony)
}

async fn unsealed(ctx: &Context, state: &str) -> Result<Ceremony, Error> {
    let opened = sealed::open::<Ceremony>(ctx, Purpose::Ceremony, state).await;
    opened.map_err(|error| match error {
        NotOpened::Unavailable => Error::unavailable("a ceremony cannot be opened"),
        NotOpened::Expired => {
            Error::denied("That took too long. Try again").because("webauthn_expired")
        }
        NotOpened::Invalid => refused(&Refusal::Challenge),
    })
}

impl Ceremony {
    /// Returns the operation that fails if the ceremony was already finished.
    fn used(&self, ctx: &Context) -> Operation {
        let used = SingleUse {
            kind: USED,
            key: self.challenge.clone(),
            expires_at: ctx.now().saturating_add(LOGIN_LIFETIME),
        };
        used.operation()
    }
}

fn new_challenge(ctx: &Context) -> Vec<u8> {
    let mut challenge = vec![0; CHALLENGE_LENGTH];
    ctx.rng.fill(&mut challenge);
    challenge
}

/// `ClusterConfig.spec.authenticator.fido`.
fn settings(ctx: &Context) -> Settings {
    let config = ctx.directory.cluster_config();
    let spec = config.spec.as_ref();
    let authenticator = spec.and_then(|spec| spec.authenticator.as_ref());
    let fido = authenticator.and_then(|authenticator| authenticator.fido.clone());
    fido.unwrap_or_default()
}

fn verification(settings: &Settings) -> UserVerification {
    match settings.user_verification() {
        UserVerification::Required => UserVerification::Required,
        UserVerification::Unset | UserVerification::Preferred => UserVerification::Preferred,
    }
}

/// `user.id` (§5.4.3): the 16 bytes of the User's uid.
fn user_handle(user: &User) -> Result<Vec<u8>, Error> {
    let uid: Uid = user.uid().parse().map_err(Error::internal)?;
    Ok(uid.as_bytes().to_vec())
}

fn fido(authenticator: &Authenticator) -> Option<&Fido> {
    match authenticator::info(authenticator)? {
        info::Type::Fido(fido) => Some(fido),
        _ => None,
    }
}

/// Logs the cause and returns a general message. An honest browser does not cause these errors.
fn refused(why: &Refusal) -> Error {
    tracing::warn!(%why, "authenticator response refused");
    let public = match why {
        Refusal::UserVerification => {
            "The authenticator did not verify you. Set up a PIN or a fingerprint on it, and try again"
        }
        Refusal::Origin(_) | Refusal::Embedded => {
            "The response was created for another page. Nothing was changed"
        }
        Refusal::Attestation(_) | Refusal::Format(_) | Refusal::Algorithm(_) => {
            "This Cluster does not accept authenticators of this type"
        }
        _ => "The response of the authenticator was refused. Try again",
    };
    Error::denied(public).because("webauthn_refused")
}

fn unknown() -> Error {
    Error::denied(
        "This passkey or security key is not registered here. It may have been removed, or belong to another User",
    )
    .because("webauthn_unknown")
}

fn cloned() -> Error {
    Error::new(
        ErrorKind::PermissionDenied,
        "The signature counter of this authenticator decreased: there may be a copy of it. It is blocked until an \
         administrator approves it",
    )
    .because("authenticator_cloned")
}

fn conveyance(settings: &Settings) -> &'static str {
    match settings.attestation_conveyance_preference() {
        AttestationConveyancePreference::Unset | AttestationConveyancePreference::Direct => {
            "direct"
        }
        AttestationConveyancePreference::Indirect => "indirect",
        AttestationConveyancePreference::None => "none",
        AttestationConveyancePreference::Enterprise => "enterprise",
    }
}

/// Converts `time` to the milliseconds that the browser API expects.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
