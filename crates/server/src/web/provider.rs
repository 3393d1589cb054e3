//! Identity providers of the login page, independent of their protocol.
//!
//! A login starts with [`begin`] and returns to [`finish`]. Meanwhile the browser keeps the state of the protocol,
//! sealed and bound to that browser, so any replica can finish the login.

use std::sync::Arc;

use api::core_v1::{
    Secret,
    identity_provider::spec::{self, Type, github as github_spec, oidc as oidc_spec},
    secret::{Data, data},
};
use authn::{
    provider::{self, AuthorizationResponse, LoginError, github, oidc},
    saml::Outgoing,
};
use domain::{id::Uid, kind::Kind};
use prost::Message as _;
use zeroize::Zeroizing;

use super::form::Fields;
use crate::{
    Caller, Context, Error, ErrorKind,
    authentication::{
        identity::{IdentityFailed, ProvenIdentity},
        user_provisioning,
    },
    directory::ProviderEntry,
    document::load,
    federation::{self, CALLBACK, saml},
};

/// A provider that the login page offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OfferedProvider {
    pub(crate) uid: Uid,
    pub(crate) label: String,
}

/// The request of a login, which the browser takes to the provider.
pub(crate) struct ProviderRequest {
    pub(crate) to: Destination,
    /// State of the protocol (nonce, code verifier, request id), less than 1 KiB.
    pub(crate) protocol_state: Vec<u8>,
}

/// The provider's address and how the browser gets there.
pub(crate) enum Destination {
    /// A redirect.
    Url(String),
    /// A form that the browser posts.
    Form {
        action: String,
        fields: Vec<(&'static str, String)>,
    },
}

/// The response that the browser brings back from a provider.
pub(crate) struct ProviderResponse<'a> {
    pub(crate) provider: Uid,
    pub(crate) protocol_state: &'a [u8],
    /// Fields of the query or the form.
    pub(crate) fields: &'a Fields,
    pub(crate) caller: &'a Caller,
}

/// The authenticated User and the identity at the provider.
pub(crate) struct Identified {
    pub(crate) user: Uid,
    pub(crate) identity: ProvenIdentity,
}

