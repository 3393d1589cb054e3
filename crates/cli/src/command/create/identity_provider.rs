//! The command `create identityprovider`.

use api::{
    core_v1::{
        self,
        identity_provider::{
            Spec,
            spec::{self, github, oidc, oidc_identity_token, saml},
        },
    },
    platform_v1::Resource,
    resource::Object as _,
};
use clap::{Args, ValueEnum};

use super::named;
use crate::{failure::Failure, input, output::OutputArgs};

/// Maximum size of a document, in bytes.
const MAX_DOCUMENT: usize = 256 * 1024;

/// Create an `IdentityProvider`. To set rules, write a file and use `apply`
#[derive(Args)]
#[command(
    after_help = "Examples:\n  octeliumctl create idp --type oidc --issuer-url https://acme.okta.com --client-id 0oa1 --client-secret okta okta\n  octeliumctl create idp --type oidc-identity-token --issuer-url https://token.actions.githubusercontent.com github-actions"
)]
pub(crate) struct IdentityProviderArgs {
    /// Name of the `IdentityProvider`, such as `okta`
    name: String,
    /// Protocol of the `IdentityProvider`, such as `oidc`
    #[arg(long, value_enum, value_name = "TYPE")]
    r#type: ProviderType,
    /// Text on the login page, such as `Okta`
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// Issuer URL, such as `https://acme.okta.com` (oidc, oidc-identity-token)
    #[arg(long, value_name = "URL")]
    issuer_url: Option<String>,
    /// Client ID of the Cluster at the provider, such as `0oa1` (oidc, github)
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// Name of the Secret with the client secret, such as `okta` (oidc, github)
    #[arg(long, value_name = "SECRET")]
    client_secret: Option<String>,
    /// URL of a GitHub Enterprise Server, such as `https://github.example.com` [default: github.com] (github)
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// URL of the keys that sign the tokens (oidc-identity-token)
    #[arg(long, value_name = "URL", conflicts_with_all = ["issuer_url", "jwks_file"])]
    jwks_url: Option<String>,
    /// File with the keys that sign the tokens, or `-` for standard input (oidc-identity-token)
    #[arg(long, value_name = "FILE", conflicts_with = "issuer_url")]
    jwks_file: Option<String>,
    /// Required `iss` claim of tokens, with --jwks-url or --jwks-file (oidc-identity-token)
    #[arg(long, value_name = "ISSUER", conflicts_with = "issuer_url")]
    issuer: Option<String>,
    /// Required `aud` claim of tokens [default: URL of the Cluster] (oidc-identity-token)
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,
    /// URL of the metadata (saml)
    #[arg(long, value_name = "URL", conflicts_with = "metadata_file")]
    metadata_url: Option<String>,
    /// File with the metadata, or `-` for standard input (saml)
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProviderType {
    Oidc,
    Saml,
    Github,
    OidcIdentityToken,
}

impl IdentityProviderArgs {
    pub(super) fn resource(self) -> Result<(Resource, OutputArgs), Failure> {
        let r#type = match self.r#type {
            ProviderType::Oidc => spec::Type::Oidc(self.oidc()?),
            ProviderType::Github => spec::Type::Github(self.github()?),
            ProviderType::Saml => spec::Type::Saml(self.saml()?),
            ProviderType::OidcIdentityToken => {
                spec::Type::OidcIdentityToken(self.identity_token()?)
            }
        };
        let provider = core_v1::IdentityProvider {
            metadata: Some(named(&self.name)),
            spec: Some(Spec {
                display_name: self.display_name.unwrap_or_default(),
                r#type: Some(r#type),
                ..Spec::default()
            }),
            ..core_v1::IdentityProvider::default()
        };
        Ok((provider.into_resource(), self.output))
    }

