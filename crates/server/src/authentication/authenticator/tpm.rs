//! TPM 2.0 of the machine on which a client runs.
//!
//! Each challenge is a secret that only the registered TPM can recover. The challenge is stored under the hash of that
//! secret, and the response takes it. Therefore a response works once, several challenges can be open at once, and the
//! secret itself is never stored.

use std::{borrow::Cow, time::Duration};

use api::{
    auth_v1::{
        TpmQuoteRequest,
        authenticate_authenticator_begin_response::challenge_request as to_use,
        challenge_response::Tpm as Answered,
        register_authenticator_begin_request::{
            PreChallenge,
            pre_challenge::{
                self,
                tpm::{AttestationParameters as SentParameters, EkType},
            },
        },
        register_authenticator_begin_response::challenge_request as to_register,
    },
    core_v1::{
        Authenticator, Session,
        authenticator::status::{
            Info, Type,
            info::{
                self, Tpm,
                tpm::{
                    AttestationParameters as Parameters, EndorsementKey as Kept,
                    Quote as KeptQuote, endorsement_key::Trust as KeptTrust,
                },
            },
        },
        cluster_config::spec::authenticator::Tpm as Settings,
    },
    resource::Object as _,
};
use authn::tpm::{
    ActivationSecret, AttestationKey, AttestationParameters, ChallengeResponse,
    EncryptedCredential, EndorsementKey, Expected, Presented, Quote, QuoteRequest, Quoted, Quoting,
    Refusal, Registration as Presenting, Trust, challenge,
};
use aws_lc_rs::digest;
use domain::{authenticator, id::Uid};
use prost::Message as _;
use store::{Operation, SecretWrite, Transaction};

use super::{
    AuthenticatorSelector, Holder, Proof, Registration, complete, failed, manage, registering,
    step_up::{self, StepUpFailed},
    usable,
};
use crate::{
    Caller, Context, Error,
    authentication::active::MayAwaitAuthenticator,
    resource::cluster_config::authenticator_rules::tpm_authorities,
    transaction::{Attempts, retry_conflict},
};

const RECORD: &str = "tpm-challenge";
const LIFETIME: Duration = Duration::from_mins(5);

/// A challenge to a TPM.
pub(crate) struct Challenge {
    encrypted: EncryptedCredential,
    ak_bytes: Vec<u8>,
    quote: QuoteRequest,
}

/// The stored form of a challenge, with the Session and the Authenticator that it was issued for.
#[derive(Clone, PartialEq, prost::Message)]
struct StoredChallenge {
    #[prost(bytes = "vec", tag = "1")]
    session: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    authenticator: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    nonce: Vec<u8>,
    #[prost(uint32, tag = "4")]
    hash_algorithm: u32,
    #[prost(bytes = "vec", tag = "5")]
    pcrs: Vec<u8>,
    /// The TPM to register; absent if it is already registered.
    #[prost(message, optional, tag = "6")]
    registers: Option<Tpm>,
}

impl From<Challenge> for to_register::Tpm {
    fn from(challenge: Challenge) -> Self {
        Self {
            quote_request: Some(wire(&challenge.quote)),
            encrypted_credential: Some(to_register::tpm::EncryptedCredential {
                credential: challenge.encrypted.credential,
                secret: challenge.encrypted.secret,
            }),
            ak_bytes: challenge.ak_bytes,
        }
    }
}

impl From<Challenge> for to_use::Tpm {
    fn from(challenge: Challenge) -> Self {
        Self {
            quote_request: Some(wire(&challenge.quote)),
            encrypted_credential: Some(to_use::tpm::EncryptedCredential {
                credential: challenge.encrypted.credential,
                secret: challenge.encrypted.secret,
            }),
            ak_bytes: challenge.ak_bytes,
        }
    }
}

fn wire(request: &QuoteRequest) -> TpmQuoteRequest {
    TpmQuoteRequest {
        nonce: request.nonce.clone(),
        hash_algorithm: request.hash_algorithm.into(),
        pcrs: request.pcrs.iter().copied().map(u32::from).collect(),
    }
}

