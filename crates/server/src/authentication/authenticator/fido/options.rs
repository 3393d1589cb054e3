//! The JSON options of Web Authentication requests (§5.1, §5.4, §5.5).

use std::time::Duration;

use api::{
    core_v1::{
        Authenticator,
        authenticator::status::info::Fido,
        cluster_config::spec::authenticator::{Fido as Settings, fido::UserVerification},
    },
    resource::Object as _,
};
use authn::webauthn::Algorithm;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Holder, LIFETIME, conveyance, fido, milliseconds, verification};
use crate::{Context, document::codec::Stored};

/// Returns options for a new credential. They exclude authenticators that already have one.
pub(super) fn creation(
    ctx: &Context,
    holder: &Holder,
    settings: &Settings,
    all: &[Stored<Authenticator>],
    challenge: &[u8],
) -> String {
    let user = &holder.user.message;
    let name = user.spec.as_ref().map_or("", |spec| spec.email.as_str());
    let name = if name.is_empty() { user.name() } else { name };
    let metadata = user.metadata();
    let display_name = metadata.map_or("", |metadata| metadata.display_name.as_str());
    let display_name = if display_name.is_empty() {
        user.name()
    } else {
        display_name
    };
    let known = all.iter().filter_map(|stored| fido(&stored.message));
    let known: Vec<Value> = known.map(descriptor).collect();
    let algorithms: Vec<Value> = Algorithm::ASKED_FOR
        .into_iter()
        .map(|algorithm| json!({"type": "public-key", "alg": algorithm.number()}))
        .collect();
    json!({
        "rp": {"id": ctx.domain.host(), "name": ctx.domain.host()},
        "user": {
            "id": URL_SAFE_NO_PAD.encode(holder.user.uid.as_bytes()),
            "name": name,
            "displayName": display_name,
        },
        "challenge": URL_SAFE_NO_PAD.encode(challenge),
        "pubKeyCredParams": algorithms,
        "timeout": milliseconds(LIFETIME),
        "excludeCredentials": known,
        "authenticatorSelection": {
            "residentKey": "preferred",
            "requireResidentKey": false,
            "userVerification": name_of(verification(settings)),
        },
        "attestation": conveyance(settings),
        "extensions": {"credProps": true},
    })
    .to_string()
}

/// Returns options for an authentication with one of `allowed`. If `allowed` is empty, the authenticator offers any
/// passkey it has.
pub(super) fn request(
    ctx: &Context,
    challenge: &[u8],
    allowed: &[&Fido],
    verification: UserVerification,
    timeout: Duration,
) -> String {
    let allowed: Vec<Value> = allowed.iter().copied().map(descriptor).collect();
    json!({
        "challenge": URL_SAFE_NO_PAD.encode(challenge),
        "rpId": ctx.domain.host(),
        "allowCredentials": allowed,
        "userVerification": name_of(verification),
        "timeout": milliseconds(timeout),
    })
    .to_string()
}

fn descriptor(fido: &Fido) -> Value {
    json!({
        "type": "public-key",
        "id": URL_SAFE_NO_PAD.encode(&fido.id),
        "transports": fido.transports,
    })
}

fn name_of(verification: UserVerification) -> &'static str {
    match verification {
        UserVerification::Required => "required",
        UserVerification::Unset | UserVerification::Preferred => "preferred",
    }
}
