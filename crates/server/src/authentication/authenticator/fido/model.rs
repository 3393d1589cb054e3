//! The models of authenticators that the Cluster accepts, and the facts known about them.

use api::core_v1::{
    authenticator::status::info::Fido, cluster_config::spec::authenticator::Fido as Settings,
    session::status::authentication::info::authenticator::info::Fido as Facts,
};
use authn::webauthn::{Aaguid, AttestedModel, Authenticated, Format, Registered};
use domain::clock::UnixMillis;

use crate::{
    Context, Error,
    mds_metadata::{Attested, Verdict},
};

/// Determines the model of a new credential.
///
/// # Errors
/// Returns `PermissionDenied` if the Cluster does not accept the model.
pub(super) fn of(
    ctx: &Context,
    settings: &Settings,
    registered: &Registered,
    now: UnixMillis,
) -> Result<Attested, Error> {
    let model = ctx.metadata.attest(registered, now).map_err(|why| {
        tracing::warn!(%why, "attestation refused");
        not_accepted("its attestation does not match its model, or the model is compromised")
    })?;
    check(
        settings,
        &ModelFacts {
            aaguid: &registered.signed_aaguid().to_string(),
            is_verified: model.is_verified,
            certification_level: model.certification_level,
            backup_eligible: registered.flags.backup_eligible,
        },
    )?;
    Ok(model)
}

/// Checks a registered credential against the current rules and metadata.
///
/// # Errors
/// Returns `PermissionDenied` if the model is not accepted.
pub(super) fn still_accepted(
    ctx: &Context,
    settings: &Settings,
    fido: &Fido,
    now: UnixMillis,
) -> Result<(), Error> {
    let model = kept_model(fido);
    let certification_level = match ctx.metadata.verdict(&model, now) {
        Verdict::Compromised => return Err(not_accepted("its model is compromised")),
        Verdict::Level(level) => level,
        Verdict::NoMetadata => fido.certification_level,
    };
    check(
        settings,
        &ModelFacts {
            aaguid: &kept_aaguid(fido),
            is_verified: model != AttestedModel::None,
            certification_level,
            backup_eligible: fido.backup_eligible,
        },
    )
}

/// Returns the key of the credential's model in the metadata, if its attestation was verified.
fn kept_model(fido: &Fido) -> AttestedModel {
    if !is_proved(fido) {
        return AttestedModel::None;
    }
    if is_u2f(fido) {
        return AttestedModel::KeyIdentifier(fido.attestation_key_identifier.clone());
    }
    let aaguid = fido.aaguid.parse::<Aaguid>();
    aaguid.map_or(AttestedModel::None, AttestedModel::Aaguid)
}

/// Returns whether the model of a registered credential is proven. Older `fido-u2f` credentials have no attestation
/// key identifier. Their model was read from unsigned bytes.
fn is_proved(fido: &Fido) -> bool {
    fido.is_attestation_verified && !(is_u2f(fido) && fido.attestation_key_identifier.is_empty())
}

/// Returns the facts that a Session records about the credential. Only a proven model is included, because Policies
/// rely on it.
pub(super) fn proven_facts(fido: &Fido, authenticated: &Authenticated, is_passkey: bool) -> Facts {
    Facts {
        user_present: authenticated.flags.user_present,
        user_verified: authenticated.flags.user_verified,
        is_passkey,
        ..best_fido_facts(fido)
    }
}

/// Returns the best facts that a Session could record about the credential.
pub(crate) fn best_fido_facts(fido: &Fido) -> Facts {
    let is_proved = is_proved(fido);
    Facts {
        user_present: true,
        user_verified: true,
        is_hardware: fido.is_hardware && is_proved,
        is_software: fido.is_software && is_proved,
        is_attestation_verified: is_proved,
        is_passkey: fido.is_passkey,
        aaguid: proved_aaguid(fido),
    }
}

/// Clears what is stored about an unproven model.
pub(super) fn forget_unproved(fido: &mut Fido) {
    if !is_proved(fido) {
        fido.is_attestation_verified = false;
        fido.is_hardware = false;
        fido.is_software = false;
        fido.certification_level = 0;
    }
    fido.aaguid = kept_aaguid(fido);
}

/// Returns the AAGUID of a registered credential. It is zero for `fido-u2f`, which signs none.
fn kept_aaguid(fido: &Fido) -> String {
    if is_u2f(fido) {
        Aaguid::default().to_string()
    } else {
        fido.aaguid.clone()
    }
}

/// Returns the AAGUID for Policies: zero unless it is proven.
fn proved_aaguid(fido: &Fido) -> String {
    if is_proved(fido) {
        kept_aaguid(fido)
    } else {
        Aaguid::default().to_string()
    }
}

fn is_u2f(fido: &Fido) -> bool {
    fido.attestation_format == Format::FidoU2f.name()
}

/// The facts that the rules check.
struct ModelFacts<'a> {
    aaguid: &'a str,
    is_verified: bool,
    certification_level: u32,
    backup_eligible: bool,
}

fn check(settings: &Settings, known: &ModelFacts<'_>) -> Result<(), Error> {
    let is_in = |list: &[String]| list.iter().any(|aaguid| aaguid == known.aaguid);
    if is_in(&settings.denied_aagui_ds) {
        return Err(not_accepted("its model is not allowed here"));
    }
    let is_listed = known.is_verified && is_in(&settings.allowed_aagui_ds);
    if !settings.allowed_aagui_ds.is_empty() && !is_listed {
        return Err(not_accepted(
            "its model is not on the list of allowed models",
        ));
    }
    if settings.require_verified_attestation && !known.is_verified {
        return Err(not_accepted("its manufacturer could not be verified"));
    }
    if known.certification_level < settings.min_certification_level {
        return Err(not_accepted("its certification level is too low"));
    }
    if settings.require_device_bound && known.backup_eligible {
        return Err(not_accepted(
            "it can be copied to other devices, which is not allowed here",
        ));
    }
    Ok(())
}

fn not_accepted(why: &str) -> Error {
    Error::denied(format!("This authenticator is not accepted: {why}"))
        .because("authenticator_model")
}
