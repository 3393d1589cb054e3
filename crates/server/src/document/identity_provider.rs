//! Facts in the spec of an `IdentityProvider`.

use api::core_v1::identity_provider::{
    Spec,
    spec::{Type, github, oidc, oidc_identity_token},
};
use authn::issuer;

/// Returns the name of the Secret that contains its client secret.
pub(crate) fn client_secret(spec: &Spec) -> Option<&str> {
    match &spec.r#type {
        Some(Type::Github(github)) => match &github.client_secret.as_ref()?.r#type {
            Some(github::client_secret::Type::FromSecret(name)) => Some(name),
            None => None,
        },
        Some(Type::Oidc(oidc)) => match &oidc.client_secret.as_ref()?.r#type {
            Some(oidc::client_secret::Type::FromSecret(name)) => Some(name),
            None => None,
        },
        _ => None,
    }
}

/// Returns the names of all Groups that its rules assign or remove.
pub(crate) fn groups(spec: &Spec) -> impl Iterator<Item = &String> {
    let created = spec
        .user_creation
        .iter()
        .flat_map(|creation| &creation.groups);
    let mapped = spec
        .group_mappings
        .iter()
        .flat_map(|mapping| &mapping.groups);
    created.chain(mapped)
}

/// Returns the issuer, which must be unique among providers of the same type.
fn issuer(spec: &Spec) -> Option<&str> {
    match spec.r#type.as_ref()? {
        Type::Oidc(oidc) => Some(&oidc.issuer_url),
        Type::OidcIdentityToken(token) => match &token.r#type {
            Some(oidc_identity_token::Type::IssuerUrl(issuer)) => Some(issuer),
            _ => Some(&token.issuer),
        },
        Type::Github(_) | Type::Saml(_) => None,
    }
}

/// Returns the issuer in canonical form for comparison.
pub(super) fn canonical_issuer(spec: &Spec) -> Option<String> {
    issuer(spec)
        .filter(|issuer| !issuer.is_empty())
        .map(issuer::canonical)
}
