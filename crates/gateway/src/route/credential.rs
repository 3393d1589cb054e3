//! The credentials with which the gateway authenticates to an upstream.

use api::core_v1::service::spec::config::http::{
    Auth,
    auth::{
        Type, basic, bearer, custom, o_auth2_client_credentials::client_secret,
        sigv4::secret_access_key,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, header};
use zeroize::Zeroizing;

use crate::{Config, canonical, problems::Problems, secret::Secrets};

mod oauth2;
mod sigv4;

pub(crate) use oauth2::TokenSource;
pub(crate) use sigv4::{Payload, Signer, admit};

/// A credential made from Secrets. It has no `Debug`, so that logs cannot contain it.
pub(crate) enum UpstreamCredential {
    /// A fixed header field.
    Field {
        name: HeaderName,
        value: HeaderValue,
    },
    /// An OAuth 2.0 access token from a token endpoint.
    Token(Box<TokenSource>),
    /// A signature of each request.
    Signature(Box<Signer>),
}

impl UpstreamCredential {
    pub(super) fn compile(
        auth: &Auth,
        secrets: &Secrets<'_>,
        settings: &Config,
        problems: &mut Problems,
    ) -> Option<Self> {
        const PATH: &str = "spec.config.http.auth";
        let mut secret = |name: Option<&String>| match name {
            None => {
                problems.add(PATH, "names no Secret; set fromSecret");
                None
            }
            Some(name) => {
                let value = secrets(name).map(|secret| secret.data);
                if value.is_none() {
                    problems.add(
                        PATH,
                        &format!("names the Secret {name}, which does not exist"),
                    );
                }
                value
            }
        };
        let (name, value) = match &auth.r#type {
            None => return None,
            Some(Type::Bearer(bearer)) => {
                let name = bearer
                    .r#type
                    .as_ref()
                    .map(|bearer::Type::FromSecret(name)| name);
                let token = secret(name)?;
                (
                    header::AUTHORIZATION,
                    Zeroizing::new([b"Bearer ", token.as_slice()].concat()),
                )
            }
            Some(Type::Basic(basic)) => {
                let password = basic.password.as_ref().and_then(|password| {
                    let basic::password::Type::FromSecret(name) = password.r#type.as_ref()?;
                    Some(name)
                });
                let password = secret(password)?;
                let pair = [basic.username.as_bytes(), b":", password.as_slice()].concat();
                let value = format!("Basic {}", STANDARD.encode(pair));
                (header::AUTHORIZATION, Zeroizing::new(value.into_bytes()))
            }
            Some(Type::Custom(custom)) => {
                let name = custom.value.as_ref().and_then(|value| {
                    let custom::value::Type::FromSecret(name) = value.r#type.as_ref()?;
                    Some(name)
                });
                let value = secret(name)?;
                match HeaderName::from_bytes(custom.header.as_bytes()) {
                    Ok(name) if may_carry(&name) => (name, value),
                    _ => {
                        problems.add(&format!("{PATH}.custom.header"), "cannot be set");
                        return None;
                    }
                }
            }
            Some(Type::Oauth2ClientCredentials(spec)) => {
                let name = spec.client_secret.as_ref().and_then(|secret| {
                    let client_secret::Type::FromSecret(name) = secret.r#type.as_ref()?;
                    Some(name)
                });
                let secret = secret(name)?;
                return TokenSource::compile(spec, &secret, settings, problems)
                    .map(|source| Self::Token(Box::new(source)));
            }
            Some(Type::Sigv4(spec)) => {
                let name = spec.secret_access_key.as_ref().and_then(|key| {
                    let secret_access_key::Type::FromSecret(name) = key.r#type.as_ref()?;
                    Some(name)
                });
                let secret = secret(name)?;
                return Signer::compile(spec, &secret, problems)
                    .map(|signer| Self::Signature(Box::new(signer)));
            }
        };
        // Editors add a final line end that is not part of the secret.
        if let Ok(mut value) = HeaderValue::from_bytes(value.trim_ascii_end()) {
            value.set_sensitive(true);
            Some(Self::Field { name, value })
        } else {
            problems.add(PATH, "has a Secret that cannot be a header value");
            None
        }
    }
}

fn may_carry(name: &HeaderName) -> bool {
    let framing = name == header::HOST || name == header::CONTENT_LENGTH;
    !framing && !canonical::is_hop_by_hop(name.as_str()) && !canonical::is_ours(name.as_str())
}
