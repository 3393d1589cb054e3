//! `ClusterConfig.spec.authenticator`: compiled when it is written, so that no login finds a rule broken.

use api::core_v1::{
    authenticator::spec::State,
    cluster_config::spec::{
        Authenticator,
        authenticator::{EnforcementRule, Fido, enforcement_rule, fido::UserVerification, rule},
    },
};
use policy::RuleList;

use crate::{
    Error,
    authentication::authenticator::tpm::authorities,
    resource::rules::{at_most, condition},
};

const RULES: usize = 256;
const MODELS: usize = 1000;
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
    at_most("authenticator.postAuthenticationRules", rules.len(), RULES)?;
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
    authorities(tpm)
        .map(|_| ())
        .map_err(|why| Error::invalid(format!("spec.authenticator.tpm: {why}")))
}

fn enforcement(field: &str, rules: &[EnforcementRule]) -> Result<(), Error> {
    at_most(&format!("authenticator.{field}"), rules.len(), RULES)?;
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
        at_most(&format!("authenticator.fido.{field}"), models.len(), MODELS)?;
        for (index, model) in models.iter().enumerate() {
            if !is_aaguid(model) {
                return Err(Error::invalid(format!(
                    "spec.authenticator.fido.{field}[{index}] must be a UUID in lower case, as \
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

fn is_aaguid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}
