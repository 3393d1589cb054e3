//! Validation of `IdentityProviders`.

use api::{
    core_v1::{
        Group, IdentityProvider, Secret,
        identity_provider::{
            Spec, spec,
            spec::{Type, oidc_identity_token, saml},
            status,
        },
    },
    resource::Object as _,
};

mod rules;

use super::{draft::Draft, write::Managed};
use crate::{
    Error, ErrorKind,
    document::{
        codec::Stored,
        identity_provider::{client_secret, groups},
        index,
    },
};
use authn::{
    issuer::{HttpsUrl, InvalidUrl},
    jwk::{KeySet, MAX_SET_LENGTH},
    saml::Certificate,
    saml_source::ProviderSelection,
};
use domain::clock::UnixMillis;

const DISPLAY_NAME_BYTES: usize = 256;
const CLIENT_ID_BYTES: usize = 256;
const SCOPES: usize = 32;
const SCOPE_BYTES: usize = 128;
const CLAIM_BYTES: usize = 256;
const ISSUER_BYTES: usize = 512;
const AUDIENCE_BYTES: usize = 512;
const METADATA_BYTES: usize = 20_000;
const ENTITY_ID_BYTES: usize = 1024;
const SIGNERS: usize = 10;

impl Managed for IdentityProvider {
    async fn prepare(
        draft: &mut Draft<'_>,
        new: &mut Self,
        old: Option<&Stored<Self>>,
    ) -> Result<(), Error> {
        let spec = new.spec_mut();
        check_text("displayName", &spec.display_name, DISPLAY_NAME_BYTES)?;
        rules::check(spec)?;
        let r#type = check_type(spec)?;
        if let Some(secret) = client_secret(spec)
            && draft.require::<Secret>(secret).await?.is_none()
        {
            return Err(Error::invalid(format!("The Secret {secret} is not found")));
        }
        for group in groups(spec) {
            if draft.require::<Group>(group).await?.is_none() {
                return Err(Error::invalid(format!("The Group {group} does not exist")));
            }
        }
        check_unique(draft, new, old).await?;
        new.status_mut().set_type(r#type);
        Ok(())
    }
}

fn check_type(spec: &Spec) -> Result<status::Type, Error> {
    match &spec.r#type {
        None => Err(Error::invalid(
            "spec must have one of github, oidc, saml and oidcIdentityToken",
        )),
        Some(Type::Github(github)) => {
            check_client("github", &github.client_id, client_secret(spec))?;
            check_base_url(&github.base_url)?;
            Ok(status::Type::Github)
        }
        Some(Type::Oidc(oidc)) => {
            check_client("oidc", &oidc.client_id, client_secret(spec))?;
            check_oidc(oidc)?;
            Ok(status::Type::Oidc)
        }
        Some(Type::Saml(saml)) => {
            check_saml(saml)?;
            Ok(status::Type::Saml)
        }
        Some(Type::OidcIdentityToken(token)) => {
            check_identity_token(token)?;
            if spec.user_creation.is_some() || !spec.group_mappings.is_empty() {
                return Err(Error::invalid(
                    "spec.userCreation and spec.groupMappings are for providers that people sign in with; create the \
                     WORKLOAD Users of identity tokens yourself",
                ));
            }
            if spec.enable_email_as_identity {
                return Err(Error::invalid(
                    "spec.enableEmailAsIdentity is for providers that people sign in with",
                ));
            }
            Ok(status::Type::OidcIdentityToken)
        }
    }
}

fn check_base_url(text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Ok(());
    }
    check_url("github.baseURL", text, |text| {
        let url = HttpsUrl::parse_issuer(text)?;
        if url.uri().path() == "/" {
            Ok(url)
        } else {
            Err(InvalidUrl::Form)
        }
    })
}

fn check_client(of: &str, client_id: &str, secret: Option<&str>) -> Result<(), Error> {
    let is_plain = client_id.bytes().all(|byte| byte.is_ascii_graphic());
    if client_id.is_empty() || client_id.len() > CLIENT_ID_BYTES || !is_plain {
        return Err(Error::invalid(format!(
            "spec.{of}.clientID must have 1 to {CLIENT_ID_BYTES} ASCII characters"
        )));
    }
    if secret.is_none_or(str::is_empty) {
        return Err(Error::invalid(format!(
            "spec.{of}.clientSecret.fromSecret must name a Secret"
        )));
    }
    Ok(())
}

fn check_oidc(oidc: &spec::Oidc) -> Result<(), Error> {
    check_issuer_url("oidc.issuerURL", &oidc.issuer_url)?;
    if oidc.scopes.len() > SCOPES {
        return Err(Error::invalid(format!(
            "spec.oidc.scopes has {} entries; at most {SCOPES} are allowed",
            oidc.scopes.len()
        )));
    }
    for (index, scope) in oidc.scopes.iter().enumerate() {
        // RFC 6749 §3.3
        let is_scope = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if scope.is_empty() || scope.len() > SCOPE_BYTES || !scope.bytes().all(is_scope) {
            return Err(Error::invalid(format!(
                "spec.oidc.scopes[{index}] must be one scope of at most {SCOPE_BYTES} characters"
            )));
        }
        if oidc.scopes.iter().take(index).any(|other| other == scope) {
            return Err(Error::invalid(format!(
                "spec.oidc.scopes has {scope} twice"
            )));
        }
    }
    check_text("oidc.identifierClaim", &oidc.identifier_claim, CLAIM_BYTES)?;
    if oidc.check_email_verified && oidc.allow_unverified_email {
        return Err(Error::invalid(
            "spec.oidc.checkEmailVerified and spec.oidc.allowUnverifiedEmail contradict each other: unverified \
             addresses are accepted only with the latter",
        ));
    }
    Ok(())
}