/// Verifies the parameters of the client's TPM and returns a challenge. The Authenticator does not change before the
/// response, so a registration can begin again.
///
/// # Errors
/// Returns the errors of [`registering`], `InvalidArgument` if the parameters are malformed, or `PermissionDenied` if
/// the Cluster does not accept the TPM.
pub(crate) async fn begin_registration(
    ctx: &Context,
    holder: &Holder,
    which: &AuthenticatorSelector<'_>,
    pre_challenge: Option<&PreChallenge>,
) -> Result<Challenge, Error> {
    let stored = registering(ctx, holder, which, Type::Tpm).await?;
    let Some(pre_challenge::Type::Tpm(sent)) = pre_challenge.and_then(|one| one.r#type.as_ref())
    else {
        return Err(Error::invalid("preChallenge.tpm must be set"));
    };
    let authorities = tpm_authorities(&settings(ctx)).map_err(|why| refused(&why))?;
    let nothing = SentParameters::default();
    let parameters = sent.attestation_parameters.as_ref().unwrap_or(&nothing);
    let endorsement = match &sent.ek_type {
        Some(EkType::EkCertificateDer(der)) => Presented::Certificate(der),
        Some(EkType::EkPublicKey(key)) => Presented::PublicKey(key),
        None => return Err(Error::invalid("preChallenge.tpm has no endorsement key")),
    };
    let presented = Presenting {
        ak_bytes: &sent.ak_bytes,
        attestation: AttestationParameters {
            public: &parameters.public,
            create_data: &parameters.create_data,
            create_attestation: &parameters.create_attestation,
            create_signature: &parameters.create_signature,
        },
        endorsement,
    };
    let registered = presented
        .verify(&authorities, ctx.now())
        .map_err(|why| refused(&why))?;
    let (encrypted, secret) = registered
        .challenge(&*ctx.rng)
        .map_err(|why| refused(&why))?;
    let kept = Tpm {
        ak_bytes: sent.ak_bytes.clone(),
        attestation_parameters: Some(Parameters {
            public: parameters.public.clone(),
            create_data: parameters.create_data.clone(),
            create_attestation: parameters.create_attestation.clone(),
            create_signature: parameters.create_signature.clone(),
        }),
        ek_public_key: registered.endorsement_key.public_key.clone(),
        ak_name: registered.attestation_key.name().to_vec(),
        endorsement_key: Some(known(&registered.endorsement_key)),
        is_quoted: false,
        last_quote: None,
    };
    ask(ctx, holder, stored.uid, encrypted, &secret, &kept, true).await
}

/// Registers the TPM if its response is correct.
///
/// # Errors
/// Returns the errors of [`registering`], `PermissionDenied` if the response is wrong, or `AlreadyExists` if the TPM
/// is registered for any User.
pub(crate) async fn finish_registration(
    ctx: &Context,
    holder: &Holder,
    which: &AuthenticatorSelector<'_>,
    answer: &Answered,
    caller: &Caller,
) -> Result<Authenticator, Error> {
    let stored = registering(ctx, holder, which, Type::Tpm).await?;
    let asked = take(ctx, holder, stored.uid, answer).await?;
    let asked = asked.ok_or_else(|| refused(&Refusal::Activation))?;
    let Some(mut kept) = asked.registers.clone() else {
        return Err(refused(&Refusal::Activation));
    };
    let quoted = verify(&asked, &kept, answer, quoting(ctx, &kept)).map_err(|why| refused(&why))?;
    kept.is_quoted = quoted.is_some();
    kept.last_quote = quoted.map(|quoted| last(&asked, quoted));
    complete(ctx, holder, which, Type::Tpm, caller, |stored| {
        let mut made = stored.message.clone();
        made.status_mut().description = describe(&kept);
        made.status_mut().info = Some(Info {
            r#type: Some(info::Type::Tpm(kept.clone())),
        });
        Ok(Registration {
            stored,
            registered: made,
            secret: SecretWrite::Keep,
            operations: Vec::new(),
        })
    })
    .await
}

/// Begins an authentication with a registered TPM.
///
/// # Errors
/// Returns `NotFound` if the User has no such Authenticator, or `PermissionDenied` if it cannot be used here.
pub(crate) async fn begin(
    ctx: &Context,
    holder: &Holder,
    which: &AuthenticatorSelector<'_>,
) -> Result<Challenge, Error> {
    let stored = manage::find(ctx, holder, which).await?;
    let all = holder.authenticators(ctx, ctx.now()).await?;
    usable(holder, &stored, &all)?;
    let kept = facts(&stored.message)?;
    still_accepted(ctx, kept)?;
    let (encrypted, secret) = challenge(&kept.ek_public_key, &kept.ak_name, &*ctx.rng)
        .map_err(|why| Error::internal(why.to_string()))?;
    ask(ctx, holder, stored.uid, encrypted, &secret, kept, false).await
}

/// Raises the Session of `holder` if the response is correct.
///
/// # Errors
/// Returns the errors of [`begin`], or `PermissionDenied` if the response is wrong or the rules of the Cluster deny
/// it.
pub(crate) async fn authenticate(
    ctx: &Context,
    holder: &Holder,
    which: &AuthenticatorSelector<'_>,
    answer: &Answered,
    caller: &Caller,
) -> Result<Session, Error> {
    let mut holder = Cow::Borrowed(holder);
    let stored = manage::find(ctx, &holder, which).await?;
    let asked = take(ctx, &holder, stored.uid, answer).await?;
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let awaiting = MayAwaitAuthenticator::check(ctx, &holder, now).await?;
        let stored = manage::find(ctx, &holder, which).await?;
        let all = holder.authenticators(ctx, now).await?;
        usable(&holder, &stored, &all)?;
        let kept = facts(&stored.message)?;
        still_accepted(ctx, kept)?;
        let quoting = quoting(ctx, kept);
        // A challenge of a registration proves nothing here.
        let asked = asked.as_ref().filter(|asked| asked.registers.is_none());
        let proved = match asked {
            Some(asked) => verify(asked, kept, answer, quoting),
            None => Err(Refusal::Activation),
        };
        let quoted = match (proved, asked) {
            (Ok(quoted), Some(asked)) => quoted.map(|quoted| last(asked, quoted)),
            (Ok(_), None) => return Err(refused(&Refusal::Activation)),
            (Err(why), _) => {
                match failed(ctx, &holder, &stored, None, &[], "tpm_refused", caller).await {
                    Ok(()) => return Err(refused(&why)),
                    Err(error) => retry_conflict(error)?,
                }
                holder = Cow::Owned(holder.reload(ctx).await?);
                continue;
            }
        };
        let mut used = stored.message.clone();
        if let Some(Info {
            r#type: Some(info::Type::Tpm(kept)),
        }) = &mut used.status_mut().info
        {
            kept.last_quote = quoted.or_else(|| kept.last_quote.take());
        }
        let proof = Proof {
            stored,
            used,
            fido: None,
            operations: Vec::new(),
        };
        match step_up::step_up(ctx, &awaiting, proof, None, caller).await {
            Ok(session) => return Ok(session),
            Err(StepUpFailed::Denied(error)) => return Err(error),
            Err(StepUpFailed::Commit(error)) => retry_conflict(error)?,
        }
        holder = Cow::Owned(holder.reload(ctx).await?);
    }
}

