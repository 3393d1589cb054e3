//! Validation of `ClusterConfig.spec.authenticator`. Rules are compiled at the write, so logins never meet a broken
//! rule.

use api::core_v1::{
    authenticator::spec::State,
    cluster_config::spec::{
        Authenticator,
        authenticator::{
            EnforcementRule, Fido, Tpm, enforcement_rule, fido::UserVerification, rule,
        },
    },
};
use authn::{
    tpm::{Authorities, Refusal},
    webauthn::Aaguid,
};
use policy::RuleList;

use crate::{
    Error,
    resource::rules::{check_max_entries, condition},
};

const RULES: usize = 256;
const MODELS: usize = 1000;
const AUTHORITIES: usize = 256;
const NAME_BYTES: usize = 128;
const HIGHEST_LEVEL: u32 = 3;

pub(super) fn check(spec: &Authenticator) -> Result<(), Error> {
    let lists = [
        (
            "authenticationEnforcementRules",
            &spec.authentication_enforcement_rules,
        ),
        (
            "registrationEnforcementRules",
            &spec.registration_enforcement_rules,
        ),
    ];
    for (field, rules) in lists {
        enforcement(field, rules)?;
    }
    let rules = &spec.post_authentication_rules;
    check_max_entries("authenticator.postAuthenticationRules", rules.len(), RULES)?;
    for (index, rule) in rules.iter().enumerate() {
        let path = format!("spec.authenticator.postAuthenticationRules[{index}]");
        if rule.name.len() > NAME_BYTES {
            return Err(Error::invalid(format!(
                "{path}.name has {} bytes; at most {NAME_BYTES} are allowed",
                rule.name.len()
            )));
        }
        match rule::Effect::try_from(rule.effect) {
            Ok(rule::Effect::Allow | rule::Effect::Deny) => {}
            _ => {
                return Err(Error::invalid(format!(
                    "{path}.effect must be ALLOW or DENY"
                )));
            }
        }
        condition(
            RuleList::AuthenticatorPostAuthentication,
            &path,
            rule.condition.as_ref(),
        )?;
    }
    match State::try_from(spec.default_state) {
        Ok(State::Unknown | State::Active | State::Pending) => {}
        _ => {
            return Err(Error::invalid(
                "spec.authenticator.defaultState must be ACTIVE or PENDING, or left out",
            ));
        }
    }
    spec.fido.as_ref().map_or(Ok(()), fido)?;
    let Some(tpm) = &spec.tpm else {
        return Ok(());
    };
    check_max_entries(
        "authenticator.tpm.ekCACertificates",
        tpm.ek_ca_certificates.len(),
        AUTHORITIES,
    )?;
    tpm_authorities(tpm)
        .map(|_| ())
        .map_err(|why| Error::invalid(format!("spec.authenticator.tpm.{why}")))
}

/// Returns the trusted authorities for endorsement keys.
///
/// # Errors
/// Returns [`Refusal`] if the settings are invalid.
pub(crate) fn tpm_authorities(settings: &Tpm) -> Result<Authorities, Refusal> {
    Authorities::from_pem(&settings.ek_ca_certificates, settings.require_certified_ek)
}

fn enforcement(field: &str, rules: &[EnforcementRule]) -> Result<(), Error> {
    check_max_entries(&format!("authenticator.{field}"), rules.len(), RULES)?;
    for (index, rule) in rules.iter().enumerate() {
        use enforcement_rule::Effect;
        let path = format!("spec.authenticator.{field}[{index}]");
        match Effect::try_from(rule.effect) {
            Ok(Effect::Enforce | Effect::Recommend | Effect::Ignore) => {}
            _ => {
                return Err(Error::invalid(format!(
                    "{path}.effect must be ENFORCE, RECOMMEND or IGNORE"
                )));
            }
        }
        condition(RuleList::Enforcement, &path, rule.condition.as_ref())?;
    }
    Ok(())
}

fn fido(fido: &Fido) -> Result<(), Error> {
    let models = [
        ("allowedAAGUIDs", &fido.allowed_aagui_ds),
        ("deniedAAGUIDs", &fido.denied_aagui_ds),
    ];
    for (field, models) in models {
        check_max_entries(&format!("authenticator.fido.{field}"), models.len(), MODELS)?;
        for (index, model) in models.iter().enumerate() {
            if model.parse::<Aaguid>().is_err() {
                return Err(Error::invalid(format!(
                    "spec.authenticator.fido.{field}[{index}] must be a UUID in lowercase, such as \
                     cb69481e-8ff7-4039-93ec-0a2729a154a8"
                )));
            }
        }
    }
    if fido.min_certification_level > HIGHEST_LEVEL {
        return Err(Error::invalid(format!(
            "spec.authenticator.fido.minCertificationLevel must be at most {HIGHEST_LEVEL}"
        )));
    }
    if UserVerification::try_from(fido.user_verification).is_err() {
        return Err(Error::invalid(
            "spec.authenticator.fido.userVerification must be REQUIRED or PREFERRED, or left out",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use authn::tpm::testing::{Behaviour, Maker, SoftwareTpm};
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::*;

    #[test]
    fn authorities_of_tpms_are_certificates() {
        let check_texts = |texts: Vec<String>, is_required| {
            let tpm = Tpm {
                ek_ca_certificates: texts,
                require_certified_ek: is_required,
                ..Tpm::default()
            };
            let spec = Authenticator {
                tpm: Some(tpm),
                ..Authenticator::default()
            };
            check(&spec).map_err(|error| error.public().to_owned())
        };
        let maker = Maker::new();
        let good = maker.pem();
        assert_eq!(check_texts(vec![good.clone()], true), Ok(()));
        assert_eq!(check_texts(vec![format!("{good}{good}")], true), Ok(()));
        let no_certificate =
            "spec.authenticator.tpm.ekCACertificates[1] is not a certificate in PEM".to_owned();
        for bad in ["", "garbage", &good.replacen("MII", "MIJ", 1), &good[..200]] {
            let texts = vec![good.clone(), bad.to_owned()];
            assert_eq!(
                check_texts(texts, false),
                Err(no_certificate.clone()),
                "{bad}"
            );
        }
        // A certificate of a TPM instead of an authority.
        let tpm = SoftwareTpm::new(Behaviour::default()).certified_parts(&maker, None);
        let text = STANDARD.encode(tpm.endorsement);
        let tpm = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        assert_eq!(
            check_texts(vec![good.clone(), tpm], false).unwrap_err(),
            "spec.authenticator.tpm.ekCACertificates[1] is not the certificate of an authority (CA)"
        );
        assert_eq!(
            check_texts(Vec::new(), true).unwrap_err(),
            "spec.authenticator.tpm.requireCertifiedEK needs ekCACertificates"
        );
        let many = check_texts(vec![good; AUTHORITIES + 1], false).unwrap_err();
        assert!(many.contains("at most 256 are allowed"), "{many}");
    }
}