    fn oidc(&self) -> Result<spec::Oidc, Failure> {
        self.only(&["issuer-url", "client-id", "client-secret"])?;
        let secret = need("--client-secret", self.client_secret.as_ref())?;
        Ok(spec::Oidc {
            issuer_url: need("--issuer-url", self.issuer_url.as_ref())?,
            client_id: need("--client-id", self.client_id.as_ref())?,
            client_secret: Some(oidc::ClientSecret {
                r#type: Some(oidc::client_secret::Type::FromSecret(secret)),
            }),
            ..spec::Oidc::default()
        })
    }

    fn github(&self) -> Result<spec::Github, Failure> {
        self.only(&["client-id", "client-secret", "base-url"])?;
        let secret = need("--client-secret", self.client_secret.as_ref())?;
        Ok(spec::Github {
            client_id: need("--client-id", self.client_id.as_ref())?,
            client_secret: Some(github::ClientSecret {
                r#type: Some(github::client_secret::Type::FromSecret(secret)),
            }),
            base_url: self.base_url.clone().unwrap_or_default(),
        })
    }

    fn saml(&self) -> Result<spec::Saml, Failure> {
        self.only(&["metadata-url", "metadata-file"])?;
        let metadata = match (&self.metadata_url, &self.metadata_file) {
            (Some(url), _) => saml::MetadataType::MetadataUrl(url.clone()),
            (None, Some(path)) => saml::MetadataType::Metadata(document(path)?),
            (None, None) => return Err(missing("--metadata-url or --metadata-file")),
        };
        Ok(spec::Saml {
            metadata_type: Some(metadata),
            ..spec::Saml::default()
        })
    }

    fn identity_token(&self) -> Result<spec::OidcIdentityToken, Failure> {
        self.only(&["issuer-url", "jwks-url", "jwks-file", "issuer", "audience"])?;
        let keys = match (&self.issuer_url, &self.jwks_url, &self.jwks_file) {
            (Some(issuer), ..) => oidc_identity_token::Type::IssuerUrl(issuer.clone()),
            (None, Some(url), _) => oidc_identity_token::Type::JwksUrl(url.clone()),
            (None, None, Some(path)) => oidc_identity_token::Type::JwksContent(document(path)?),
            (None, None, None) => {
                return Err(missing("--issuer-url, --jwks-url or --jwks-file"));
            }
        };
        if self.issuer_url.is_none() {
            need("--issuer", self.issuer.as_ref())?;
        }
        Ok(spec::OidcIdentityToken {
            r#type: Some(keys),
            issuer: self.issuer.clone().unwrap_or_default(),
            audience: self.audience.clone().unwrap_or_default(),
            ..spec::OidcIdentityToken::default()
        })
    }

    /// Rejects flags that have no effect for this type, so that a mistake does not go unnoticed.
    fn only(&self, allowed: &[&str]) -> Result<(), Failure> {
        let given = [
            ("issuer-url", &self.issuer_url),
            ("client-id", &self.client_id),
            ("client-secret", &self.client_secret),
            ("base-url", &self.base_url),
            ("jwks-url", &self.jwks_url),
            ("jwks-file", &self.jwks_file),
            ("issuer", &self.issuer),
            ("audience", &self.audience),
            ("metadata-url", &self.metadata_url),
            ("metadata-file", &self.metadata_file),
        ];
        let mut foreign = given
            .iter()
            .filter(|(flag, value)| value.is_some() && !allowed.contains(flag));
        match foreign.next() {
            None => Ok(()),
            Some((flag, _)) => Err(Failure::usage(format!(
                "--{flag} is not valid for this type of IdentityProvider"
            ))),
        }
    }
}

fn need(flag: &str, value: Option<&String>) -> Result<String, Failure> {
    value.cloned().ok_or_else(|| missing(flag))
}

fn missing(flag: &str) -> Failure {
    Failure::usage(format!("{flag} is missing"))
}

fn document(path: &str) -> Result<String, Failure> {
    let bytes = input::read(path, MAX_DOCUMENT)?;
    String::from_utf8(bytes)
        .map_err(|_| Failure::input(format!("{}: not text", input::source_name(path))))
}