/// Stores the challenge until it is answered.
async fn ask(
    ctx: &Context,
    holder: &Holder,
    authenticator: Uid,
    encrypted: EncryptedCredential,
    secret: &ActivationSecret,
    kept: &Tpm,
    registers: bool,
) -> Result<Challenge, Error> {
    let quote = QuoteRequest::new(&*ctx.rng);
    let asked = StoredChallenge {
        session: holder.session.uid.as_bytes().to_vec(),
        authenticator: authenticator.as_bytes().to_vec(),
        nonce: quote.nonce.clone(),
        hash_algorithm: quote.hash_algorithm.into(),
        pcrs: quote.pcrs.clone(),
        registers: registers.then(|| kept.clone()),
    };
    let now = ctx.now();
    let mut transaction = Transaction::at(now);
    transaction.push(Operation::Record {
        kind: RECORD,
        key: key(secret.as_bytes()),
        value: asked.encode_to_vec(),
        expires_at: now.saturating_add(LIFETIME),
    });
    ctx.store.commit(transaction).await?;
    Ok(Challenge {
        encrypted,
        ak_bytes: kept.ak_bytes.clone(),
        quote,
    })
}

/// Takes the challenge that the recovered secret identifies, once. Returns `None` if it was issued for another Session
/// or Authenticator.
async fn take(
    ctx: &Context,
    holder: &Holder,
    authenticator: Uid,
    answer: &Answered,
) -> Result<Option<StoredChallenge>, Error> {
    let taken = ctx
        .store
        .take(RECORD, &key(&answer.response), ctx.now())
        .await?;
    let Some(taken) = taken else {
        return Ok(None);
    };
    let asked = StoredChallenge::decode(taken.as_slice()).map_err(Error::internal)?;
    let is_own = asked.session == holder.session.uid.as_bytes()
        && asked.authenticator == authenticator.as_bytes();
    Ok(Some(asked).filter(|_| is_own))
}

fn key(secret: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, secret).as_ref().to_vec()
}

