//! TLS connections to upstreams.

use std::sync::{Arc, LazyLock};

use api::core_v1::service::spec::{Config as ServiceConfig, config::Tls};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    sign::SingleCertAndKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use tokio_rustls::TlsConnector;

use crate::{problems::Problems, secret::Secrets, upstream::url::Protocol};

mod identity;

use identity::Identity;

/// The trusted roots and the client certificate of a Service. The TLS configuration is built when it is first needed.
pub(super) struct Trust {
    roots: Roots,
    identity: Option<Identity>,
    connector: Option<TlsConnector>,
}

enum Roots {
    System,
    Given(RootCertStore),
    /// `insecureSkipVerify`
    Anything,
}

static SYSTEM_ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(store)
});

impl Trust {
    /// Trusts the system's authorities and the given ones, without a client certificate.
    pub(super) fn system(beside: &[CertificateDer<'static>]) -> Self {
        let roots = if beside.is_empty() {
            Roots::System
        } else {
            let mut store = RootCertStore::clone(&SYSTEM_ROOTS);
            store.add_parsable_certificates(beside.iter().cloned());
            Roots::Given(store)
        };
        Self {
            roots,
            identity: None,
            connector: None,
        }
    }

    pub(super) fn of_service(
        config: &ServiceConfig,
        secrets: &Secrets<'_>,
        problems: &mut Problems,
    ) -> Self {
        Self {
            roots: roots(config, problems),
            identity: Identity::compile(config, secrets, problems),
            connector: None,
        }
    }

    /// Adds a problem if a client certificate is configured but no upstream uses TLS.
    pub(super) fn check_use(&self, problems: &mut Problems) {
        if let Some(identity) = &self.identity
            && self.connector.is_none()
        {
            problems.add(identity.path, "needs an upstream with TLS, such as https");
        }
    }

    /// Returns the connector. All endpoints of a Service share it, and so its TLS sessions.
    pub(super) fn connector(
        &mut self,
        protocol: Protocol,
        problems: &mut Problems,
    ) -> Option<TlsConnector> {
        if self.connector.is_none() {
            match client_config(&self.roots, self.identity.as_ref(), protocol) {
                Ok(config) => self.connector = Some(TlsConnector::from(Arc::new(config))),
                Err(error) => problems.add("spec.config.tls", &format!("cannot be used: {error}")),
            }
        }
        self.connector.clone()
    }
}

fn roots(config: &ServiceConfig, problems: &mut Problems) -> Roots {
    let default_tls = Tls::default();
    let spec = config.tls.as_ref().unwrap_or(&default_tls);
    if spec.insecure_skip_verify {
        return Roots::Anything;
    }
    let beside = config.client_certificate.as_ref();
    let beside = beside.map_or(&[][..], |beside| &beside.trusted_c_as);
    if spec.trusted_c_as.is_empty() && beside.is_empty() {
        return Roots::System;
    }
    let mut store = if spec.append_to_system_pool {
        RootCertStore::clone(&SYSTEM_ROOTS)
    } else {
        RootCertStore::empty()
    };
    let of_tls = spec.trusted_c_as.iter().enumerate();
    let of_tls = of_tls.map(|(index, text)| ("tls", index, text));
    let beside = beside.iter().enumerate();
    let beside = beside.map(|(index, text)| ("clientCertificate", index, text));
    for (field, index, text) in of_tls.chain(beside) {
        let added = CertificateDer::pem_slice_iter(text.as_bytes())
            .map(|certificate| Some(store.add(certificate.ok()?).is_ok()))
            .collect::<Option<Vec<bool>>>();
        if added.is_none_or(|added| added.is_empty() || added.contains(&false)) {
            problems.add(
                &format!("spec.config.{field}.trustedCAs[{index}]"),
                "is not a certificate in PEM",
            );
        }
    }
    Roots::Given(store)
}

fn client_config(
    roots: &Roots,
    identity: Option<&Identity>,
    protocol: Protocol,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match roots {
        Roots::System => builder.with_root_certificates(Arc::clone(&SYSTEM_ROOTS)),
        Roots::Given(store) => builder.with_root_certificates(store.clone()),
        Roots::Anything => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
    };
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&identity.key)))),
    };
    config.alpn_protocols = vec![match protocol {
        Protocol::Http1 => b"http/1.1".to_vec(),
        Protocol::Http2 => b"h2".to_vec(),
    }];
    Ok(config)
}

/// Accepts any certificate, for `insecureSkipVerify`. The key of the certificate must still sign the handshake.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
