//! Which models of authenticators the Cluster accepts, and what is known of them.

use api::core_v1::{
    authenticator::status::info::Fido, cluster_config::spec::authenticator::Fido as Settings,
};
use authn::webauthn::Registered;
use domain::clock::UnixMillis;

use crate::{Context, Error};

/// What is known of the model of an authenticator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Model {
    pub(super) description: String,
    pub(super) is_attestation_verified: bool,
    pub(super) is_software: bool,
    pub(super) is_hardware: bool,
    /// 0 for none.
    pub(super) certification_level: u32,
}

/// The model of a new credential, where the Cluster accepts it.
///
/// # Errors
/// `PermissionDenied` where it does not.
pub(super) fn of(
    _ctx: &Context,
    settings: &Settings,
    registered: &Registered,
    _now: UnixMillis,
) -> Result<Model, Error> {
    let model = Model::default();
    let aaguid = registered.aaguid.to_string();
    if settings.denied_aagui_ds.contains(&aaguid) {
        return Err(not_accepted("its model is refused here"));
    }
    let is_listed = settings.allowed_aagui_ds.contains(&aaguid) && model.is_attestation_verified;
    if !settings.allowed_aagui_ds.is_empty() && !is_listed {
        return Err(not_accepted("only certain models are accepted here"));
    }
    if settings.require_verified_attestation && !model.is_attestation_verified {
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
    _ctx: &Context,
    settings: &Settings,
    fido: &Fido,
    _now: UnixMillis,
) -> Result<(), Error> {
    if settings.denied_aagui_ds.contains(&fido.aaguid) {
        return Err(not_accepted("its model is refused here"));
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