fn verify(
    asked: &StoredChallenge,
    kept: &Tpm,
    answer: &Answered,
    quoting: Quoting,
) -> Result<Option<Quoted>, Refusal> {
    let nothing = Parameters::default();
    let parameters = kept.attestation_parameters.as_ref().unwrap_or(&nothing);
    let key = AttestationKey::verify(&AttestationParameters {
        public: &parameters.public,
        create_data: &parameters.create_data,
        create_attestation: &parameters.create_attestation,
        create_signature: &parameters.create_signature,
    })?;
    // The hash of this secret identified the challenge, so the secret is the expected one.
    let secret = ActivationSecret::from_bytes(answer.response.clone())?;
    let quote = QuoteRequest {
        nonce: asked.nonce.clone(),
        hash_algorithm: u16::try_from(asked.hash_algorithm).unwrap_or_default(),
        pcrs: asked.pcrs.clone(),
    };
    let expected = Expected {
        secret: &secret,
        quote: &quote,
        quoting,
    };
    ChallengeResponse {
        secret: &answer.response,
        quote: answer.quote.as_ref().map(|quote| Quote {
            attestation: &quote.attestation,
            signature: &quote.signature,
        }),
    }
    .verify(&expected, &key)
}

/// Checks that the current rules of the Cluster still accept a registered TPM.
///
/// # Errors
/// Returns `PermissionDenied` if a certified endorsement key is required and this one was not certified at
/// registration.
fn still_accepted(ctx: &Context, kept: &Tpm) -> Result<(), Error> {
    let trust = kept.endorsement_key.as_ref().map(Kept::trust);
    if settings(ctx).require_certified_ek && trust != Some(KeptTrust::Certified) {
        return Err(refused(&Refusal::Uncertified));
    }
    Ok(())
}

/// Returns whether the response must contain a quote. The Cluster can require one, and a TPM that has quoted once must
/// always quote.
fn quoting(ctx: &Context, kept: &Tpm) -> Quoting {
    if kept.is_quoted || settings(ctx).require_quote {
        Quoting::Required
    } else {
        Quoting::Optional
    }
}

fn last(asked: &StoredChallenge, quoted: Quoted) -> KeptQuote {
    KeptQuote {
        reset_count: quoted.clock.reset_count,
        restart_count: quoted.clock.restart_count,
        hash_algorithm: asked.hash_algorithm,
        pcrs: asked.pcrs.iter().copied().map(u32::from).collect(),
        pcr_digest: quoted.pcr_digest,
    }
}

fn known(key: &EndorsementKey) -> Kept {
    let trust = match key.trust {
        Trust::Uncertified => KeptTrust::Uncertified,
        Trust::Unverified => KeptTrust::Unverified,
        Trust::Certified => KeptTrust::Certified,
    };
    let certificate = key.certificate.clone();
    Kept {
        trust: trust.into(),
        certificate_der: certificate
            .as_ref()
            .map(|one| one.der.clone())
            .unwrap_or_default(),
        issuer: certificate
            .as_ref()
            .map(|one| one.issuer.clone())
            .unwrap_or_default(),
        manufacturer: certificate
            .as_ref()
            .map(|one| one.manufacturer.clone())
            .unwrap_or_default(),
        model: certificate
            .as_ref()
            .map(|one| one.model.clone())
            .unwrap_or_default(),
        firmware_version: certificate
            .map(|one| one.firmware_version)
            .unwrap_or_default(),
    }
}

/// Returns the manufacturer and model from the endorsement certificate.
fn describe(kept: &Tpm) -> String {
    let Some(key) = &kept.endorsement_key else {
        return String::new();
    };
    let parts = [&key.manufacturer, &key.model];
    let parts: Vec<&str> = parts
        .into_iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(" ")
}

fn facts(authenticator: &Authenticator) -> Result<&Tpm, Error> {
    match authenticator::info(authenticator) {
        Some(info::Type::Tpm(tpm)) => Ok(tpm),
        _ => Err(Error::precondition("The Authenticator is not a TPM")),
    }
}

/// `ClusterConfig.spec.authenticator.tpm`.
fn settings(ctx: &Context) -> Settings {
    let config = ctx.directory.cluster_config();
    let spec = config.spec.as_ref();
    let authenticator = spec.and_then(|spec| spec.authenticator.as_ref());
    authenticator
        .and_then(|authenticator| authenticator.tpm.clone())
        .unwrap_or_default()
}

fn refused(why: &Refusal) -> Error {
    tracing::warn!(%why, "TPM refused");
    let public = format!("The TPM is refused: {why}");
    match why {
        Refusal::Length(_) | Refusal::Malformed(_) => Error::invalid(public),
        _ => Error::denied(public).because("tpm_refused"),
    }
}

#[cfg(test)]
mod tests;