/// Returns the usable providers that people can sign in with.
pub(crate) fn offered_providers(ctx: &Context) -> Vec<OfferedProvider> {
    let providers = ctx.directory.identity_providers();
    let usable = providers.iter().filter(|entry| {
        let spec = entry.spec().and_then(|spec| spec.r#type.as_ref());
        entry.check_usable().is_ok()
            && matches!(spec, Some(Type::Oidc(_) | Type::Github(_) | Type::Saml(_)))
    });
    usable
        .map(|entry| OfferedProvider {
            uid: entry.provider.uid,
            label: entry.label().to_owned(),
        })
        .collect()
}

/// Starts a login at a provider. The provider returns `state` unchanged. With `force_authentication`, the provider must
/// authenticate the person again; GitHub does not support this.
///
/// # Errors
/// Returns `FailedPrecondition` if the provider does not exist. Returns other errors if it is unreachable or
/// misconfigured.
pub(crate) async fn begin(
    ctx: &Context,
    provider: Uid,
    state: &str,
    force_authentication: bool,
) -> Result<ProviderRequest, Error> {
    let entry = usable(ctx, provider)?;
    let redirect_url = redirect_url(ctx);
    let authorization_request = match entry.spec().and_then(|spec| spec.r#type.as_ref()) {
        Some(Type::Oidc(oidc)) => {
            // Starting a login needs no client secret; finishing it does.
            let registration = of_oidc(oidc, "", &redirect_url);
            let relying_party = ctx.providers.relying_party(&oidc.issuer_url, &ctx.clock);
            let authorization_request = relying_party
                .begin(&registration, state, force_authentication, &*ctx.rng)
                .await;
            authorization_request.map_err(|error| login_error(&entry, error))?
        }
        Some(Type::Github(github)) => {
            let registration = of_github(github, "", &redirect_url);
            github::begin(&endpoints(ctx, github), &registration, state, &*ctx.rng)
        }
        Some(Type::Saml(_)) => {
            let (message, protocol_state) =
                saml::begin(ctx, &entry, state, force_authentication).await?;
            return Ok(ProviderRequest {
                to: Destination::from(message),
                protocol_state,
            });
        }
        _ => return Err(gone()),
    };
    let provider::AuthorizationRequest { url, login_state } = authorization_request;
    Ok(ProviderRequest {
        to: Destination::Url(url),
        protocol_state: login_state,
    })
}

/// Verifies the answer of a provider and identifies the User.
///
/// # Errors
/// Returns `Unauthenticated` or `PermissionDenied` with a text for the person if they cannot sign in.
pub(crate) async fn finish(
    ctx: &Context,
    provider_response: ProviderResponse<'_>,
) -> Result<Identified, IdentityFailed> {
    let entry = usable(ctx, provider_response.provider)?;
    let at = |error: Error| IdentityFailed::at(error, &entry);
    let authorization_response = AuthorizationResponse {
        code: provider_response.fields.get("code"),
        issuer: provider_response.fields.get("iss"),
        error: provider_response.fields.get("error"),
    };
    let redirect_url = redirect_url(ctx);
    let external = match entry.spec().and_then(|spec| spec.r#type.as_ref()) {
        Some(Type::Oidc(oidc)) => {
            let secret = oidc
                .client_secret
                .as_ref()
                .and_then(|of| of.r#type.as_ref());
            let oidc_spec::client_secret::Type::FromSecret(name) =
                secret.ok_or_else(|| at(gone()))?;
            let secret = client_secret(ctx, name).await.map_err(at)?;
            let registration = of_oidc(oidc, &secret, &redirect_url);
            let relying_party = ctx.providers.relying_party(&oidc.issuer_url, &ctx.clock);
            relying_party
                .finish(
                    &registration,
                    provider_response.protocol_state,
                    authorization_response,
                )
                .await
        }
        Some(Type::Github(github)) => {
            let secret = github
                .client_secret
                .as_ref()
                .and_then(|of| of.r#type.as_ref());
            let github_spec::client_secret::Type::FromSecret(name) =
                secret.ok_or_else(|| at(gone()))?;
            let secret = client_secret(ctx, name).await.map_err(at)?;
            let registration = of_github(github, &secret, &redirect_url);
            let endpoints = endpoints(ctx, github);
            let outbound = ctx.providers.outbound();
            github::finish(
                &endpoints,
                &registration,
                provider_response.protocol_state,
                authorization_response,
                outbound,
            )
            .await
        }
        Some(Type::Saml(_)) => {
            let response = provider_response
                .fields
                .get("SAMLResponse")
                .unwrap_or_default();
            let login = saml::finish(ctx, &entry, provider_response.protocol_state, response).await;
            let login = login.map_err(at)?;
            let (user, mut identity) = user_provisioning::identify(
                ctx,
                &entry,
                login.external,
                &login.assertion,
                provider_response.caller,
            )
            .await?;
            identity.saml = login.session;
            identity.records.push(login.used);
            return Ok(Identified { user, identity });
        }
        _ => return Err(at(gone())),
    };
    let external = external.map_err(|error| at(login_error(&entry, error)))?;
    let is_oidc = matches!(
        entry.spec().and_then(|spec| spec.r#type.as_ref()),
        Some(Type::Oidc(_))
    );
    let logout_identifiers = is_oidc.then(|| federation::oidc::logout_identifiers(&external));
    let (user, mut identity) =
        user_provisioning::identify(ctx, &entry, external, "", provider_response.caller).await?;
    identity.oidc = logout_identifiers.flatten();
    Ok(Identified { user, identity })
}

impl From<Outgoing> for Destination {
    fn from(message: Outgoing) -> Self {
        match message {
            Outgoing::Redirect { url } => Self::Url(url),
            Outgoing::Post { action, fields } => Self::Form { action, fields },
        }
    }
}

fn usable(ctx: &Context, provider: Uid) -> Result<Arc<ProviderEntry>, Error> {
    let entry = ctx.directory.identity_provider("", &provider.to_string());
    entry
        .filter(|entry| entry.check_usable().is_ok())
        .ok_or_else(gone)
}

fn redirect_url(ctx: &Context) -> String {
    format!("{}{CALLBACK}", ctx.domain.url())
}

fn of_oidc<'a>(
    oidc: &'a spec::Oidc,
    client_secret: &'a str,
    redirect_url: &'a str,
) -> oidc::Registration<'a> {
    oidc::Registration {
        client_id: &oidc.client_id,
        client_secret,
        redirect_url,
        scopes: &oidc.scopes,
        identifier_claim: &oidc.identifier_claim,
        uses_user_info: oidc.use_user_info_endpoint,
        allows_unverified_email: oidc.allow_unverified_email,
    }
}

fn of_github<'a>(
    github: &'a spec::Github,
    client_secret: &'a str,
    redirect_url: &'a str,
) -> github::Registration<'a> {
    github::Registration {
        client_id: &github.client_id,
        client_secret,
        redirect_url,
    }
}

