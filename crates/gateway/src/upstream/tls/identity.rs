//! The client certificate for an upstream (mutual TLS).

use std::sync::Arc;

use api::core_v1::service::spec::{
    Config as ServiceConfig,
    config::{client_certificate, tls},
};
use rustls::{crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::{SecretValue, problems::Problems, secret::Secrets};

/// A certificate chain and its private key.
pub(super) struct Identity {
    pub(super) key: Arc<CertifiedKey>,
    /// The path of the field that requires it.
    pub(super) path: &'static str,
}

impl Identity {
    /// Loads the certificate. Returns `None` if none is configured, or after it added a problem.
    pub(super) fn compile(
        config: &ServiceConfig,
        secrets: &Secrets<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let (path, name) = requested_identity(config, problems)?;
        let Some(secret) = secrets(name) else {
            problems.add(
                path,
                &format!("names the Secret {name}, which does not exist"),
            );
            return None;
        };
        match certified(&secret) {
            Ok(key) => Some(Self {
                key: Arc::new(key),
                path,
            }),
            Err(problem) => {
                problems.add(path, &format!("the Secret {name} {problem}"));
                None
            }
        }
    }
}

fn requested_identity<'a>(
    config: &'a ServiceConfig,
    problems: &mut Problems,
) -> Option<(&'static str, &'a str)> {
    const BESIDE: &str = "spec.config.clientCertificate.fromSecret";
    const IN_TLS: &str = "spec.config.tls.clientCertificate.fromSecret";
    let beside = config.client_certificate.as_ref();
    let beside = beside.and_then(|beside| {
        let client_certificate::Type::FromSecret(name) = beside.r#type.as_ref()?;
        Some(name)
    });
    let in_tls = config.tls.as_ref();
    let in_tls = in_tls.and_then(|tls| tls.client_certificate.as_ref());
    let in_tls = in_tls.and_then(|certificate| {
        let tls::client_certificate::Type::FromSecret(name) = certificate.r#type.as_ref()?;
        Some(name)
    });
    match (beside, in_tls) {
        (None, None) => None,
        (Some(name), None) => Some((BESIDE, name)),
        (None, Some(name)) => Some((IN_TLS, name)),
        (Some(beside), Some(in_tls)) if beside == in_tls => Some((IN_TLS, in_tls)),
        (Some(_), Some(_)) => {
            problems.add(
                BESIDE,
                "and tls.clientCertificate name different Secrets; set one of them",
            );
            None
        }
    }
}

/// Parses the chain and the key. The chain is stored beside the key, as `create secret --type cert` does, or together
/// with it in one PEM text.
fn certified(secret: &SecretValue) -> Result<CertifiedKey, &'static str> {
    let chain = secret.certificates.as_deref().unwrap_or(&secret.data);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|_| "has a certificate that is not in PEM")?;
    if chain.is_empty() {
        return Err("has no certificate in PEM");
    }
    let key = PrivateKeyDer::from_pem_slice(&secret.data)
        .map_err(|_| "has no private key in PEM, or one that is encrypted")?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(
        |_| "has a key that does not match its certificate, or whose type is not supported",
    )
}
