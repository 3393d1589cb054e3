//! TLS configuration and trusted certificates.

use std::{fs, path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::{environment::Environment, failure::Failure, terminal::Terminal};

mod danger;

/// Configures HTTP/2 over TLS 1.2 or later.
///
/// If `OCTELIUM_CA_CERT` is set, trusts only the certificates in that file. Otherwise trusts the certificates of the
/// system, or those in `SSL_CERT_FILE` and `SSL_CERT_DIR`.
///
/// # Errors
/// Returns a failure if a certificate file cannot be read or no certificate is trusted.
pub(crate) fn config(
    environment: &Environment,
    terminal: &Terminal,
) -> Result<ClientConfig, Failure> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::input(format!("TLS is not available: {error}")))?;
    let mut config = if environment.is_true("OCTELIUM_INSECURE_TLS") {
        terminal.warn("OCTELIUM_INSECURE_TLS is set: the Cluster's certificate is not verified");
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(danger::AnyCertificate))
            .with_no_client_auth()
    } else {
        builder
            .with_root_certificates(roots(environment)?)
            .with_no_client_auth()
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Configures HTTP/1.1 to the platform that a workload runs on. Trusts the certificates of the system.
///
/// # Errors
/// Returns a failure if no certificate is trusted.
pub(crate) fn of_platform() -> Result<ClientConfig, Failure> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::input(format!("TLS is not available: {error}")))?;
    Ok(builder
        .with_root_certificates(system_roots()?)
        .with_no_client_auth())
}

fn roots(environment: &Environment) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = environment.get("OCTELIUM_CA_CERT") {
        for certificate in read(Path::new(path))? {
            roots
                .add(certificate)
                .map_err(|error| Failure::input(format!("OCTELIUM_CA_CERT: {path}: {error}")))?;
        }
        return Ok(roots);
    }
    system_roots()
}

fn system_roots() -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found
            .errors
            .first()
            .map(|error| format!(": {error}"))
            .unwrap_or_default();
        return Err(
            Failure::input(format!("no trusted root certificates found{why}"))
                .hint("install ca-certificates, or set OCTELIUM_CA_CERT to the Cluster's CA"),
        );
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let shown = path.display();
    let text = fs::read(path)
        .map_err(|error| Failure::input(format!("OCTELIUM_CA_CERT: {shown}: {error}")))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::input(format!("OCTELIUM_CA_CERT: {shown}: {error}")))?;
    if certificates.is_empty() {
        return Err(Failure::input(format!(
            "OCTELIUM_CA_CERT: {shown} contains no certificate in PEM"
        )));
    }
    Ok(certificates)
}
