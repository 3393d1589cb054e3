//! Which models of authenticators the Cluster accepts, and what is known of them.

use api::core_v1::{
    authenticator::status::info::Fido, cluster_config::spec::authenticator::Fido as Settings,
};
use authn::webauthn::Aaguid;
use authn::webauthn::Registered;
use domain::clock::UnixMillis;

use crate::{Context, Error, metadata::Attested};

/// The model of a new credential, where the Cluster accepts it.
///
/// # Errors
/// `PermissionDenied` where it does not.
pub(super) fn of(
    ctx: &Context,
    settings: &Settings,
    registered: &Registered,
    now: UnixMillis,
) -> Result<Attested, Error> {
    let model = ctx.metadata.attest(registered, now).map_err(|why| {
        tracing::warn!(%why, "an attestation is refused");
        not_accepted("its attestation is not that of its model, or the model is compromised")
    })?;
    let aaguid = registered.aaguid.to_string();
    if settings.denied_aagui_ds.contains(&aaguid) {
        return Err(not_accepted("its model is refused here"));
    }
    let is_listed = settings.allowed_aagui_ds.contains(&aaguid) && model.is_verified;
    if !settings.allowed_aagui_ds.is_empty() && !is_listed {
        return Err(not_accepted("only certain models are accepted here"));
    }
    if settings.require_verified_attestation && !model.is_verified {
        return Err(not_accepted("its maker could not be verified"));
    }
    if model.certification_level < settings.min_certification_level {
        return Err(not_accepted("it is not certified highly enough"));
    }
    if settings.require_device_bound && registered.flags.backup_eligible {
        return Err(not_accepted(
            "it can be copied to other devices, and only what cannot is accepted here",
        ));
    }
    Ok(model)
}

/// Whether a credential that is registered may still be used.
///
/// # Errors
/// `PermissionDenied` where it may not.
pub(super) fn still_accepted(
    ctx: &Context,
    settings: &Settings,
    fido: &Fido,
    now: UnixMillis,
) -> Result<(), Error> {
    if settings.denied_aagui_ds.contains(&fido.aaguid) {
        return Err(not_accepted("its model is refused here"));
    }
    // Of whom the model is not proved, nothing is known.
    let model = fido.aaguid.parse::<Aaguid>().ok();
    if let Some(model) = model.filter(|_| fido.is_attestation_verified)
        && ctx.metadata.is_compromised(model, now)
    {
        return Err(not_accepted("its model is compromised"));
    }
    if settings.require_device_bound && fido.backup_eligible {
        return Err(not_accepted(
            "it can be copied to other devices, and only what cannot is accepted here",
        ));
    }
    Ok(())
}

fn not_accepted(why: &str) -> Error {
    Error::denied(format!("This authenticator is not accepted: {why}"))
        .because("authenticator_model")
}