/// Returns the endpoints of github.com or of a GitHub Enterprise Server.
fn endpoints(ctx: &Context, github: &spec::Github) -> github::Endpoints {
    match github.base_url.as_str() {
        "" => ctx.providers.github().clone(),
        base_url => github::Endpoints::enterprise(base_url),
    }
}

/// Reads a client secret without the trailing line break that files have.
async fn client_secret(ctx: &Context, name: &str) -> Result<Zeroizing<String>, Error> {
    let missing = || {
        Error::internal(format!(
            "the Secret {name} of an IdentityProvider does not exist"
        ))
    };
    let stored = load::by_name::<Secret>(&*ctx.store, name, ctx.now()).await?;
    let stored = stored.ok_or_else(missing)?;
    let sealed = ctx.store.secret(Kind::Secret, stored.uid).await?;
    let sealed = sealed.ok_or_else(missing)?;
    let opened = Data::decode(sealed.as_slice()).map_err(Error::internal)?;
    let text = match opened.r#type.ok_or_else(missing)? {
        data::Type::Value(text) => Zeroizing::new(text),
        data::Type::ValueBytes(bytes) => {
            let bytes = Zeroizing::new(bytes);
            let text = std::str::from_utf8(&bytes).map_err(|_| missing())?;
            Zeroizing::new(text.to_owned())
        }
    };
    Ok(Zeroizing::new(
        text.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

/// Converts an error of a provider to an error with a text for the person.
fn login_error(entry: &ProviderEntry, error: LoginError) -> Error {
    let label = entry.label();
    let reason = error.reason();
    let error = match error {
        LoginError::Refused(code) if code == "access_denied" => Error::new(
            ErrorKind::Unauthenticated,
            format!("The sign-in at {label} was cancelled or refused."),
        ),
        LoginError::Refused(code) => Error::new(
            ErrorKind::Unauthenticated,
            format!(
                "{label} did not sign you in ({code}). Try again. If this continues, tell an administrator."
            ),
        ),
        LoginError::Invalid(what) => {
            tracing::warn!(identity_provider = entry.name(), what, "login refused");
            Error::new(
                ErrorKind::Unauthenticated,
                format!(
                    "The response of {label} is not valid, so you are not signed in. Try again. If this continues, \
                     tell an administrator."
                ),
            )
        }
        LoginError::NotFresh => Error::new(
            ErrorKind::Unauthenticated,
            format!(
                "The Cluster requires a new sign-in, but {label} did not ask you for one. Sign out at {label} and try \
                 again."
            ),
        ),
        LoginError::Unavailable(error) => Error::unavailable(error)
            .with_public_message(format!("{label} cannot be reached. Try again in a moment.")),
    };
    error.because(reason)
}

fn gone() -> Error {
    Error::new(
        ErrorKind::FailedPrecondition,
        "This sign-in method no longer exists. Choose another one.",
    )
    .because("provider_gone")
}