fn check_saml(saml: &spec::Saml) -> Result<(), Error> {
    if saml.metadata_signers.len() > SIGNERS {
        return Err(Error::invalid(format!(
            "spec.saml.metadataSigners has {} entries; at most {SIGNERS} are allowed",
            saml.metadata_signers.len()
        )));
    }
    for (index, signer) in saml.metadata_signers.iter().enumerate() {
        Certificate::from_pem(signer).map_err(|error| {
            Error::invalid(format!(
                "spec.saml.metadataSigners[{index}]: {}",
                error.reason()
            ))
        })?;
    }
    match &saml.metadata_type {
        None => {
            return Err(Error::invalid(
                "spec.saml must have one of metadata and metadataURL",
            ));
        }
        Some(saml::MetadataType::Metadata(metadata)) => {
            if metadata.is_empty() || metadata.len() > METADATA_BYTES {
                return Err(Error::invalid(format!(
                    "spec.saml.metadata has {} bytes; it must have 1 to {METADATA_BYTES}. For larger metadata use \
                     metadataURL",
                    metadata.len()
                )));
            }
            check_metadata(saml, metadata)?;
        }
        Some(saml::MetadataType::MetadataUrl(url)) => {
            check_url("saml.metadataURL", url, HttpsUrl::parse)?;
        }
    }
    check_text("saml.entityID", &saml.entity_id, ENTITY_ID_BYTES)?;
    let provider = &saml.provider_entity_id;
    check_text("saml.providerEntityID", provider, ENTITY_ID_BYTES)?;
    check_text(
        "saml.identifierAttribute",
        &saml.identifier_attribute,
        CLAIM_BYTES,
    )
}

/// Returns the part of the metadata that the settings select.
pub(crate) fn saml_choice(spec: &spec::Saml) -> ProviderSelection {
    ProviderSelection {
        entity_id: spec.provider_entity_id.clone(),
        signers: spec.metadata_signers.clone(),
    }
}

/// Checks the metadata but not its expiry: expired metadata is refused when it is used.
fn check_metadata(saml: &spec::Saml, metadata: &str) -> Result<(), Error> {
    let any_time = UnixMillis(0);
    saml_choice(saml)
        .read(metadata, any_time)
        .map(drop)
        .map_err(|error| Error::invalid(format!("spec.saml.metadata: {}", error.reason())))
}

fn check_identity_token(token: &spec::OidcIdentityToken) -> Result<(), Error> {
    use oidc_identity_token::Type as Keys;
    match &token.r#type {
        None => {
            return Err(Error::invalid(
                "spec.oidcIdentityToken must have one of issuerURL, jwksURL and jwksContent",
            ));
        }
        Some(Keys::IssuerUrl(issuer)) => {
            if !token.issuer.is_empty() {
                return Err(Error::invalid(
                    "spec.oidcIdentityToken.issuer must be left out if issuerURL is set",
                ));
            }
            check_issuer_url("oidcIdentityToken.issuerURL", issuer)?;
        }
        Some(Keys::JwksUrl(url)) => {
            check_url("oidcIdentityToken.jwksURL", url, HttpsUrl::parse)?;
        }
        Some(Keys::JwksContent(content)) => {
            if content.len() > MAX_SET_LENGTH {
                return Err(Error::invalid(format!(
                    "spec.oidcIdentityToken.jwksContent has {} bytes; at most {MAX_SET_LENGTH} are allowed",
                    content.len()
                )));
            }
            KeySet::parse_public(content.as_bytes()).map_err(|problem| {
                Error::invalid(format!("spec.oidcIdentityToken.jwksContent {problem}"))
            })?;
        }
    }
    let needs_issuer = !matches!(token.r#type, Some(Keys::IssuerUrl(_)));
    if needs_issuer && token.issuer.is_empty() {
        return Err(Error::invalid(
            "spec.oidcIdentityToken.issuer must be set to the exact `iss` of the tokens",
        ));
    }
    check_text("oidcIdentityToken.issuer", &token.issuer, ISSUER_BYTES)?;
    check_text(
        "oidcIdentityToken.audience",
        &token.audience,
        AUDIENCE_BYTES,
    )
}

fn check_issuer_url(field: &str, text: &str) -> Result<(), Error> {
    check_url(field, text, HttpsUrl::parse_issuer)
}

fn check_url(
    field: &str,
    text: &str,
    parse: fn(&str) -> Result<HttpsUrl, InvalidUrl>,
) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::invalid(format!("spec.{field} must be set")));
    }
    match parse(text) {
        Ok(_) => Ok(()),
        Err(problem) => Err(Error::invalid(format!("spec.{field} {problem}"))),
    }
}

fn check_text(field: &str, text: &str, longest: usize) -> Result<(), Error> {
    if text.len() > longest || text.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "spec.{field} must have at most {longest} bytes, and no control characters"
        )));
    }
    Ok(())
}

/// Reports an issuer conflict with a clear message. The store would refuse it too, but without details.
async fn check_unique(
    draft: &mut Draft<'_>,
    new: &IdentityProvider,
    old: Option<&Stored<IdentityProvider>>,
) -> Result<(), Error> {
    let Some((index, value)) = new.spec().and_then(index::issuer_key) else {
        return Ok(());
    };
    let holders = draft.by_index::<IdentityProvider>(index, &value, 2).await?;
    let holder = holders
        .iter()
        .find(|holder| Some(holder.uid) != old.map(|old| old.uid));
    match holder {
        None => Ok(()),
        Some(holder) => Err(Error::new(
            ErrorKind::AlreadyExists,
            format!(
                "The IdentityProvider {} has the issuer {value} already",
                holder.message.name()
            ),
        )),
    }
}
